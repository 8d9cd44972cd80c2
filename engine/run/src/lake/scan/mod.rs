//! Reads a table in DataFusion: files planned once, read in parallel, with row counts for the optimiser.

mod exec;
mod filter;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::stats::{Precision, Statistics};
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use iceberg::metadata_columns::RESERVED_FIELD_ID_FILE;
use iceberg::scan::FileScanTask;
use iceberg::spec::{DataContentType, SnapshotRef};
use iceberg::table::Table;

use self::exec::LakeExec;
use self::filter::{comparable, exact_in_reader, predicate};

/// A table of the lake, as it was when it was loaded.
#[derive(Debug)]
pub(super) struct LakeScan {
    table: Table,
    /// The snapshot that is read; `None` where the table has none yet.
    snapshot: Option<SnapshotRef>,
    columns: iceberg::spec::SchemaRef,
    schema: SchemaRef,
    /// The data files that are read; all when `None`.
    only: Option<HashSet<String>>,
}

impl LakeScan {
    /// The rows of a snapshot of a table; `schema` is `columns` in Arrow's words.
    pub(super) const fn new(
        table: Table,
        snapshot: Option<SnapshotRef>,
        columns: iceberg::spec::SchemaRef,
        schema: SchemaRef,
    ) -> Self {
        Self {
            table,
            snapshot,
            columns,
            schema,
            only: None,
        }
    }

    /// The same, without the rows of all other data files.
    pub(super) fn only(mut self, files: HashSet<String>) -> Self {
        self.only = Some(files);
        self
    }

    /// The columns.
    pub(super) const fn columns(&self) -> &iceberg::spec::SchemaRef {
        &self.columns
    }

    /// All data files, each with the delete files that take rows from it.
    pub(super) async fn files(&self) -> iceberg::Result<Vec<FileScanTask>> {
        self.plan(&[], &[]).await
    }

    /// The data files that may hold rows for which `filter` is true, each with the delete files that take rows from it.
    pub(super) async fn files_where(&self, filter: &Expr) -> iceberg::Result<Vec<FileScanTask>> {
        self.plan(&[], std::slice::from_ref(filter)).await
    }

    /// The files with rows that may be wanted.
    async fn plan(&self, columns: &[&str], filters: &[Expr]) -> iceberg::Result<Vec<FileScanTask>> {
        let mut scan = self.table.scan();
        if let Some(snapshot) = &self.snapshot {
            scan = scan.snapshot_id(snapshot.snapshot_id());
        }
        let moved = self.columns_moved();
        scan = if moved {
            scan.select_empty()
        } else {
            scan.select(columns.iter().copied())
        };
        let schema = &self.columns;
        let keep_in_reader = exact_in_reader(filters, schema);
        let comparable = comparable(self.table.metadata(), schema)?;
        let predicate = predicate(filters, &comparable).filter(|_| !moved);
        if let Some(predicate) = predicate {
            scan = scan.with_filter(predicate);
        }
        let planned = scan.build()?.plan_files().await?;
        let mut tasks: Vec<FileScanTask> = planned.try_collect().await?;
        if let Some(only) = &self.only {
            tasks.retain(|task| only.contains(&task.data_file_path));
        }
        for task in &mut tasks {
            if !keep_in_reader {
                task.predicate = None;
            }
            if moved {
                task.schema = Arc::clone(schema);
                let ids = columns
                    .iter()
                    .filter_map(|name| schema.field_id_by_name(name));
                task.project_field_ids = ids.collect();
            }
            by_identifier(task);
        }
        self.drop_unrelated_deletes(&mut tasks).await?;
        Ok(tasks)
    }

    /// Whether the columns are not those that the snapshot was made with: they were changed without a commit of rows,
    /// or the table went back to an earlier snapshot. The library plans a scan with the snapshot's columns only.
    fn columns_moved(&self) -> bool {
        let made_with = self.snapshot.as_ref().and_then(|made| made.schema_id());
        made_with.is_some_and(|id| id != self.columns.schema_id())
    }

    /// Forgets position deletes that name another data file: the library matches them by partition alone, and every
    /// file of a partition would read all of them.
    async fn drop_unrelated_deletes(&self, tasks: &mut [FileScanTask]) -> iceberg::Result<()> {
        if tasks.iter().all(|task| task.deletes.is_empty()) {
            return Ok(());
        }
        let targets = self.delete_targets().await?;
        for task in tasks {
            let path = &task.data_file_path;
            task.deletes.retain(|delete| {
                delete.file_type != DataContentType::PositionDeletes
                    || targets
                        .get(&delete.file_path)
                        .is_none_or(|target| target == path)
            });
        }
        Ok(())
    }

    /// The data file that each position-delete file names, where it names one.
    async fn delete_targets(&self) -> iceberg::Result<HashMap<String, String>> {
        let mut targets = HashMap::new();
        let Some(snapshot) = &self.snapshot else {
            return Ok(targets);
        };
        let list = self.table.manifest_list_reader(snapshot).load().await?;
        let deletes = iceberg::spec::ManifestContentType::Deletes;
        for manifest in list
            .entries()
            .iter()
            .filter(|manifest| manifest.content == deletes)
        {
            for entry in manifest
                .load_manifest(self.table.file_io())
                .await?
                .entries()
            {
                if let Some(target) = entry.data_file().referenced_data_file() {
                    targets.insert(entry.file_path().to_owned(), target);
                }
            }
        }
        Ok(targets)
    }
}

/// An error of the Iceberg library as `DataFusion` carries it.
pub(super) fn external(error: iceberg::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait]
impl TableProvider for LakeScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let schema = comparable(self.table.metadata(), &self.columns).map_err(external)?;
        let support = |filter: &&Expr| {
            if predicate(std::slice::from_ref(*filter), &schema).is_some() {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        // The reader does not count rows without a column; the plan drops this one again.
        let read = if schema.fields().is_empty() {
            &self.schema
        } else {
            &schema
        };
        let wanted = if schema.fields().is_empty() {
            1
        } else {
            usize::MAX
        };
        let columns: Vec<&str> = read
            .fields()
            .iter()
            .take(wanted)
            .map(|field| field.name().as_str())
            .collect();
        let mut tasks = self.plan(&columns, filters).await.map_err(external)?;
        let exact = filters.is_empty();
        if let Some(limit) = limit.filter(|_| exact) {
            tasks = enough(tasks, limit);
        }
        let statistics = statistics(&tasks, &schema, exact);
        let readers = session.config().target_partitions();
        let groups = spread(tasks, readers, |task| task.file_size_in_bytes);
        Ok(Arc::new(LakeExec::new(
            self.table.clone(),
            groups,
            schema,
            statistics,
        )))
    }
}

/// Has the library find a file's columns by their identifiers. It takes them as they stand where as many of the same types
/// are wanted, in whatever order, and where the file has none of those that are wanted. With one more column, which no
/// file has, it does not; it comes last, and is to be left out.
pub(super) fn by_identifier(task: &mut FileScanTask) {
    task.project_field_ids.push(RESERVED_FIELD_ID_FILE);
}

/// The first files that together have this many rows.
fn enough(tasks: Vec<FileScanTask>, limit: usize) -> Vec<FileScanTask> {
    let mut missing = limit as u64;
    let wanted = |task: &FileScanTask| {
        let wanted = missing > 0;
        if task.deletes.is_empty() {
            missing = missing.saturating_sub(task.record_count.unwrap_or(0));
        }
        wanted
    };
    tasks.into_iter().take_while(wanted).collect()
}

/// What is known of the rows before they are read.
fn statistics(tasks: &[FileScanTask], schema: &SchemaRef, all_rows: bool) -> Statistics {
    let counted = tasks
        .iter()
        .all(|task| task.deletes.is_empty() && task.record_count.is_some());
    let rows: u64 = tasks.iter().filter_map(|task| task.record_count).sum();
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let bytes: u64 = tasks.iter().map(|task| task.file_size_in_bytes).sum();
    let mut statistics = Statistics::new_unknown(schema);
    let exact = counted && all_rows;
    statistics.num_rows = if exact {
        Precision::Exact(rows)
    } else {
        Precision::Inexact(rows)
    };
    statistics.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
    statistics
}

/// Spreads files over readers so that each has about the same number of bytes.
pub(super) fn spread<T>(
    mut files: Vec<T>,
    readers: usize,
    bytes_of: impl Fn(&T) -> u64,
) -> Vec<Vec<T>> {
    let readers = readers.min(files.len()).max(1);
    files.sort_by_key(|file| Reverse(bytes_of(file)));
    let mut groups: Vec<(u64, Vec<T>)> = Vec::new();
    groups.resize_with(readers, || (0, Vec::new()));
    for file in files {
        if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += bytes_of(&file);
            group.push(file);
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
