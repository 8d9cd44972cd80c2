//! A table as it was when it was loaded: its columns, its snapshot, what it remembers of runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connectors::{Error, ErrorKind, Result};
use datafusion::catalog::TableProvider;
use iceberg::table::Table;

use super::alter::{self, Alterations};
use super::commit::Target;
use super::expired;
use super::history::{self, LastRun};
use super::id::TableId;
use super::scan::LakeScan;
use super::schema::{self, Column};
use super::stage::StageRequest;

/// A table as it was when it was loaded. Reading it again gives the same rows, whatever is committed meanwhile.
#[derive(Clone)]
pub struct LakeTable {
    id: TableId,
    table: Table,
    arrow: SchemaRef,
}

/// What a write would change of how a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayout {
    /// How files are cut.
    pub partitions: bool,
    /// How the table is sorted.
    pub order: bool,
}

impl LakeTable {
    pub(super) fn new(id: TableId, table: Table) -> Result<Self> {
        let metadata = table.metadata();
        expired::check(metadata).map_err(|error| error.with("table", &id))?;
        let arrow = schema::readable(metadata.current_schema())
            .map_err(|error| error.with("table", &id))?;
        Ok(Self {
            id,
            table,
            arrow: Arc::new(arrow),
        })
    }

    pub(super) const fn iceberg(&self) -> &Table {
        &self.table
    }

    /// The name.
    pub const fn id(&self) -> &TableId {
        &self.id
    }

    /// The columns, as rows read from it have them.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.arrow)
    }

    /// The columns, for people.
    pub fn columns(&self) -> Vec<Column> {
        let fields = self.table.metadata().current_schema().as_struct().fields();
        fields.iter().map(|field| schema::column(field)).collect()
    }

    /// How the table is cut: `month(visit_date)`.
    pub fn partitioning(&self) -> Vec<String> {
        let metadata = self.table.metadata();
        super::partition::words(metadata.default_partition_spec(), metadata.current_schema())
    }

    /// How the table is sorted: `amount desc`.
    pub fn sorting(&self) -> Vec<String> {
        let metadata = self.table.metadata();
        super::partition::sort_words(metadata.default_sort_order(), metadata.current_schema())
    }

    /// What a write would change of how the table is laid out, whether it is allowed or not. What it may do under no
    /// circumstances is an error.
    pub fn relayout(&self, request: &StageRequest) -> Result<Relayout> {
        let asked = alter::asked(self.table.metadata(), request);
        let asked = asked.map_err(|error| error.with("table", &self.id))?;
        Ok(Relayout {
            partitions: asked.alterations.partitions.is_some(),
            order: asked.alterations.order.is_some(),
        })
    }

    /// The table under the names that its columns get by a load of these rows: old names by new ones.
    pub fn renamed(
        &self,
        rows: &SchemaRef,
        renamed_from: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let metadata = self.table.metadata();
        let renamed = schema::renamed(metadata.current_schema(), rows, renamed_from)
            .map_err(|error| error.with("table", &self.id))?;
        let alterations = Alterations {
            columns: renamed,
            ..Alterations::default()
        };
        let target = Target::existing(self.id.clone(), self.table.clone(), alterations)?;
        Self::new(self.id.clone(), target.into_table()?)
    }

    /// The current snapshot; `None` before the first commit.
    pub fn snapshot_id(&self) -> Option<i64> {
        self.table.metadata().current_snapshot_id()
    }

    /// How many rows there are, as far as the summary of the snapshot says.
    pub fn rows(&self) -> Option<u64> {
        let snapshot = self.table.metadata().current_snapshot()?;
        snapshot
            .summary()
            .additional_properties
            .get("total-records")?
            .parse()
            .ok()
    }

    /// What the newest snapshot that a run of ours made says.
    pub fn last_run(&self) -> Option<LastRun> {
        history::last_run(self.table.metadata())
    }

    /// The newest watermark of a step of a pipeline, as it was committed.
    pub fn watermark(&self, pipeline: &str, step: &str) -> Option<String> {
        history::watermark(self.table.metadata(), pipeline, step)
    }

    /// The snapshot this run made.
    pub fn committed(&self, run: &str) -> Option<i64> {
        let metadata = self.table.metadata();
        let found = history::committed(metadata, run).map(|snapshot| snapshot.snapshot_id());
        found.or_else(|| expired::committed(metadata, run))
    }

    /// The table's rows, for queries.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        let metadata = self.table.metadata();
        let snapshot = metadata.current_snapshot().cloned();
        let columns = Arc::clone(metadata.current_schema());
        Arc::new(LakeScan::new(
            self.table.clone(),
            snapshot,
            columns,
            Arc::clone(&self.arrow),
        ))
    }

    /// The rows of an earlier snapshot, with the columns that the table had then; those of now where it is `None`.
    pub fn provider_at(&self, snapshot: Option<i64>) -> Result<Arc<dyn TableProvider>> {
        let Some(id) = snapshot.filter(|id| Some(*id) != self.snapshot_id()) else {
            return Ok(self.provider());
        };
        Ok(Arc::new(self.scan_at(id)?))
    }

    /// The rows of a snapshot, with the columns that the table had then.
    pub(super) fn scan_at(&self, id: i64) -> Result<LakeScan> {
        let metadata = self.table.metadata();
        let gone = || {
            Error::new(
                ErrorKind::NotFound,
                format!("the table has no snapshot {id} any more"),
            )
            .with("table", &self.id)
            .help("plan again: the table is read as it is now")
        };
        let snapshot = metadata.snapshot_by_id(id).ok_or_else(gone)?;
        let columns = snapshot.schema(metadata).map_err(super::failure::failed(
            "the columns of a snapshot are not known",
        ))?;
        let arrow = Arc::new(schema::readable(&columns)?);
        Ok(LakeScan::new(
            self.table.clone(),
            Some(Arc::clone(snapshot)),
            columns,
            arrow,
        ))
    }

    /// The file that holds the table's metadata.
    pub fn metadata_location(&self) -> Option<&str> {
        self.table.metadata_location()
    }

    /// The folder of the table.
    pub fn location(&self) -> &str {
        self.table.metadata().location()
    }
}
