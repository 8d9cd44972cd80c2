//! Rows kept on local disk for the time of a run, so that several steps can read what was computed once.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use async_trait::async_trait;
use connectors::{BatchStream, Error, ErrorKind, Result};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::StreamingTableExec;
use futures::StreamExt;
use tokio::task::JoinSet;

use super::stream_table;

/// Rows on local disk, one file a stream. The files go when it is dropped.
#[derive(Clone)]
pub(crate) struct Spool {
    schema: SchemaRef,
    files: Arc<Files>,
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
        let files: Vec<PathBuf> = (0..streams.len())
            .map(|i| folder.join(format!("{name}-{i}.arrows")))
            .collect();
        let spool = Self {
            schema,
            files: Arc::new(Files(files)),
        };
        let mut writers = JoinSet::new();
        for (stream, file) in streams.into_iter().zip(&spool.files.0) {
            writers.spawn(write_one(file.clone(), Arc::clone(&spool.schema), stream));
        }
        while let Some(done) = writers.join_next().await {
            done.map_err(|error| {
                Error::new(ErrorKind::Internal, "a writer of rows died").caused_by(error)
            })??;
        }
        Ok(spool)
    }

    /// The rows, as often as wanted.
    pub(crate) fn streams(&self) -> Result<Vec<BatchStream>> {
        self.files
            .0
            .iter()
            .map(|file| self.read_one(file))
            .collect()
    }

    fn read_one(&self, path: &Path) -> Result<BatchStream> {
        let file = File::open(path).map_err(|error| failed(path, error))?;
        let reader = StreamReader::try_new(BufReader::new(file), None)?;
        let keep = Arc::clone(&self.files);
        let batches = reader.map(move |batch| {
            let _alive = &keep;
            batch.map_err(Error::from)
        });
        Ok(futures::stream::iter(batches).boxed())
    }
}

async fn write_one(path: PathBuf, schema: SchemaRef, mut stream: BatchStream) -> Result<()> {
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let file = File::create(&path).map_err(|error| failed(&path, error))?;
    let mut writer =
        StreamWriter::try_new_with_options(std::io::BufWriter::new(file), &schema, options)?;
    while let Some(batch) = stream.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()?;
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
        let streams = self
            .streams()
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let partitions = stream_table::partitions(&self.schema, streams);
        let schema = Arc::clone(&self.schema);
        Ok(Arc::new(StreamingTableExec::try_new(
            schema, partitions, projection, None, false, limit,
        )?))
    }
}
