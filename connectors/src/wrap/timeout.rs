//! No request waits for ever.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt as _, stream};

use super::{sink_of, source_of};
use crate::contract::{
    BatchStream, Connection, Fence, Read, Remembered, Scan, Sink, Source, Split, Stage, Staged,
    Write,
};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Watermark;

/// Ends every call, and every wait for the next batch, that takes longer than `limit`. A commit that takes longer may
/// have happened: it ends as [`ErrorKind::CommitUnknown`].
pub fn timeout(inner: Box<dyn Connection>, limit: Duration) -> Box<dyn Connection> {
    Box::new(Timed { limit, inner })
}

struct Timed<T: ?Sized> {
    limit: Duration,
    inner: Box<T>,
}

async fn within<T>(
    limit: Duration,
    what: &'static str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let message = format!("no answer within {limit:?}");
        Err(Error::new(ErrorKind::Timeout, message).with("waiting for", what))
    })
}

#[async_trait]
impl Connection for Timed<dyn Connection> {
    fn source(&self) -> Option<&dyn Source> {
        self.inner.source().map(|_| self as &dyn Source)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        self.inner.sink().map(|_| self as &dyn Sink)
    }

    async fn probe(&self) -> Result<String> {
        within(self.limit, "probe", self.inner.probe()).await
    }
}

#[async_trait]
impl Source for Timed<dyn Connection> {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        within(
            self.limit,
            "highest",
            source_of(&*self.inner)?.highest(read),
        )
        .await
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        let inner = within(self.limit, "scan", source_of(&*self.inner)?.scan(read)).await?;
        Ok(Box::new(Timed {
            limit: self.limit,
            inner,
        }))
    }
}

#[async_trait]
impl Scan for Timed<dyn Scan> {
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
        let limit = self.limit;
        let rows = within(limit, "read", self.inner.read(split)).await?;
        let timed = stream::unfold(Some(rows), move |rows| async move {
            let mut rows = rows?;
            match within(limit, "the next batch", async { Ok(rows.next().await) }).await {
                Ok(next) => next.map(|batch| (batch, Some(rows))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(timed.boxed())
    }
}

#[async_trait]
impl Sink for Timed<dyn Connection> {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        within(self.limit, "table", sink_of(&*self.inner)?.table(table)).await
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        within(
            self.limit,
            "committed",
            sink_of(&*self.inner)?.committed(write),
        )
        .await
    }

    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>> {
        within(
            self.limit,
            "remembered",
            sink_of(&*self.inner)?.remembered(table),
        )
        .await
    }

    async fn raise(&self, table: &str, fence: &Fence) -> Result<()> {
        within(
            self.limit,
            "raise",
            sink_of(&*self.inner)?.raise(table, fence),
        )
        .await
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        let inner = within(
            self.limit,
            "stage",
            sink_of(&*self.inner)?.stage(write, schema),
        )
        .await?;
        Ok(Box::new(Timed {
            limit: self.limit,
            inner,
        }))
    }
}

#[async_trait]
impl Stage for Timed<dyn Stage> {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        within(self.limit, "write", self.inner.write(batch)).await
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>> {
        let Self { limit, inner } = *self;
        let inner = within(limit, "finish", inner.finish()).await?;
        Ok(Box::new(Timed { limit, inner }))
    }
}

#[async_trait]
impl Staged for Timed<dyn Staged> {
    async fn commit(self: Box<Self>) -> Result<u64> {
        let Self { limit, inner } = *self;
        within(limit, "commit", inner.commit())
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Timeout => Error::new(
                    ErrorKind::CommitUnknown,
                    "the commit was not confirmed in time",
                )
                .caused_by(error),
                _ => error,
            })
    }
}
