//! Streams as a table that is read once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use connectors::{BatchStream, Error, ErrorKind, Result};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::TryStreamExt;

use super::from_datafusion;

/// A table over streams of one schema, one partition each, to be read by one query.
pub(crate) fn stream_table(
    schema: &SchemaRef,
    streams: Vec<BatchStream>,
) -> Result<Arc<dyn TableProvider>> {
    let table = StreamingTable::try_new(Arc::clone(schema), partitions(schema, streams));
    Ok(Arc::new(table.map_err(from_datafusion)?))
}

/// The streams as partitions of a table, each to be executed once.
pub(super) fn partitions(
    schema: &SchemaRef,
    streams: Vec<BatchStream>,
) -> Vec<Arc<dyn PartitionStream>> {
    let as_datafusion = |stream: BatchStream| {
        let stream = stream.map_err(|error| DataFusionError::External(Box::new(error)));
        Once::partition(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(schema),
            stream,
        )))
    };
    streams.into_iter().map(as_datafusion).collect()
}

/// A partition that can be executed once.
pub(super) struct Once {
    schema: SchemaRef,
    stream: Mutex<Option<SendableRecordBatchStream>>,
}

impl Once {
    /// The rows of a stream as a partition.
    pub(super) fn partition(stream: SendableRecordBatchStream) -> Arc<dyn PartitionStream> {
        Arc::new(Self {
            schema: stream.schema(),
            stream: Mutex::new(Some(stream)),
        })
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let stream = self
            .stream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        stream.unwrap_or_else(|| {
            let error = Error::new(ErrorKind::Internal, "a stream of rows was to be read twice");
            let error = DataFusionError::External(Box::new(error));
            Box::pin(RecordBatchStreamAdapter::new(
                Arc::clone(&self.schema),
                futures::stream::once(async { Err(error) }),
            ))
        })
    }
}
