//! Faults on purpose, by script: the crash matrix of the tests is a table of these.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Where a fault can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Asking for the highest watermark.
    Highest,
    /// Opening a scan.
    Scan,
    /// Opening the read of a split.
    Read,
    /// Waiting for a batch, over all reads.
    Batch,
    /// Opening a stage.
    Stage,
    /// Writing a batch.
    Write,
    /// Ending a stage.
    Finish,
    /// Committing.
    Commit,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The call fails and does nothing.
    Error(ErrorKind),
    /// The call waits first.
    Delay(Duration),
    /// The call is done, and its reply is lost: a commit ends as `CommitUnknown`, anything else as `Unavailable`.
    LostReply,
}

/// A fault: at which call, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub at: Point,
    /// At which call, counted from one over the whole connection; at every one when `None`.
    pub call: Option<usize>,
    /// What.
    pub action: Action,
}

/// Faults, and how often each point was passed. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Script {
    faults: Arc<[Fault]>,
    passed: Arc<Mutex<BTreeMap<Point, usize>>>,
}

impl Script {
    /// A script with these faults.
    pub fn new(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self {
            faults: faults.into_iter().collect(),
            passed: Arc::default(),
        }
    }

    /// How often a point was passed.
    pub fn passed(&self, point: Point) -> usize {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.get(&point).copied().unwrap_or_default()
    }

    fn pass(&self, point: Point) -> Option<Action> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = passed.entry(point).or_default();
        *count += 1;
        let hit =
            |fault: &&Fault| fault.at == point && fault.call.is_none_or(|call| call == *count);
        self.faults.iter().find(hit).map(|fault| fault.action)
    }

    async fn around<T>(&self, point: Point, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.pass(point) {
            None => call.await,
            Some(Action::Error(kind)) => Err(scripted(kind, point)),
            Some(Action::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                call.await
            }
            Some(Action::LostReply) => {
                call.await?;
                let lost = if point == Point::Commit {
                    ErrorKind::CommitUnknown
                } else {
                    ErrorKind::Unavailable
                };
                Err(scripted(lost, point))
            }
        }
    }
}

fn scripted(kind: ErrorKind, point: Point) -> Error {
    Error::new(kind, "a fault of the script").with("at", format!("{point:?}").to_lowercase())
}

/// Lets the script's faults happen.
pub fn fault(inner: Box<dyn Connection>, script: Script) -> Box<dyn Connection> {
    Box::new(Faulty { script, inner })
}

struct Faulty<T: ?Sized> {
    script: Script,
    inner: Box<T>,
}

#[async_trait]
impl Connection for Faulty<dyn Connection> {
    fn source(&self) -> Option<&dyn Source> {
        self.inner.source().map(|_| self as &dyn Source)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        self.inner.sink().map(|_| self as &dyn Sink)
    }

    async fn probe(&self) -> Result<String> {
        self.inner.probe().await
    }
}

#[async_trait]
impl Source for Faulty<dyn Connection> {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        self.script
            .around(Point::Highest, source_of(&*self.inner)?.highest(read))
            .await
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        let inner = self
            .script
            .around(Point::Scan, source_of(&*self.inner)?.scan(read))
            .await?;
        Ok(Box::new(Faulty {
            script: self.script.clone(),
            inner,
        }))
    }
}

#[async_trait]
impl Scan for Faulty<dyn Scan> {
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
        let rows = self
            .script
            .around(Point::Read, self.inner.read(split))
            .await?;
        let state = Some((rows, self.script.clone()));
        let faulty = stream::unfold(state, |state| async move {
            let (mut rows, script) = state?;
            match script
                .around(Point::Batch, async { rows.next().await.transpose() })
                .await
            {
                Ok(Some(batch)) => Some((Ok(batch), Some((rows, script)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(faulty.boxed())
    }
}

#[async_trait]
impl Sink for Faulty<dyn Connection> {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        sink_of(&*self.inner)?.table(table).await
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        sink_of(&*self.inner)?.committed(write).await
    }

    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>> {
        sink_of(&*self.inner)?.remembered(table).await
    }

    async fn raise(&self, table: &str, fence: &Fence) -> Result<()> {
        sink_of(&*self.inner)?.raise(table, fence).await
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        let inner = self
            .script
            .around(Point::Stage, sink_of(&*self.inner)?.stage(write, schema))
            .await?;
        Ok(Box::new(Faulty {
            script: self.script.clone(),
            inner,
        }))
    }
}

#[async_trait]
impl Stage for Faulty<dyn Stage> {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.script
            .around(Point::Write, self.inner.write(batch))
            .await
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>> {
        let Self { script, inner } = *self;
        let inner = script.around(Point::Finish, inner.finish()).await?;
        Ok(Box::new(Faulty { script, inner }))
    }
}

#[async_trait]
impl Staged for Faulty<dyn Staged> {
    async fn commit(self: Box<Self>) -> Result<u64> {
        let Self { script, inner } = *self;
        script.around(Point::Commit, inner.commit()).await
    }
}
