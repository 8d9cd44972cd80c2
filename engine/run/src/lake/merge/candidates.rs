//! The files of a table that a merge has to look into, and their rows, each with its place.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use async_trait::async_trait;
use connectors::{Error, ErrorKind, Result};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DataFusionResult;
use datafusion::datasource::TableType;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use iceberg::scan::FileScanTask;
use iceberg::spec::{DataContentType, SchemaRef as IcebergSchemaRef};
use iceberg::table::Table;
use roaring::RoaringTreemap;

use super::blooms;
use super::deletes;
use super::keys::{Keys, lower_bound};
use crate::lake::failure::failed;
use crate::lake::files::{LiveFile, live_files};
use crate::lake::id::TableId;
use crate::lake::scan::{LakeScan, by_identifier, external, spread};

/// The column that tells which of the candidates a row is in.
pub const FILE: &str = "__lakewright_file";
/// The column that tells which row of its file a row is, the first being 0.
pub const POSITION: &str = "__lakewright_position";

/// Files whose bloom filters are asked at the same time.
const FILES_AT_ONCE: usize = 8;

/// The files of a table that may hold rows with certain keys.
#[derive(Clone, Debug)]
pub struct Candidates {
    table: Option<Table>,
    /// In an order in which neighbours hold neighbouring rows.
    files: Vec<Arc<Candidate>>,
    schema: IcebergSchemaRef,
    arrow: SchemaRef,
    all: usize,
}

/// Which files are candidates.
#[derive(Clone, Copy)]
pub(in crate::lake) enum Wanted<'a> {
    /// Those that may hold rows with some keys, all where these are `None`, in the order of the columns of the key.
    Keys(&'a [String], Option<&'a Keys>),
    /// Those that may hold rows for which this is true.
    Where(&'a Expr),
}

/// A data file, and which of its rows are gone already.
#[derive(Debug)]
pub(in crate::lake) struct Candidate {
    pub(in crate::lake) live: LiveFile,
    /// Delete files that take rows from it and from no other.
    pub(in crate::lake) own_deletes: Vec<LiveFile>,
    pub(in crate::lake) gone: RoaringTreemap,
    task: FileScanTask,
}

impl Candidates {
    /// Those of a table as it is in `table`, read with the columns of `schema`, which may be newer.
    pub(in crate::lake) async fn of(
        id: &TableId,
        table: Option<&Table>,
        schema: &IcebergSchemaRef,
        arrow: &ArrowSchema,
        wanted: Wanted<'_>,
    ) -> Result<Self> {
        let arrow = Arc::new(arrow.clone());
        let mut found = Self {
            table: table.cloned(),
            files: Vec::new(),
            schema: Arc::clone(schema),
            arrow: Arc::clone(&arrow),
            all: 0,
        };
        let Some(table) = table else {
            return Ok(found);
        };
        let snapshot = table.metadata().current_snapshot().cloned();
        let live = live_files(table, snapshot.as_ref()).await?;
        found.all = live.data.len();
        refuse_equality_deletes(id, &live.deletes)?;
        let scan = LakeScan::new(table.clone(), snapshot, Arc::clone(schema), arrow);
        let tasks = match wanted {
            Wanted::Keys(..) => scan.files().await,
            Wanted::Where(filter) => scan.files_where(filter).await,
        };
        let tasks = tasks.map_err(failed("the files of the table cannot be listed"))?;
        let mut tasks: HashMap<String, FileScanTask> = tasks
            .into_iter()
            .map(|task| (task.data_file_path.clone(), task))
            .collect();
        let deletes: HashMap<&str, &LiveFile> = live
            .deletes
            .iter()
            .map(|file| (file.file.file_path(), file))
            .collect();
        let planned: HashSet<String> = tasks.keys().cloned().collect();
        let is_wanted = |file: &LiveFile| match wanted {
            Wanted::Keys(_, keys) => keys.is_none_or(|keys| keys.may_be_in(file)),
            Wanted::Where(_) => planned.contains(file.file.file_path()),
        };
        let data: Vec<LiveFile> = live.data.into_iter().filter(is_wanted).collect();
        let data = by_blooms(table, data, wanted).await?;
        let mut pairs = Vec::new();
        for file in data {
            // A file that is passed over would keep its rows beside those that come.
            let task = tasks.remove(file.file.file_path()).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidData,
                    "a file is listed twice in the table, or cannot be scanned",
                )
                .with("table", id)
                .with("file", file.file.file_path())
            })?;
            pairs.push((file, task));
        }
        let mut gone = gone_rows(table, &pairs).await?;
        for (file, task) in pairs {
            let gone = gone.remove(file.file.file_path()).unwrap_or_default();
            let candidate = Candidate::of(file, task, &deletes, gone);
            found.files.push(Arc::new(candidate));
        }
        let key = match wanted {
            Wanted::Keys(key, _) => key.first(),
            Wanted::Where(_) => None,
        };
        found.order(key);
        Ok(found)
    }

    /// How many files may hold such rows, and how many the table has.
    pub fn count(&self) -> (usize, usize) {
        (self.files.len(), self.all)
    }

    pub(in crate::lake) fn files(&self) -> &[Arc<Candidate>] {
        &self.files
    }

    /// Those of these numbers, which are numbered anew.
    pub(in crate::lake) fn some(&self, numbers: &[u32]) -> Self {
        let of = |number: &u32| self.files.get(*number as usize).cloned();
        Self {
            files: numbers.iter().filter_map(of).collect(),
            ..self.clone()
        }
    }

    pub(super) const fn arrow(&self) -> &SchemaRef {
        &self.arrow
    }

    /// Their rows, as a table with [`FILE`] and [`POSITION`] after its own columns.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        let mut fields: Vec<Arc<Field>> = self.arrow.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(FILE, DataType::UInt32, false)));
        fields.push(Arc::new(Field::new(POSITION, DataType::UInt64, false)));
        let schema = Arc::new(ArrowSchema::new(fields));
        if self.files.is_empty() {
            return Arc::new(EmptyTable::new(schema));
        }
        Arc::new(Places {
            candidates: self.clone(),
            schema,
        })
    }

    /// The rows of a file that are not gone, each batch with the places of its rows.
    pub(super) fn read(
        &self,
        file: &Candidate,
        columns: &[&str],
        batch_rows: usize,
    ) -> Result<BoxStream<'static, iceberg::Result<Placed>>> {
        let mut task = file.task.clone();
        task.deletes.clear();
        task.predicate = None;
        task.schema = Arc::clone(&self.schema);
        let ids = columns
            .iter()
            .filter_map(|name| self.schema.field_id_by_name(name));
        task.project_field_ids = ids.collect();
        let wanted: Vec<usize> = (0..task.project_field_ids.len()).collect();
        by_identifier(&mut task);
        let Some(table) = &self.table else {
            return Ok(stream::empty().boxed());
        };
        let reader = table
            .reader_builder()
            .with_data_file_concurrency_limit(1)
            .with_batch_size(batch_rows)
            .build();
        let batches = reader
            .read(stream::iter([Ok(task)]).boxed())
            .map_err(failed("a file of the table cannot be read"))?
            .stream();
        let gone = file.gone.clone();
        let mut next = 0_u64;
        let placed = batches.map(move |rows| {
            let rows = rows?.project(&wanted)?;
            let first = next;
            next += rows.num_rows() as u64;
            let is_gone = |place: &u64| gone.contains(*place);
            let gone = if gone.is_empty() {
                Vec::new()
            } else {
                (first..next).filter(is_gone).collect()
            };
            Ok(Placed { rows, first, gone })
        });
        Ok(placed.boxed())
    }

    /// Files of one partition stand together, and in the order of the key where bounds tell it.
    fn order(&mut self, key: Option<&String>) {
        let first = key.and_then(|name| {
            let r#type = self.arrow.field_with_name(name).ok()?.data_type();
            Some((self.schema.field_id_by_name(name)?, r#type.clone()))
        });
        self.files.sort_by_cached_key(|file| {
            let file = &file.live.file;
            let path = file.file_path();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let bound = first
                .as_ref()
                .and_then(|(id, r#type)| lower_bound(file, *id, r#type));
            (folder.to_owned(), bound, path.to_owned())
        });
    }
}

/// The files whose bloom filters leave room for one of the keys.
async fn by_blooms(
    table: &Table,
    files: Vec<LiveFile>,
    wanted: Wanted<'_>,
) -> Result<Vec<LiveFile>> {
    let looked = match wanted {
        Wanted::Keys(_, Some(keys)) => keys.looked(),
        Wanted::Keys(_, None) | Wanted::Where(_) => Vec::new(),
    };
    if looked.is_empty() {
        return Ok(files);
    }
    let ask = async |file: LiveFile| {
        let may = blooms::may_hold(table.file_io(), &file.file, &looked).await?;
        Ok::<_, Error>(may.then_some(file))
    };
    let some = stream::iter(files).map(ask).buffered(FILES_AT_ONCE);
    some.try_filter_map(async |file| Ok(file))
        .try_collect()
        .await
}

/// Equality deletes are not understood here.
fn refuse_equality_deletes(id: &TableId, deletes: &[LiveFile]) -> Result<()> {
    let of_equality =
        |file: &&LiveFile| file.file.content_type() == DataContentType::EqualityDeletes;
    let Some(file) = deletes.iter().find(of_equality) else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Unsupported,
        "the table has equality deletes, which another engine wrote; its files cannot be written again",
    )
    .with("table", id)
    .with("file", file.file.file_path())
    .help("compact the table with the engine that wrote them, then run again"))
}

/// The rows of files that delete files list, by file. Each delete file is read once: those of other engines list rows of
/// many.
async fn gone_rows(
    table: &Table,
    files: &[(LiveFile, FileScanTask)],
) -> Result<HashMap<String, RoaringTreemap>> {
    let mut gone: HashMap<String, RoaringTreemap> = files
        .iter()
        .filter(|(_, task)| !task.deletes.is_empty())
        .map(|(_, task)| (task.data_file_path.clone(), RoaringTreemap::new()))
        .collect();
    let deletes = files.iter().flat_map(|(_, task)| &task.deletes);
    let paths: BTreeSet<&str> = deletes.map(|delete| delete.file_path.as_str()).collect();
    for path in paths {
        deletes::read(table.file_io(), path, &mut gone).await?;
    }
    Ok(gone)
}

impl Candidate {
    fn of(
        live: LiveFile,
        task: FileScanTask,
        deletes: &HashMap<&str, &LiveFile>,
        gone: RoaringTreemap,
    ) -> Self {
        let path = live.file.file_path();
        let listed = task
            .deletes
            .iter()
            .filter_map(|delete| deletes.get(delete.file_path.as_str()));
        let own =
            listed.filter(|listed| listed.file.referenced_data_file().as_deref() == Some(path));
        let own_deletes = own.map(|listed| (*listed).clone()).collect();
        Self {
            live,
            own_deletes,
            gone,
            task,
        }
    }
}

/// Rows of a file, and where they stand in it.
pub(super) struct Placed {
    /// All rows from `first` on, those that are gone among them.
    pub(super) rows: RecordBatch,
    /// The place of the first.
    pub(super) first: u64,
    /// The places of those that are gone, in order.
    pub(super) gone: Vec<u64>,
}

impl Placed {
    /// One more than the place of the last.
    pub(super) fn end(&self) -> u64 {
        self.first + self.rows.num_rows() as u64
    }

    /// The rows that are there, with file and place, in this schema.
    fn with_places(&self, file: u32, schema: &SchemaRef) -> DataFusionResult<RecordBatch> {
        let count = self.rows.num_rows();
        let columns = schema
            .fields()
            .iter()
            .map(|field| -> DataFusionResult<ArrayRef> {
                Ok(match field.name().as_str() {
                    FILE => Arc::new(UInt32Array::from_value(file, count)),
                    POSITION => Arc::new(UInt64Array::from_iter_values(self.first..self.end())),
                    name => Arc::clone(self.rows.column_by_name(name).ok_or_else(|| {
                        datafusion::common::internal_datafusion_err!("a file lacks column {name}")
                    })?),
                })
            });
        let rows = RecordBatch::try_new(
            Arc::clone(schema),
            columns.collect::<DataFusionResult<Vec<_>>>()?,
        )?;
        if self.gone.is_empty() {
            return Ok(rows);
        }
        let there = (self.first..self.end()).map(|place| self.gone.binary_search(&place).is_err());
        let there: BooleanArray = there.map(Some).collect();
        Ok(filter_record_batch(&rows, &there)?)
    }
}

/// The rows of candidates as a table.
#[derive(Debug)]
struct Places {
    candidates: Candidates,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Places {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let files: Vec<u32> = (0..).take(self.candidates.files.len()).collect();
        let bytes = |file: &u32| {
            let file = self.candidates.files.get(*file as usize);
            file.map_or(0, |file| file.live.file.file_size_in_bytes())
        };
        let groups = spread(files, session.config().target_partitions(), bytes);
        let partition = |files| -> Arc<dyn PartitionStream> {
            Arc::new(PlacesOf {
                candidates: self.candidates.clone(),
                files,
                schema: Arc::clone(&schema),
            })
        };
        Ok(Arc::new(StreamingTableExec::try_new(
            Arc::clone(&schema),
            groups.into_iter().map(partition).collect(),
            None,
            None,
            false,
            limit,
        )?))
    }
}

/// The rows of some of the candidates, one file after the other.
#[derive(Debug)]
struct PlacesOf {
    candidates: Candidates,
    files: Vec<u32>,
    schema: SchemaRef,
}

impl PartitionStream for PlacesOf {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (candidates, schema) = (self.candidates.clone(), Arc::clone(&self.schema));
        let batch_rows = context.session_config().batch_size();
        let of_file = move |file: u32| {
            let schema = Arc::clone(&schema);
            let mut columns: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .filter(|name| ![FILE, POSITION].contains(name))
                .collect();
            if columns.is_empty() {
                // Without a column the reader counts no rows.
                let first = candidates.arrow.fields().first();
                columns.extend(first.map(|field| field.name().as_str()));
            }
            let candidate = candidates.files.get(file as usize);
            let rows = candidate.map(|found| candidates.read(found, &columns, batch_rows));
            match rows {
                Some(Ok(rows)) => {
                    let schema = Arc::clone(&schema);
                    rows.map(move |placed| placed.map_err(external)?.with_places(file, &schema))
                        .boxed()
                }
                Some(Err(error)) => {
                    let error = datafusion::error::DataFusionError::External(Box::new(error));
                    stream::once(async move { Err(error) }).boxed()
                }
                None => stream::empty().boxed(),
            }
        };
        let rows = stream::iter(self.files.clone()).flat_map(of_file);
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }
}
