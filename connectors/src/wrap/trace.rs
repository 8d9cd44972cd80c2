//! Every call is a span, and every read says at its end how many rows it had.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tracing::{Instrument as _, Span, debug, debug_span};

use super::{sink_of, source_of};
use crate::contract::{
    BatchStream, Connection, Fence, From, Read, Remembered, Scan, Sink, Source, Split, Stage,
    Staged, Write,
};
use crate::error::Result;
use crate::value::Watermark;

/// Puts a span around every call, with the connection's `name` and what is read or written.
pub fn trace(inner: Box<dyn Connection>, name: impl Into<String>) -> Box<dyn Connection> {
    Box::new(Traced {
        name: name.into(),
        inner,
    })
}

struct Traced {
    name: String,
    inner: Box<dyn Connection>,
}

/// The table, or that it is a query: the text of a query may be long and is in the spec.
fn subject(read: &Read) -> &str {
    match &read.from {
        From::Table(table) => table,
        From::Query(_) => "(query)",
    }
}

#[async_trait]
impl Connection for Traced {
    fn source(&self) -> Option<&dyn Source> {
        self.inner.source().map(|_| self as &dyn Source)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        self.inner.sink().map(|_| self as &dyn Sink)
    }

    async fn probe(&self) -> Result<String> {
        self.inner
            .probe()
            .instrument(debug_span!("probe", connection = %self.name))
            .await
    }
}

#[async_trait]
impl Source for Traced {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        let span = debug_span!("highest", connection = %self.name, table = subject(read));
        source_of(&*self.inner)?
            .highest(read)
            .instrument(span)
            .await
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        let span = debug_span!("scan", connection = %self.name, table = subject(read));
        let inner = source_of(&*self.inner)?
            .scan(read)
            .instrument(span.clone())
            .await?;
        span.in_scope(|| debug!(splits = inner.splits().len(), "opened"));
        Ok(Box::new(TracedScan { span, inner }))
    }
}

struct TracedScan {
    span: Span,
    inner: Box<dyn Scan>,
}

#[async_trait]
impl Scan for TracedScan {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn splits(&self) -> &[Split] {
        self.inner.splits()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn read(&self, split: &Split) -> Result<BatchStream> {
        let span = debug_span!(parent: &self.span, "read", split = %split.name);
        let rows = self.inner.read(split).instrument(span.clone()).await?;
        let traced = stream::unfold((rows, span, 0), |(mut rows, span, count)| async move {
            let next = rows.next().instrument(span.clone()).await;
            match &next {
                Some(Ok(batch)) => {
                    let count = count + batch.num_rows();
                    return next.map(|batch| (batch, (rows, span, count)));
                }
                Some(Err(error)) => span.in_scope(|| debug!(rows = count, %error, "failed")),
                None => span.in_scope(|| debug!(rows = count, "ended")),
            }
            next.map(|batch| (batch, (rows, span, count)))
        });
        Ok(traced.boxed())
    }
}

#[async_trait]
impl Sink for Traced {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        let span = debug_span!("table", connection = %self.name, table);
        sink_of(&*self.inner)?.table(table).instrument(span).await
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        let span = debug_span!("committed", connection = %self.name, table = %write.table, run = %write.run);
        sink_of(&*self.inner)?
            .committed(write)
            .instrument(span)
            .await
    }

    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>> {
        let span = debug_span!("remembered", connection = %self.name, table);
        sink_of(&*self.inner)?
            .remembered(table)
            .instrument(span)
            .await
    }

    async fn raise(&self, table: &str, fence: &Fence) -> Result<()> {
        let span = debug_span!("raise", connection = %self.name, table);
        sink_of(&*self.inner)?
            .raise(table, fence)
            .instrument(span)
            .await
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        let span =
            debug_span!("stage", connection = %self.name, table = %write.table, run = %write.run);
        let inner = sink_of(&*self.inner)?
            .stage(write, schema)
            .instrument(span.clone())
            .await?;
        Ok(Box::new(TracedStage {
            span,
            rows: 0,
            inner,
        }))
    }
}

struct TracedStage {
    span: Span,
    rows: usize,
    inner: Box<dyn Stage>,
}

#[async_trait]
impl Stage for TracedStage {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.inner.write(batch).instrument(self.span.clone()).await
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>> {
        let Self { span, rows, inner } = *self;
        let inner = inner.finish().instrument(span.clone()).await?;
        span.in_scope(|| debug!(rows, "staged"));
        Ok(Box::new(TracedStaged { span, inner }))
    }
}

struct TracedStaged {
    span: Span,
    inner: Box<dyn Staged>,
}

#[async_trait]
impl Staged for TracedStaged {
    async fn commit(self: Box<Self>) -> Result<u64> {
        let Self { span, inner } = *self;
        inner
            .commit()
            .instrument(debug_span!(parent: &span, "commit"))
            .await
    }
}
