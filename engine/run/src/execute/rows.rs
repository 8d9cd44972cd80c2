//! The rows of a step on their way to its readers.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connectors::{BatchStream, Result};
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use futures::{StreamExt, TryStreamExt};

use crate::query::{SourceTable, Spool, from_datafusion, stream_table};

/// The rows of a step, not read yet.
pub(super) enum Rows {
    /// An extract: read straight from the source, or as a table that queries push their filters into.
    Source {
        /// The read as a table.
        table: Arc<SourceTable>,
        /// Its columns.
        schema: SchemaRef,
    },
    /// A transform: computed when it is read.
    Query(Box<DataFrame>),
    /// Streams that can be read once.
    Streams {
        /// Their columns.
        schema: SchemaRef,
        /// The streams.
        streams: Vec<BatchStream>,
    },
    /// Rows that were computed and kept: they can be read again.
    Kept {
        /// Their columns.
        schema: SchemaRef,
        /// The files.
        spool: Spool,
    },
}

impl Rows {
    /// The columns.
    pub(super) fn schema(&self) -> SchemaRef {
        match self {
            Self::Source { schema, .. }
            | Self::Streams { schema, .. }
            | Self::Kept { schema, .. } => Arc::clone(schema),
            Self::Query(frame) => Arc::new(frame.schema().as_arrow().clone()),
        }
    }

    /// As a table for one query.
    pub(super) fn into_table(self) -> Result<Arc<dyn TableProvider>> {
        Ok(match self {
            Self::Source { table, .. } => table,
            Self::Query(frame) => frame.into_view(),
            Self::Streams { schema, streams } => stream_table(&schema, streams)?,
            Self::Kept { spool, .. } => Arc::new(spool),
        })
    }

    /// As streams, at most `parallel` of them where there is a choice, that together return every row once.
    pub(super) async fn into_streams(self, parallel: usize) -> Result<Vec<BatchStream>> {
        match self {
            Self::Source { table, .. } => table.streams(parallel).await,
            Self::Query(frame) => {
                let streams = frame
                    .execute_stream_partitioned()
                    .await
                    .map_err(from_datafusion)?;
                Ok(streams
                    .into_iter()
                    .map(|stream| stream.map_err(from_datafusion).boxed())
                    .collect())
            }
            Self::Streams { streams, .. } => Ok(streams),
            Self::Kept { spool, .. } => Ok(spool.streams()),
        }
    }
}
