//! The lake: Iceberg tables, read and written.
//!
//! The only place that knows the Iceberg library. Takes and gives Arrow and DataFusion tables; knows nothing of specs,
//! plans and connectors, and of runs only what a table remembers of them.

mod alter;
mod audit;
mod catalog;
mod commit;
mod diff;
mod expired;
mod failure;
mod files;
mod history;
mod id;
mod maintain;
mod merge;
mod options;
mod partition;
mod refs;
mod scan;
mod schema;
mod snapshots;
mod stage;
mod storage;
mod table;
mod writer;

use std::sync::Arc;

use connectors::{Fence, Result};

pub use self::audit::{Audited, Candidate, NotBranched, audit_branch};
use self::catalog::Catalog;
pub use self::commit::Committed;
pub use self::diff::{DiffFiles, PairedColumn, SnapshotDiff};
pub use self::history::{ChangedRows, LastRun, Stamp};
pub use self::id::TableId;
pub use self::maintain::{
    Bin, Compaction, CompactionRules, Expired, ExpiryRules, OrphanRules, Orphans, SetAside,
    SortedBy,
};
pub use self::merge::{
    Candidates, Choice, DELETES, FILE, GoneRows, Keys, POSITION, SeenKeys, TableTypes, Touched,
};
pub use self::options::{CatalogOptions, RestOptions, S3Options, WarehouseOptions};
pub use self::refs::{At, Moment, RefKind, Reference, TagName};
pub use self::schema::{Column, Evolution, OnSchemaChange, Reaction, Retyped, TableChange};
pub use self::snapshots::SnapshotInfo;
pub use self::stage::{
    DEFAULT_TARGET_FILE_BYTES, StageRequest, Staged, TableStage, Unpublished, WriteMode,
    check_layout, publish, schema_change,
};
use self::storage::Warehouse;
pub use self::table::{LakeTable, Relayout};
pub use self::writer::{StageWriter, WrittenFiles};

/// A catalog and a warehouse.
#[derive(Clone)]
pub struct Lake {
    catalog: Arc<dyn Catalog>,
    warehouse: Arc<Warehouse>,
}

impl Lake {
    /// A lake. Nothing is written, and nothing asked, before the first use.
    pub fn open(catalog: CatalogOptions, warehouse: WarehouseOptions) -> Result<Self> {
        let warehouse = Arc::new(Warehouse::open(warehouse)?);
        let catalog = catalog::open(catalog, &warehouse)?;
        Ok(Self { catalog, warehouse })
    }

    /// The names of all tables, sorted.
    pub async fn tables(&self) -> Result<Vec<TableId>> {
        self.catalog.tables().await
    }

    /// A table as it is now; `None` where there is none.
    pub async fn table(&self, id: &TableId) -> Result<Option<LakeTable>> {
        let table = self.catalog.load(id).await?;
        table
            .map(|table| LakeTable::new(id.clone(), table))
            .transpose()
    }

    /// Begins a write. Nothing of it is visible before its commit.
    pub async fn stage(&self, request: StageRequest) -> Result<TableStage> {
        TableStage::plan(Arc::clone(&self.catalog), request).await
    }

    /// Whether several tables can be published in one step, also where one of them is made by it.
    pub async fn publishes_together(&self, makes_tables: bool) -> Result<bool> {
        self.catalog.commits_together(makes_tables).await
    }

    /// From here on nothing is committed under lower tokens, where the catalog can see to that. What was on its way has
    /// happened or never will.
    pub async fn raise(&self, fences: &[Fence]) -> Result<()> {
        self.catalog.raise(fences).await
    }

    /// Asks whether catalog and warehouse are there and what they are; one line without a secret.
    pub async fn probe(&self) -> Result<String> {
        let catalog = self.catalog.probe().await?;
        if self.catalog.hands_out_keys() && !self.warehouse.has_keys() {
            // Without any of its own the library would look for keys on this machine and in its network.
            let warehouse = self.warehouse.root();
            return Ok(format!(
                "{catalog}; warehouse {warehouse}, with keys for each table"
            ));
        }
        let warehouse = self.warehouse.probe().await?;
        Ok(format!("{catalog}; warehouse {warehouse}"))
    }

    /// Closes the catalog. Nothing can be asked after it.
    pub async fn close(&self) {
        self.catalog.close().await;
    }
}
