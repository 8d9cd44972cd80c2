//! Failpoints around a connection, where its reads and writes are: inside of its time limits.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use connectors::{
    BatchStream, Connection, Error, ErrorKind, Fence, Read, Remembered, Result, Scan, Sink, Source,
    Split, Stage, Staged, Watermark, Write,
};
use futures::{StreamExt as _, future, stream};

use super::act::{after, before, is_armed};
use super::point::Point;

/// The connection with its failpoints, where the process is armed.
pub(crate) fn around(inner: Box<dyn Connection>) -> Box<dyn Connection> {
    if is_armed() {
        Box::new(Around(inner))
    } else {
        inner
    }
}

struct Around<T: ?Sized>(Box<T>);

impl Around<dyn Connection> {
    fn reads(&self) -> Result<&dyn Source> {
        self.0.source().ok_or_else(one_sided)
    }

    fn writes(&self) -> Result<&dyn Sink> {
        self.0.sink().ok_or_else(one_sided)
    }
}

fn one_sided() -> Error {
    Error::new(ErrorKind::Unsupported, "this connection has no such side")
}

#[async_trait]
impl Connection for Around<dyn Connection> {
    fn source(&self) -> Option<&dyn Source> {
        self.0.source().map(|_| self as &dyn Source)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        self.0.sink().map(|_| self as &dyn Sink)
    }

    async fn probe(&self) -> Result<String> {
        self.0.probe().await
    }
}

#[async_trait]
impl Source for Around<dyn Connection> {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        self.reads()?.highest(read).await
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        Ok(Box::new(Around(self.reads()?.scan(read).await?)))
    }
}

#[async_trait]
impl Scan for Around<dyn Scan> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn splits(&self) -> &[Split] {
        self.0.splits()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    async fn read(&self, split: &Split) -> Result<BatchStream> {
        before(Point::ReadSplit).await?;
        let rows = self.0.read(split).await?;
        let end = stream::once(after(Point::ReadSplit))
            .filter_map(|ended| future::ready(ended.err().map(Err)));
        Ok(rows.chain(end).boxed())
    }
}

#[async_trait]
impl Sink for Around<dyn Connection> {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        self.writes()?.table(table).await
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        self.writes()?.committed(write).await
    }

    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>> {
        self.writes()?.remembered(table).await
    }

    async fn raise(&self, table: &str, fence: &Fence) -> Result<()> {
        self.writes()?.raise(table, fence).await
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        before(Point::SinkStage).await?;
        let stage = self.writes()?.stage(write, schema).await?;
        after(Point::SinkStage).await?;
        Ok(Box::new(Around(stage)))
    }
}

#[async_trait]
impl Stage for Around<dyn Stage> {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.write(batch).await
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>> {
        Ok(Box::new(Around(self.0.finish().await?)))
    }
}

#[async_trait]
impl Staged for Around<dyn Staged> {
    async fn commit(self: Box<Self>) -> Result<u64> {
        before(Point::SinkCommit).await?;
        let rows = self.0.commit().await?;
        after(Point::SinkCommit).await?;
        Ok(rows)
    }
}
