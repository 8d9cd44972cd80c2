//! The contract between a connector and the engine.
//!
//! A *connector* is a kind of system, a *connection* one configured instance of it, with a *source* side, a *sink* side
//! or both. The contract speaks Arrow and nothing of DataFusion, Iceberg or specs. Retry, timeouts, limits, tracing and
//! faults are wrappers around it (`wrap`), never inside a connector.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::secret::Secrets;
use crate::value::{Predicate, Watermark};

/// Batches of rows, in order, ending at the first error. Dropping it cancels the read.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// What a connector can do, as data: the engine checks a spec against it before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Reading, where the connector can.
    pub source: Option<SourceCapability>,
    /// Writing, where the connector can.
    pub sink: Option<SinkCapability>,
}

/// What a source can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing that a source can do or not, apart from the others"
)]
pub struct SourceCapability {
    /// It reads the answer of a query (`query:`), not only tables.
    pub queries: bool,
    /// It uses a [`Predicate`] to read less.
    pub predicates: bool,
    /// It knows which rows of a table changed, deleted ones too ([`Window::changes`]).
    pub changes: bool,
    /// How it reads only what is new.
    pub incremental: Incremental,
    /// Every split that is read holds one of the connection's sessions, of which there are few.
    pub sessions: bool,
}

/// How a source reads only what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incremental {
    /// It cannot.
    No,
    /// By the value of a column that grows.
    Column,
    /// By files that were not there before.
    Files,
}

/// What a sink can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing that a sink can do or not, apart from the others"
)]
pub struct SinkCapability {
    /// It adds rows.
    pub append: bool,
    /// It exchanges the whole content at once.
    pub replace: bool,
    /// It inserts and updates by key.
    pub merge: bool,
    /// It keeps a [`Stamp`] with the rows of a write, in the same commit, and knows rows again by their key. Rows of
    /// which only the new ones are read can go nowhere else: no other target could say how far they were read.
    pub remembers: bool,
}

/// What a connector author writes: one kind of system.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// The word in `connector:`.
    const KIND: &'static str;
    /// What it can do.
    const CAPABILITY: Capability;
    /// `options:` of a connection. Refuses unknown fields; its doc comments become the JSON Schema.
    type Options: DeserializeOwned + JsonSchema + Send;
    /// `options:` of an extract.
    type ReadOptions: DeserializeOwned + JsonSchema;
    /// `options:` of a load.
    type WriteOptions: DeserializeOwned + JsonSchema;

    /// Opens a connection. The first I/O is allowed here, and only what is needed to know that the other side is there.
    async fn open(options: Self::Options, opening: Opening<'_>) -> Result<Box<dyn Connection>>;
}

/// What a connection may use while it opens.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The project's folder, to which relative paths in options refer.
    pub root: &'a Path,
    /// Where secrets come from.
    pub secrets: &'a dyn Secrets,
    /// How many sessions this connection may hold at once; never zero.
    pub sessions: usize,
}

/// One configured instance of a connector.
#[async_trait]
pub trait Connection: Send + Sync {
    /// The reading side.
    fn source(&self) -> Option<&dyn Source> {
        None
    }

    /// The writing side.
    fn sink(&self) -> Option<&dyn Sink> {
        None
    }

    /// Asks the other side whether it is there and what it is: `PostgreSQL 15.18, TLS 1.3`. One line, no secret.
    async fn probe(&self) -> Result<String>;
}

/// What is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// A table, or for files a path with `*`, `?`, `**`, in the connector's own way of writing it.
    Table(String),
    /// The answer of a query in the connector's own language.
    Query(String),
}

/// Everything that decides which rows a read returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The table or query.
    pub from: From,
    /// The columns wanted, in this order; all when `None`.
    pub columns: Option<Vec<String>>,
    /// A hint to read less (see [`Predicate`]).
    pub predicate: Option<Predicate>,
    /// No more rows than this are needed, over all splits.
    pub limit: Option<u64>,
    /// The rows that are new. Unlike `predicate`, this is exact: no row outside it may be returned.
    pub window: Option<Window>,
    /// How the read is to be cut.
    pub splits: SplitBy,
    /// `options:` of the extract, already checked against the connector's `ReadOptions`.
    pub options: serde_json::Value,
}

impl Read {
    /// A read of all of a table.
    pub fn table(name: impl Into<String>) -> Self {
        Self {
            from: From::Table(name.into()),
            columns: None,
            predicate: None,
            limit: None,
            window: None,
            splits: SplitBy::default(),
            options: serde_json::Value::Null,
        }
    }
}

/// How a read is cut into splits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitBy {
    /// The column to cut by; the connector chooses when `None`.
    pub column: Option<String>,
    /// About this many rows a split; the connector chooses when `None`.
    pub target_rows: Option<u64>,
}

/// The part of a source that is new: `after < watermark <= until`, or `after <= watermark <= until`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The rows are those that changed after the version `after`, each key once, as the source has it at the moment of the
    /// read, which is not before `until`: what changed in between comes again with the next window. All rows where there
    /// is no `after`. Beside its columns a row has [`CHANGE`] and [`VERSION`], which is `column`; of a deleted row all but
    /// these and the key are NULL.
    pub changes: bool,
    /// The watermark column; `None` where files are the watermark.
    pub column: Option<String>,
    /// Where the last read ended; `None` on the first.
    pub after: Option<Watermark>,
    /// Whether rows that equal `after` are read again.
    pub inclusive: bool,
    /// Where this read ends; `None` only where the source had nothing at all.
    pub until: Option<Watermark>,
    /// What becomes of rows whose watermark is NULL.
    pub nulls: Nulls,
}

/// The column of a changed row that says what became of it: `insert`, `update` or [`DELETE`].
pub const CHANGE: &str = "_change";
/// The column of a changed row with the version of its change, a number that grows.
pub const VERSION: &str = "_version";
/// What [`CHANGE`] says of a row that is gone.
pub const DELETE: &str = "delete";

/// What becomes of rows whose watermark is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Nulls {
    /// The read fails and names the column: such a row would never be seen.
    #[default]
    Fail,
    /// They are left out.
    Skip,
    /// They are read every time.
    Read,
}

/// The reading side of a connection.
#[async_trait]
pub trait Source: Send + Sync {
    /// The highest watermark there is now for this read (`window.column`, or the files there are), ignoring `after`
    /// and `until`; `None` where there are no rows.
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>>;

    /// Opens a read of **one moment**: the schema, the splits and all their rows are of the same state of the source,
    /// as far as the system can (a database: one snapshot; files: the listing, each file pinned by its etag).
    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>>;
}

/// One read of one moment. Dropping it ends the moment: keep it until the last split is read.
#[async_trait]
pub trait Scan: Send + Sync {
    /// The columns of every batch, in order. No batch has any other.
    fn schema(&self) -> SchemaRef;

    /// The parts. Together they hold every row of the read exactly once; each can be read alone, in any order,
    /// at the same time as others, and again with the same rows.
    fn splits(&self) -> &[Split];

    /// One line for `plan`: how the read is cut and what of the predicate the source applies.
    fn describe(&self) -> String;

    /// Reads one part in bounded memory.
    async fn read(&self, split: &Split) -> Result<BatchStream>;
}

/// A part of a read.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// A name for logs, unique in the scan: `ctid 0..4096`.
    pub name: String,
    /// What the connector needs to read it.
    pub payload: serde_json::Value,
    /// About how many rows, where known.
    pub rows: Option<u64>,
}

/// How rows meet what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// Rows are added.
    Append,
    /// Rows become the whole content; readers see the old content or the new one.
    Replace,
    /// Rows are inserted, or update the row with the same key.
    Merge {
        /// The columns of the key; never empty.
        key: Vec<String>,
    },
}

/// Everything that decides what a write does.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The table or path, in the connector's own way of writing it.
    pub table: String,
    /// How rows meet what is there.
    pub mode: WriteMode,
    /// The run this write belongs to: writing it again with the same run changes nothing.
    pub run: String,
    /// With `Append`: rows that are there already are left out. `None` where every row is new.
    pub known_by: Option<KnownBy>,
    /// What the target remembers from this commit on; nothing but the run when `None`.
    pub stamp: Option<Stamp>,
    /// With a stamp: the newest commit of the same load that the writer knows of ([`Remembered::position`]). Where the
    /// target has another one by the time of the commit, that ends as `Conflict`, and nothing of it is visible.
    pub after: Option<i64>,
    /// Who commits. Where the target knows of a higher token under the same name, the commit ends as `Conflict`, and
    /// nothing of it is visible; `None` where nobody else can have been given the same right.
    pub fence: Option<Fence>,
    /// `options:` of the load, already checked against the connector's `WriteOptions`.
    pub options: serde_json::Value,
}

impl Write {
    /// A write without options, of which the target remembers the run.
    pub fn new(table: impl Into<String>, mode: WriteMode, run: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            mode,
            run: run.into(),
            known_by: None,
            stamp: None,
            after: None,
            fence: None,
            options: serde_json::Value::Null,
        }
    }
}

/// A right that one process has at a time, and that may have gone to another while the one who had it stood still: the
/// number grows each time it is given, so that who has the higher one is the one who has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence {
    /// Who gives it: what others give under the same name is another right.
    pub giver: String,
    /// What it is the right to: a pipeline.
    pub name: String,
    /// The number with which it was given.
    pub token: i64,
}

/// How rows that were read before are known again: a row is there already when one with the same key is, NULL being
/// equal to NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBy {
    /// The columns of the key, the watermark among them.
    pub key: Vec<String>,
    /// The watermark column: no row below the lowest one that comes in can be met again.
    pub watermark: String,
}

/// What a target remembers of a load, in the same commit as its rows: after a crash this is the truth, whatever any
/// log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The pipeline.
    pub pipeline: String,
    /// The load, one of the pipeline's steps.
    pub load: String,
    /// The fingerprint of the plan.
    pub fingerprint: String,
    /// How far each extract had read: step to watermark, as text that only the writer understands. A step that is not
    /// named keeps the watermark of an earlier commit of the same load.
    pub watermarks: BTreeMap<String, String>,
}

/// One commit, as the target remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its place in the order of commits.
    pub position: i64,
    /// The run.
    pub run: String,
    /// What was remembered beside the run, with the watermarks of earlier commits of the same load where this one had
    /// none; `None` where that was nothing.
    pub stamp: Option<Stamp>,
}

/// The writing side of a connection.
#[async_trait]
pub trait Sink: Send + Sync {
    /// The columns that are there now; `None` where there is no such table.
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>>;

    /// Whether this run's write has been committed already. Asked after a crash, before anything is read.
    async fn committed(&self, write: &Write) -> Result<bool>;

    /// What the table remembers, the newest commit first: the newest of each load, and recent ones without a stamp.
    /// A table that is gone has forgotten everything. Always empty where [`SinkCapability::remembers`] is false.
    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>>;

    /// From here on the target refuses commits beside `table` under a lower token ([`Write::fence`]). Returns when every
    /// commit that was on its way under one has happened or never will. What only remembers runs does nothing: the same
    /// run is not committed to it twice.
    async fn raise(&self, table: &str, fence: &Fence) -> Result<()> {
        let _ = (table, fence);
        Ok(())
    }

    /// Opens a stage: rows written to it are not visible to anybody.
    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>>;
}

/// Rows on their way, visible to nobody. Dropping it discards them.
#[async_trait]
pub trait Stage: Send {
    /// Takes a batch of the schema given to [`Sink::stage`].
    async fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Ends writing: from here on only [`Staged::commit`] can fail for reasons of its own.
    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>>;
}

/// Rows written and not visible. Dropping it discards them.
#[async_trait]
pub trait Staged: Send {
    /// Makes them visible, all at once, and remembers run and stamp in the same step: how many rows were added or
    /// changed, none where the target remembers the run. `CommitUnknown` when the reply was lost.
    async fn commit(self: Box<Self>) -> Result<u64>;
}
