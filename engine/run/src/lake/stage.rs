//! A write of one table, from the request to the commit: plan, stage, commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::SchemaRef;
use connectors::{Error, ErrorKind, Result};
use iceberg::TableCreation;
use iceberg::spec::{DataFile, FormatVersion, Operation, Schema, SortOrder};
use iceberg::table::Table;

use super::alter;
use super::catalog::Catalog;
use super::commit::{
    self, AddedDelete, Committed, ConflictPolicy, Merging, Part, Removal, SnapshotOp, Target,
};
use super::failure::failed;
use super::history::{self, ChangedRows, Stamp};
use super::id::TableId;
use super::partition::{self, widened};
use super::schema::{self, OnSchemaChange, TableChange};
use super::table::LakeTable;
use super::writer::{Shape, StageWriter, WrittenFiles};

/// The size of files where none is asked for.
pub const DEFAULT_TARGET_FILE_BYTES: u64 = 256 << 20;

/// How rows meet what is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// They are added. Goes on top of what others commit meanwhile.
    Append,
    /// They become the whole content. Fails when others commit meanwhile: their rows would be lost.
    Replace,
    /// They become the whole content of the partitions that they fall into. Fails when others commit meanwhile.
    ReplacePartitions,
    /// They meet the rows that have their key; see [`TableStage::merged`]. Fails when others commit meanwhile: their rows
    /// may have the same keys.
    Merge,
    /// They are the first of the table. Fails where it has any, or gets some meanwhile.
    Create,
}

/// Everything that decides what a write does.
#[derive(Clone, Debug)]
pub struct StageRequest {
    /// The table.
    pub table: TableId,
    /// How rows meet what is there.
    pub mode: WriteMode,
    /// The columns of the rows that will come.
    pub schema: SchemaRef,
    /// How the table is cut: `month(visit_date)`. Empty: as it is.
    pub partition_by: Vec<String>,
    /// How rows are sorted within files: `visit_date`, `ward_id desc`.
    pub sort_by: Vec<String>,
    /// Properties of a new table.
    pub properties: BTreeMap<String, String>,
    /// The size at which a file ends.
    pub target_file_bytes: u64,
    /// What happens when the columns differ.
    pub on_schema_change: OnSchemaChange,
    /// Columns that have another name than before: the old name, by the new one.
    pub renamed_from: BTreeMap<String, String>,
    /// The snapshot a replace was planned on; the one there is now when `None`.
    pub base_snapshot: Option<i64>,
}

impl StageRequest {
    /// A write with everything else left to the defaults.
    pub fn new(table: TableId, mode: WriteMode, schema: SchemaRef) -> Self {
        Self {
            table,
            mode,
            schema,
            partition_by: Vec::new(),
            sort_by: Vec::new(),
            properties: BTreeMap::new(),
            target_file_bytes: DEFAULT_TARGET_FILE_BYTES,
            on_schema_change: OnSchemaChange::default(),
            renamed_from: BTreeMap::new(),
            base_snapshot: None,
        }
    }
}

/// What a write of these rows does to the columns of a table.
pub fn schema_change(existing: Option<&LakeTable>, incoming: &SchemaRef) -> Result<TableChange> {
    let Some(table) = existing else {
        let fields = schema::fresh(incoming.fields(), 1)?;
        let columns = fields.iter().map(|field| schema::column(field)).collect();
        return Ok(TableChange::Create { columns });
    };
    let evolution = schema::compare(table.iceberg().metadata().current_schema(), incoming)?;
    Ok(if evolution.is_empty() {
        TableChange::Unchanged
    } else {
        TableChange::Evolve(evolution)
    })
}

/// Says what is wrong when rows of these columns cannot be cut and sorted as asked, or have not the names that they are to
/// have. Asks nobody.
pub fn check_layout(
    rows: &SchemaRef,
    partition_by: &[String],
    sort_by: &[String],
    renamed_from: &BTreeMap<String, String>,
) -> Result<()> {
    let schema = fresh_schema(rows)?;
    schema::renamed(&schema, rows, renamed_from)?;
    partition::partition_spec(partition_by, &schema)?;
    partition::sort_order(sort_by, &schema)?;
    Ok(())
}

/// The columns of a table that rows of these columns make.
fn fresh_schema(rows: &SchemaRef) -> Result<Schema> {
    Schema::builder()
        .with_fields(schema::fresh(rows.fields(), 1)?)
        .build()
        .map_err(failed("the rows have columns that no table can have"))
}

/// A write that has begun. Nothing of it is visible.
pub struct TableStage {
    catalog: Arc<dyn Catalog>,
    target: Target,
    shape: Arc<Shape>,
    mode: WriteMode,
    writers: AtomicUsize,
}

impl TableStage {
    /// Plans a write: on the table that is there, or on one that the commit makes.
    pub(super) async fn plan(catalog: Arc<dyn Catalog>, request: StageRequest) -> Result<Self> {
        let existing = catalog.load(&request.table).await?;
        let (target, sort) = match existing {
            Some(table) => onto(table, &request)?,
            None => make(catalog.as_ref(), &request).await?,
        };
        let shape = Shape::of(
            target.metadata(),
            target.file_io().clone(),
            &sort,
            request.target_file_bytes,
        )?;
        Ok(Self {
            catalog,
            target,
            shape: Arc::new(shape),
            mode: request.mode,
            writers: AtomicUsize::new(0),
        })
    }

    /// A write onto a table as it is here, with its own columns.
    pub(super) fn onto(
        catalog: Arc<dyn Catalog>,
        id: TableId,
        table: Table,
        sort: &SortOrder,
        target_file_bytes: u64,
    ) -> Result<Self> {
        let target = Target::existing(id, table, alter::Alterations::default())?;
        let (metadata, file_io) = (target.metadata(), target.file_io().clone());
        let shape = Shape::of(metadata, file_io, sort, target_file_bytes)?;
        Ok(Self {
            catalog,
            target,
            shape: Arc::new(shape),
            mode: WriteMode::Append,
            writers: AtomicUsize::new(0),
        })
    }

    /// A writer; several may write at the same time.
    pub fn writer(&self) -> Result<StageWriter> {
        let number = self.writers.fetch_add(1, Ordering::Relaxed);
        StageWriter::open(Arc::clone(&self.shape), number)
    }

    /// Ends writing.
    pub fn staged(self, written: Vec<WrittenFiles>) -> Staged {
        let files: Vec<DataFile> = written
            .into_iter()
            .flat_map(|written| written.files)
            .collect();
        let (operation, removal, policy) = match self.mode {
            WriteMode::Append => (Operation::Append, Removal::None, ConflictPolicy::Rebase),
            WriteMode::Replace => (Operation::Overwrite, Removal::All, ConflictPolicy::SameRows),
            WriteMode::ReplacePartitions => (
                Operation::Overwrite,
                Removal::Partitions(files.iter().map(|file| widened(file.partition())).collect()),
                ConflictPolicy::SameRows,
            ),
            WriteMode::Merge | WriteMode::Create => (
                Operation::Append,
                Removal::None,
                ConflictPolicy::FailIfMoved,
            ),
        };
        self.ended(operation, (files, Vec::new()), removal, policy, None)
    }

    /// Ends writing with these files and delete files.
    pub(super) fn ended(
        self,
        operation: Operation,
        (added, added_deletes): (Vec<DataFile>, Vec<AddedDelete>),
        removal: Removal,
        policy: ConflictPolicy,
        changed: Option<ChangedRows>,
    ) -> Staged {
        let op = SnapshotOp {
            operation,
            added,
            spec_id: self.target.metadata().default_partition_spec_id(),
            added_deletes,
            removal,
            policy,
            merging: None,
            properties: HashMap::new(),
            now_ms: 0,
            fence: None,
        };
        Staged {
            catalog: self.catalog,
            target: self.target,
            op,
            changed,
        }
    }

    /// The snapshot that the write goes on top of; `None` where there is none.
    pub fn base_snapshot(&self) -> Option<i64> {
        commit::current(self.target.base())
    }

    /// What every file has in common.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The table.
    pub(super) const fn target(&self) -> &Target {
        &self.target
    }
}

/// Rows written and not visible.
pub struct Staged {
    catalog: Arc<dyn Catalog>,
    target: Target,
    op: SnapshotOp,
    changed: Option<ChangedRows>,
}

/// Why rows did not become visible.
pub struct Unpublished {
    /// What went wrong; `CommitUnknown` when it may have happened.
    pub error: Error,
    /// What was to be published, where it is certain that none of it is or will be: it can be tried again.
    pub staged: Vec<Staged>,
    /// Which of it was in the way, where it is known.
    pub at: Option<usize>,
}

impl Staged {
    /// Makes the rows visible, all at once, and remembers the run in the same step. A run that had committed before
    /// changes nothing. `CommitUnknown` when it may have happened.
    pub async fn commit(mut self, stamp: &Stamp) -> Result<Committed> {
        self.stamp(stamp);
        self.commit_as(&stamp.run).await
    }

    /// The same for work that is no run: it has an id of its own, by which it is found again.
    pub async fn commit_maintenance(mut self, id: &str, now_ms: i64) -> Result<Committed> {
        self.op.properties = history::maintenance(id);
        self.op.now_ms = now_ms;
        self.commit_as(id).await
    }

    /// The table.
    pub const fn table(&self) -> &TableId {
        self.target.id()
    }

    /// Whether the table is made by the commit.
    pub const fn makes_table(&self) -> bool {
        self.target.base().is_none()
    }

    /// The catalog that it is to be committed to.
    pub(super) fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::clone(&self.catalog)
    }

    /// What is to be committed, on behalf of a run.
    pub(super) fn into_part(mut self, stamp: &Stamp) -> Part {
        self.stamp(stamp);
        Part::new(self.target, self.op, stamp.run.clone())
    }

    /// Merges small manifests in the same step.
    pub(super) const fn merging(mut self, merging: Merging) -> Self {
        self.op.merging = Some(merging);
        self
    }

    /// Removes the files: they will not be published.
    pub async fn discard(self) {
        commit::remove(self.target.file_io(), &paths(&self.op)).await;
    }

    fn stamp(&mut self, stamp: &Stamp) {
        self.op.properties = stamp.properties();
        let changed = self.changed.map(ChangedRows::properties);
        self.op.properties.extend(changed.into_iter().flatten());
        self.op.now_ms = stamp.now_ms;
        self.op.fence.clone_from(&stamp.fence);
    }

    async fn commit_as(self, run: &str) -> Result<Committed> {
        let published = publish_as(vec![(self, run.to_owned())]).await;
        match published {
            Ok(done) => done.into_iter().next().ok_or_else(nothing_published),
            Err(Unpublished { error, staged, .. }) => {
                for one in staged {
                    one.discard().await;
                }
                Err(error)
            }
        }
    }
}

/// Makes the rows of several tables visible, all or none of them, each as [`Staged::commit`] does. Only where the
/// catalog can: see [`super::Lake::publishes_together`].
pub async fn publish(all: Vec<(Staged, Stamp)>) -> Result<Vec<Committed>, Unpublished> {
    let stamped = |(mut staged, stamp): (Staged, Stamp)| {
        staged.stamp(&stamp);
        (staged, stamp.run)
    };
    publish_as(all.into_iter().map(stamped).collect()).await
}

async fn publish_as(all: Vec<(Staged, String)>) -> Result<Vec<Committed>, Unpublished> {
    let Some(catalog) = all.first().map(|(staged, _)| Arc::clone(&staged.catalog)) else {
        return Ok(Vec::new());
    };
    let (mut parts, mut changed) = (Vec::new(), Vec::new());
    for (staged, run) in all {
        changed.push(staged.changed);
        parts.push(Part::new(staged.target, staged.op, run));
    }
    let done = commit::commit(catalog.as_ref(), &mut parts).await;
    match done {
        Ok(done) => {
            for (part, done) in parts.iter().zip(&done) {
                if done.already {
                    commit::remove(part.target.file_io(), &paths(&part.op)).await;
                }
            }
            Ok(done)
        }
        Err(not) => {
            let again = |(part, changed): (Part, Option<ChangedRows>)| Staged {
                catalog: Arc::clone(&catalog),
                target: part.target,
                op: part.op,
                changed,
            };
            let staged = if not.certain {
                parts.into_iter().zip(changed).map(again).collect()
            } else {
                Vec::new()
            };
            Err(Unpublished {
                error: not.error,
                staged,
                at: not.at,
            })
        }
    }
}

fn nothing_published() -> Error {
    Error::new(ErrorKind::Internal, "a commit of one table did nothing")
}

/// The files that an operation adds.
pub(super) fn paths(op: &SnapshotOp) -> Vec<String> {
    let deletes = op.added_deletes.iter().map(|delete| &delete.file);
    let files = op.added.iter().chain(deletes);
    files.map(|file| file.file_path().to_owned()).collect()
}

/// A write onto a table that is there.
fn onto(table: Table, request: &StageRequest) -> Result<(Target, SortOrder)> {
    let metadata = table.metadata();
    commit::require_format(metadata, &request.table)?;
    let now = metadata.current_snapshot_id();
    let differs = |base: i64| !history::same_rows(metadata, Some(base), now);
    let moved = match request.mode {
        WriteMode::Replace => request.base_snapshot.is_some_and(differs),
        WriteMode::Create => now.is_some(),
        WriteMode::Append | WriteMode::ReplacePartitions | WriteMode::Merge => false,
    };
    if moved {
        return Err(Error::new(
            ErrorKind::Conflict,
            "the table was changed since the run was planned",
        )
        .with("table", &request.table)
        .help("run the pipeline again: it reads the table as it is now"));
    }
    let alterations = alter::asked(metadata, request)
        .and_then(|asked| asked.allowed(metadata, request))
        .map_err(|error| error.with("table", &request.table))?;
    let target = Target::existing(request.table.clone(), table, alterations)?;
    let sort = partition::sort_order(&request.sort_by, target.metadata().current_schema())?;
    Ok((target, sort))
}

/// A write that makes the table.
async fn make(catalog: &dyn Catalog, request: &StageRequest) -> Result<(Target, SortOrder)> {
    let schema =
        fresh_schema(&request.schema).map_err(|error| error.with("table", &request.table))?;
    let sort = partition::sort_order(&request.sort_by, &schema)?;
    let creation = TableCreation::builder()
        .name(request.table.name.clone())
        .partition_spec(partition::partition_spec(&request.partition_by, &schema)?)
        .sort_order(sort.clone())
        .properties(request.properties.clone())
        .format_version(FormatVersion::V2)
        .schema(schema)
        .build();
    let draft = catalog.draft(&request.table, creation).await?;
    let target = Target::create(request.table.clone(), draft);
    // Identifiers of columns are the catalog's to give.
    let sort = partition::sort_order(&request.sort_by, target.metadata().current_schema())?;
    Ok((target, sort))
}
