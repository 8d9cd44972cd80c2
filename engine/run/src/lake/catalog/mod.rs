//! Which metadata of a table is current, and the one step that changes it.
//!
//! A catalog knows names, metadata and the compare-and-swap between two of them. It knows nothing of snapshots, runs
//! and retries: `commit` does.

mod postgres;
mod rest;
mod sql;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use connectors::{Error, Fence, Result};
use iceberg::io::FileIO;
use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use iceberg::table::Table;
use iceberg::{Runtime, TableCreation, TableRequirement, TableUpdate};
use uuid::Uuid;

use self::rest::RestCatalog;
use self::sql::SqlCatalog;
use super::failure::failed;
use super::id::TableId;
use super::options::CatalogOptions;
use super::storage::Warehouse;

/// The name our tables carry in a SQL catalog that several systems share.
const CATALOG_NAME: &str = "lakewright";

/// A table as the next commit wants it.
pub(super) struct Change<'a> {
    /// The table.
    pub(super) id: &'a TableId,
    /// What it is now; `None` when the commit makes it.
    pub(super) base: Option<&'a Table>,
    /// The metadata of a table that the commit makes, before `updates`; unused where there is a base.
    pub(super) initial: &'a TableMetadata,
    /// The updates that lead to `initial`: what a server that makes the table must be told first.
    pub(super) initial_updates: &'a [TableUpdate],
    /// File access for the metadata.
    pub(super) file_io: &'a FileIO,
    /// What must hold.
    pub(super) requirements: Vec<TableRequirement>,
    /// What changes.
    pub(super) updates: Vec<TableUpdate>,
    /// Who changes it: a catalog that can refuses where it knows of a higher token, in the same step.
    pub(super) fences: &'a [Fence],
}

/// Why a commit did not answer "done".
pub(super) enum CommitError {
    /// Somebody else was first. Nothing of ours is visible, now or later.
    Conflict(Error),
    /// The reply was lost: it may have happened.
    Unknown(Error),
    /// It did not happen and will not.
    Failed(Error),
}

/// A table that does not exist yet: its first metadata and where its files go.
pub(super) struct Draft {
    /// The metadata without any snapshot.
    pub(super) metadata: TableMetadata,
    /// The updates that lead to it.
    pub(super) updates: Vec<TableUpdate>,
    /// File access for its data.
    pub(super) file_io: FileIO,
}

impl Draft {
    /// A table whose identifiers and place nobody else gives: they are chosen here.
    fn chosen(id: &TableId, mut creation: TableCreation, warehouse: &Warehouse) -> Result<Self> {
        let uuid = Uuid::new_v4();
        creation.location = Some(warehouse.place(id, uuid));
        let built = TableMetadataBuilder::from_table_creation(creation)
            .map(|builder| builder.assign_uuid(uuid))
            .and_then(TableMetadataBuilder::build)
            .map_err(|error| failed("the table cannot be made")(error).with("table", id))?;
        Ok(Self {
            metadata: built.metadata,
            updates: built.changes,
            file_io: warehouse.file_io(),
        })
    }
}

/// What names tables.
#[async_trait]
pub(super) trait Catalog: Send + Sync {
    /// All tables, sorted.
    async fn tables(&self) -> Result<Vec<TableId>>;

    /// The table now.
    async fn load(&self, id: &TableId) -> Result<Option<Table>>;

    /// Prepares a table that does not exist. Nothing becomes visible, as far as the catalog can.
    async fn draft(&self, id: &TableId, creation: TableCreation) -> Result<Draft>;

    /// Changes the table in one step, or not at all.
    async fn commit(&self, change: Change<'_>) -> Result<(), CommitError>;

    /// Changes several tables in one step, or none of them; see [`Catalog::commits_together`].
    async fn commit_together(&self, changes: Vec<Change<'_>>) -> Result<(), CommitError>;

    /// Whether several tables can change in one step, also where one of them is made by it.
    async fn commits_together(&self, makes_tables: bool) -> Result<bool>;

    /// From here on refuses changes under lower tokens. Returns when each that was on its way has happened or never will. A
    /// catalog that knows no fences does nothing.
    async fn raise(&self, fences: &[Fence]) -> Result<()> {
        let _ = fences;
        Ok(())
    }

    /// Whether it hands out the keys to the files of one table.
    fn hands_out_keys(&self) -> bool {
        false
    }

    /// Asks whether the catalog is there and what it is; one line for people.
    async fn probe(&self) -> Result<String>;

    /// Closes what is open, so that nothing is left beside the catalog's own files. Nothing can be asked after it.
    async fn close(&self) {}
}

/// The catalog of these options; nothing is read or written yet.
pub(super) fn open(
    options: CatalogOptions,
    warehouse: &Arc<Warehouse>,
) -> Result<Arc<dyn Catalog>> {
    let warehouse = Arc::clone(warehouse);
    Ok(match options {
        CatalogOptions::Sqlite { path } => Arc::new(SqlCatalog::new(
            Box::new(sqlite::SqlitePointers::new(path)),
            warehouse,
        )),
        CatalogOptions::Postgres { url } => Arc::new(SqlCatalog::new(
            Box::new(postgres::PostgresPointers::new(&url)?),
            warehouse,
        )),
        CatalogOptions::Rest(options) => Arc::new(RestCatalog::new(options, warehouse)?),
    })
}

/// A table from its parts.
pub(super) fn table(
    id: &TableId,
    file_io: FileIO,
    location: Option<String>,
    metadata: TableMetadata,
) -> Result<Table> {
    let runtime = Runtime::try_current().map_err(failed("the lake needs a running engine"))?;
    let mut builder = Table::builder()
        .identifier(id.ident()?)
        .file_io(file_io)
        .metadata(metadata)
        .runtime(runtime);
    if let Some(location) = location {
        builder = builder.metadata_location(location);
    }
    builder
        .build()
        .map_err(failed("the table's metadata is not usable"))
}
