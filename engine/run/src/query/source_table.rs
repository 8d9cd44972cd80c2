//! A source as a table: projection, filters and limit go down to where the rows are.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use connectors::{BatchStream, Connection, Error, ErrorKind, Read, Result, Scan, Split};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::StreamingTableExec;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::counted::CountedExec;
use super::predicate;
use super::stream_table;

/// Watches the batches that a source returns: rows, bytes.
pub(crate) type Watch = Arc<dyn Fn(&arrow::array::RecordBatch) + Send + Sync>;

/// A read of a source, as a table. Each scan by a query opens the source anew.
pub(crate) struct SourceTable {
    connection: Arc<dyn Connection>,
    read: Read,
    schema: SchemaRef,
    watch: Watch,
    parallel: usize,
}

impl SourceTable {
    /// A table over a read whose full schema is known; it is read with at most `parallel` streams.
    pub(crate) fn new(
        connection: Arc<dyn Connection>,
        read: Read,
        schema: SchemaRef,
        watch: Watch,
        parallel: usize,
    ) -> Self {
        Self {
            connection,
            read,
            schema,
            watch,
            parallel,
        }
    }

    /// The whole read, without a query between, as at most `parallel` streams.
    pub(crate) async fn streams(&self, parallel: usize) -> Result<Vec<BatchStream>> {
        let scan = SharedScan::open(&self.connection, &self.read, Arc::clone(&self.watch)).await?;
        Ok(scan.streams(parallel.min(self.parallel)))
    }
}

impl fmt::Debug for SourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceTable({:?})", self.read.from)
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut read = self.read.clone();
        read.predicate = predicate::translate(filters);
        read.limit = limit.and_then(|limit| u64::try_from(limit).ok());
        // A query that needs no column (`count(*)`) still needs rows: the narrowest way to have them is one column.
        let wanted: Vec<usize> = match projection {
            Some(columns) if columns.is_empty() => vec![0],
            Some(columns) => columns.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let projected = self.schema.project(&wanted)?;
        read.columns = Some(
            projected
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect(),
        );
        let scan = SharedScan::open(&self.connection, &read, Arc::clone(&self.watch))
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let (schema, rows) = (scan.schema(), scan.rows());
        let streams = scan.streams(state.config().target_partitions().min(self.parallel));
        let partitions = stream_table::partitions(&schema, streams);
        let none_wanted = projection.is_some_and(Vec::is_empty);
        let exec = StreamingTableExec::try_new(
            schema,
            partitions,
            none_wanted.then_some(&Vec::new()),
            None,
            false,
            limit,
        )?;
        Ok(CountedExec::of(exec, rows))
    }
}

/// A scan whose splits are worked off by several streams at once, each taking the next that nobody has.
#[derive(Clone)]
pub(crate) struct SharedScan {
    scan: Arc<dyn Scan>,
    waiting: Arc<Mutex<VecDeque<Split>>>,
    watch: Watch,
}

impl SharedScan {
    /// Opens the scan.
    pub(crate) async fn open(
        connection: &Arc<dyn Connection>,
        read: &Read,
        watch: Watch,
    ) -> Result<Self> {
        let source = connection.source().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "this connection cannot be read from",
            )
        })?;
        let scan: Arc<dyn Scan> = Arc::from(source.scan(read).await?);
        let waiting = Arc::new(Mutex::new(scan.splits().iter().cloned().collect()));
        Ok(Self {
            scan,
            waiting,
            watch,
        })
    }

    /// The columns of every batch.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.scan.schema()
    }

    /// About how many rows there are, where that is known of every split.
    fn rows(&self) -> Option<u64> {
        self.scan.splits().iter().map(|split| split.rows).sum()
    }

    /// At most `parallel` streams that together return every row once.
    pub(crate) fn streams(&self, parallel: usize) -> Vec<BatchStream> {
        let splits = self.scan.splits().len();
        (0..parallel.min(splits).max(1))
            .map(|_| self.clone().worker())
            .collect()
    }

    fn worker(self) -> BatchStream {
        let watch = Arc::clone(&self.watch);
        stream::try_unfold(self, |shared| async move {
            let next = shared
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            match next {
                Some(split) => {
                    let rows = shared.scan.read(&split).await?;
                    Ok::<_, Error>(Some((rows, shared)))
                }
                None => Ok(None),
            }
        })
        .try_flatten()
        .inspect_ok(move |batch| watch(batch))
        .boxed()
    }
}
