//! Rows kept on local disk for the time of a run, so that several steps can read what was computed once.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use async_trait::async_trait;
use connectors::{BatchStream, Error, ErrorKind, Result};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::StreamingTableExec;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::counted::CountedExec;
use super::from_datafusion;
use super::stream_table::Once;
use crate::failpoint::{self, Point};

/// Batches that may wait between a stream and its file.
const WAITING_BATCHES: usize = 2;

/// Rows on local disk, one file a stream. The files go when it is dropped.
#[derive(Clone)]
pub(crate) struct Spool {
    schema: SchemaRef,
    files: Arc<Files>,
    rows: u64,
}

struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for file in &self.0 {
            // The scratch folder itself goes at the end of the run; this only frees disk sooner.
            let _ = std::fs::remove_file(file);
        }
    }
}

impl Spool {
    /// Writes all rows of these streams to files in `folder` whose names begin with `name`.
    pub(crate) async fn write(
        folder: &Path,
        name: &str,
        schema: SchemaRef,
        streams: Vec<BatchStream>,
    ) -> Result<Self> {
        failpoint::before(Point::StepSpool).await?;
        let files: Vec<PathBuf> = (0..streams.len())
            .map(|i| folder.join(format!("{name}-{i}.arrows")))
            .collect();
        let mut spool = Self {
            schema,
            files: Arc::new(Files(files)),
            rows: 0,
        };
        let mut workers = JoinSet::new();
        for (stream, file) in streams.into_iter().zip(&spool.files.0) {
            let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
            workers.spawn(feed(stream, sender));
            let (file, schema) = (file.clone(), Arc::clone(&spool.schema));
            workers.spawn_blocking(move || write_one(&file, &schema, receiver).map(|()| 0));
        }
        while let Some(done) = workers.join_next().await {
            spool.rows += done.map_err(|error| {
                Error::new(ErrorKind::Internal, "a writer of rows died").caused_by(error)
            })??;
        }
        failpoint::after(Point::StepSpool).await?;
        Ok(spool)
    }

    /// The columns.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows, as often as wanted.
    pub(crate) fn streams(&self) -> Vec<BatchStream> {
        let read = |file: &PathBuf| self.read_one(file).map_err(from_datafusion).boxed();
        self.files.0.iter().map(read).collect()
    }

    /// The rows of a file, read by a thread that may wait for the disk.
    fn read_one(&self, path: &Path) -> SendableRecordBatchStream {
        let mut stream =
            RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), WAITING_BATCHES);
        let (sender, path, keep) = (stream.tx(), path.to_owned(), Arc::clone(&self.files));
        stream.spawn_blocking(move || {
            let _alive = keep;
            let file = File::open(&path)
                .map_err(|error| DataFusionError::External(Box::new(failed(&path, error))))?;
            for batch in StreamReader::try_new(BufReader::new(file), None)? {
                if sender.blocking_send(Ok(batch?)).is_err() {
                    // Nobody wants the rest.
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}

/// Hands rows to the thread that writes them, and counts them. Where that has stopped, it says itself why.
async fn feed(mut stream: BatchStream, rows: mpsc::Sender<RecordBatch>) -> Result<u64> {
    let mut count = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        if rows.send(batch).await.is_err() {
            break;
        }
    }
    Ok(count)
}

fn write_one(path: &Path, schema: &SchemaRef, mut rows: mpsc::Receiver<RecordBatch>) -> Result<()> {
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let file = File::create(path).map_err(|error| failed(path, error))?;
    let unwritten = |error: ArrowError| match error {
        ArrowError::IoError(_, error) => failed(path, error),
        other => other.into(),
    };
    let mut writer = StreamWriter::try_new_with_options(BufWriter::new(file), schema, options)
        .map_err(unwritten)?;
    while let Some(batch) = rows.blocking_recv() {
        writer.write(&batch).map_err(unwritten)?;
    }
    writer.finish().map_err(unwritten)?;
    // What does not fit on the disk any more must not be lost with the buffer.
    writer.flush().map_err(unwritten)?;
    Ok(())
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "rows could not be kept on local disk",
    )
    .with("file", path.display())
    .caused_by(error)
    .retry(false)
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spool({} files)", self.files.0.len())
    }
}

/// As a table, it can be read by any number of queries, any number of times.
#[async_trait]
impl TableProvider for Spool {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let rows = |file: &PathBuf| Once::partition(self.read_one(file));
        let partitions = self.files.0.iter().map(rows).collect();
        let schema = Arc::clone(&self.schema);
        let streams =
            StreamingTableExec::try_new(schema, partitions, projection, None, false, limit)?;
        Ok(CountedExec::of(streams, Some(self.rows)))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn a_full_disk_is_not_called_bad_data() {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        let ids = Arc::new(Int64Array::from_iter_values(0..100_000));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![ids]).unwrap();
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(rows).unwrap();
        drop(sender);
        let error = write_one(Path::new("/dev/full"), &schema, receiver).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.is_retryable());
        assert!(error.to_string().contains("local disk"), "{error}");
    }
}
