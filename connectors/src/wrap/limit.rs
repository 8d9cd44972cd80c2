//! No more sessions at once than a connection may hold.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{sink_of, source_of};
use crate::contract::{
    BatchStream, Connection, Fence, Read, Remembered, Scan, Sink, Source, Split, Stage, Staged,
    Write,
};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Watermark;

/// Lets at most `sessions` reads, and as many writes, go on at once; others wait. A read lasts until its stream is
/// dropped or ends, a write until it is committed or dropped. Reads and writes are counted apart: a run that reads and
/// writes through one connection would otherwise wait for itself.
pub fn limit(inner: Box<dyn Connection>, sessions: usize) -> Box<dyn Connection> {
    let seats = || Arc::new(Semaphore::new(sessions.max(1)));
    Box::new(Limited {
        reads: seats(),
        writes: seats(),
        inner,
    })
}

struct Limited {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    inner: Box<dyn Connection>,
}

async fn seat(seats: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit> {
    Arc::clone(seats).acquire_owned().await.map_err(|error| {
        Error::new(ErrorKind::Internal, "the limit of sessions was closed").caused_by(error)
    })
}

#[async_trait]
impl Connection for Limited {
    fn source(&self) -> Option<&dyn Source> {
        self.inner.source().map(|_| self as &dyn Source)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        self.inner.sink().map(|_| self as &dyn Sink)
    }

    async fn probe(&self) -> Result<String> {
        let _seat = seat(&self.reads).await?;
        self.inner.probe().await
    }
}

#[async_trait]
impl Source for Limited {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        let _seat = seat(&self.reads).await?;
        source_of(&*self.inner)?.highest(read).await
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        // Only while it opens: an open scan that kept its seat would keep its own splits from being read.
        let _seat = seat(&self.reads).await?;
        let inner = source_of(&*self.inner)?.scan(read).await?;
        Ok(Box::new(LimitedScan {
            reads: Arc::clone(&self.reads),
            inner,
        }))
    }
}

struct LimitedScan {
    reads: Arc<Semaphore>,
    inner: Box<dyn Scan>,
}

#[async_trait]
impl Scan for LimitedScan {
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
        let seat = seat(&self.reads).await?;
        let rows = self.inner.read(split).await?;
        let seated = stream::unfold((rows, seat), |(mut rows, seat)| async move {
            let next = rows.next().await?;
            Some((next, (rows, seat)))
        });
        Ok(seated.boxed())
    }
}

#[async_trait]
impl Sink for Limited {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        let _seat = seat(&self.writes).await?;
        sink_of(&*self.inner)?.table(table).await
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        let _seat = seat(&self.writes).await?;
        sink_of(&*self.inner)?.committed(write).await
    }

    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>> {
        let _seat = seat(&self.writes).await?;
        sink_of(&*self.inner)?.remembered(table).await
    }

    async fn raise(&self, table: &str, fence: &Fence) -> Result<()> {
        let _seat = seat(&self.writes).await?;
        sink_of(&*self.inner)?.raise(table, fence).await
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        let seat = seat(&self.writes).await?;
        let inner = sink_of(&*self.inner)?.stage(write, schema).await?;
        Ok(Box::new(LimitedStage { inner, seat }))
    }
}

struct LimitedStage {
    inner: Box<dyn Stage>,
    seat: OwnedSemaphorePermit,
}

#[async_trait]
impl Stage for LimitedStage {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.inner.write(batch).await
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>> {
        let Self { inner, seat } = *self;
        Ok(Box::new(LimitedStaged {
            inner: inner.finish().await?,
            _seat: seat,
        }))
    }
}

struct LimitedStaged {
    inner: Box<dyn Staged>,
    _seat: OwnedSemaphorePermit,
}

#[async_trait]
impl Staged for LimitedStaged {
    async fn commit(self: Box<Self>) -> Result<u64> {
        self.inner.commit().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_seat_is_free_again_when_it_is_dropped() {
        let seats = Arc::new(Semaphore::new(1));
        let first = seat(&seats).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(10), seat(&seats)).await;
        assert!(second.is_err());
        drop(first);
        assert!(seat(&seats).await.is_ok());
    }
}
