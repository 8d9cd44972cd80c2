//! Rows into a table of the lake whose rows decide what becomes of them: inserted, updated, deleted by key; added where
//! they are new; in the place of a part.
//!
//! The rows that come are kept on disk in the table's types, one a key. They are joined with the rows of the files that
//! may hold their keys; what comes out are rows that are new, which go straight into files, and changes with the place
//! of the row that they change. When somebody else commits first, all but the first step is done again: the rows on
//! disk meet the table as it is then.

mod incoming;
mod new;
mod part;
mod states;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, filter_record_batch, is_null, not};
use arrow::datatypes::SchemaRef;
use connectors::{BatchStream, Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt};
use spec::model::{Deletes, LoadMode, Merge, MergeWrite, StepName, TableRef};
use spec::plan::{PlannedLoad, PlannedStep};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use self::incoming::How;
pub(super) use self::incoming::Incoming;
pub(crate) use self::incoming::written;
use super::executor::Attempt;
use super::load::{StagedLoad, Staging, died, tell};
use super::rows::Rows;
use crate::failpoint::{self, Point};
use crate::lake::{
    Candidates, ChangedRows, Choice, DELETES, FILE, GoneRows, LakeTable, POSITION, Staged,
    TableStage, Touched, WrittenFiles,
};
use crate::progress::ProgressEvent;
use crate::query::{Session, Spool, from_datafusion, quoted};

/// Memory below which one more sort at the same time could leave none enough to merge what it has spilled, in bytes.
const SORT_BYTES: usize = 256 << 20;
/// Batches that may wait between the join and the disk.
const WAITING_BATCHES: usize = 2;
/// Rows that one worker writes alone: each further worker makes one more file.
const WORKER_ROWS: u64 = 256 * 1024;

/// Rows staged on the table as it was, and kept for another try.
pub(super) struct StagedMeeting {
    pub(super) staged: Staged,
    pub(super) again: Incoming,
}

/// What one part of a merge has written and found.
#[derive(Default)]
struct Part {
    written: WrittenFiles,
    gone: GoneRows,
    changed: ChangedRows,
}

impl Attempt<'_> {
    /// Stages a load into a table of the lake that depends on the rows that are there.
    pub(super) async fn meet_in_lake(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        table: &TableRef,
        rows: Rows,
    ) -> Result<StagedLoad> {
        failpoint::before(Point::MergeIncoming).await?;
        let incoming = match &load.mode {
            LoadMode::Merge(merge) => self.incoming(step, load, table, merge, rows).await?,
            LoadMode::AppendNew(dedupe) => self.maybe_new(step, load, table, dedupe, rows).await?,
            LoadMode::ReplaceWhere(condition) => {
                self.of_part(step, load, table, condition, rows).await?
            }
            LoadMode::Append
            | LoadMode::Replace
            | LoadMode::ReplacePartitions
            | LoadMode::CreateOnly => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "rows were to meet others that they have nothing to do with",
                ));
            }
        };
        failpoint::after(Point::MergeIncoming).await?;
        let (staged, changed) = self.meet(&incoming).await?;
        Ok(StagedLoad {
            step: step.name.clone(),
            target: table.to_string(),
            rows: changed.all(),
            staging: Staging::Meeting(Box::new(StagedMeeting {
                staged,
                again: incoming,
            })),
            watermarks_of: load.watermarks_of.clone(),
        })
    }

    /// Whether the table still tells that was read up to where the rows begin: it may have gone back, and rows before
    /// them would be missing.
    pub(super) async fn goes_on(&self, incoming: &Incoming) -> Result<bool> {
        let table = self.engine.lake().await?.table(&incoming.request.table);
        let read = self.read_so_far(table.await?.as_ref(), incoming.watermarks_of());
        Ok(read == incoming.read_before)
    }

    /// How far a table tells that these extracts were read.
    fn read_so_far(&self, table: Option<&LakeTable>, extracts: &[StepName]) -> Vec<Option<String>> {
        let pipeline = self.plan.pipeline.to_string();
        let read = |extract: &StepName| table?.watermark(&pipeline, extract.as_str());
        extracts.iter().map(read).collect()
    }

    /// Brings the rows into the table as it is now. Nothing is visible after it.
    pub(super) async fn meet(&self, incoming: &Incoming) -> Result<(Staged, ChangedRows)> {
        match &incoming.how {
            How::Merge(merge) => Box::pin(self.merge(incoming, merge)).await,
            How::New(dedupe) => Box::pin(self.add_new(incoming, dedupe)).await,
            How::Part(part) => Box::pin(self.replace_part(incoming, part)).await,
        }
    }

    /// Merges the rows into the table as it is now. Nothing is visible after it.
    async fn merge(&self, incoming: &Incoming, merge: &Merge) -> Result<(Staged, ChangedRows)> {
        let lake = self.engine.lake().await?;
        let stage = Arc::new(lake.stage(incoming.request.clone()).await?);
        let every_file = merge.deletes == Deletes::ByAbsence;
        let keys = incoming.keys.as_ref().filter(|_| !every_file);
        failpoint::before(Point::MergeCandidates).await?;
        let candidates = stage.candidates(&merge.key, keys.map(Arc::as_ref)).await?;
        failpoint::after(Point::MergeCandidates).await?;
        let (some, all) = candidates.count();
        tracing::debug!(step = %incoming.step, files = some, of = all, "files that may hold a key");
        let session = self.engine.session()?;
        session.register_step("incoming", Arc::new(incoming.rows.clone()))?;
        session.register_step("candidates", candidates.provider())?;
        let columns = stage.table_schema()?;
        let sql = if let Some(time) = states::time_of(merge) {
            let states = states::sql(merge, time, &incoming.schema, &columns)?;
            let states = streams_of(&session, &states).await?;
            let (schema, by_state) = states::as_rows(merge, &incoming.schema, &columns)?;
            let states = self
                .spool(&incoming.step, "states", &schema, states)
                .await?;
            session.register_step("incoming", Arc::new(states))?;
            changes_sql(&by_state, &schema, &columns)
        } else {
            changes_sql(merge, &incoming.schema, &columns)
        };
        let frame = session.query(&sql).await?;
        let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
        let streams = frame.execute_stream_partitioned().await;
        let streams = streams.map_err(from_datafusion)?;
        let in_place = merge.write != MergeWrite::MergeOnRead;
        let mut parts = JoinSet::new();
        let mut moved: Vec<BatchStream> = Vec::new();
        for stream in streams {
            let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
            moved.push(received(receiver));
            let split = Split {
                stage: Arc::clone(&stage),
                columns: Arc::clone(&columns),
                changes: in_place.then_some(sender),
                tell: self.teller(&incoming.step),
            };
            parts.spawn(split.run(stream.map_err(from_datafusion).boxed()));
        }
        let spool = self
            .spool(&incoming.step, "changes", &schema, moved)
            .await?;
        let mut whole = Part::default();
        let mut written = Vec::new();
        while let Some(part) = parts.join_next().await {
            let part = part.map_err(died)??;
            written.push(part.written);
            whole.changed += part.changed;
            whole.gone = whole.gone.and(part.gone);
        }
        failpoint::before(Point::MergeRewrite).await?;
        let (mut touched, gone) = if in_place {
            let choice = self.choice(&incoming.step, merge, &candidates, &whole.gone);
            let (files, touched) = self.rewrite(&stage, &candidates, spool, &choice).await?;
            written.extend(files);
            (touched, whole.gone.only(&choice.listed))
        } else {
            (Vec::new(), whole.gone)
        };
        touched.push(stage.delete_rows(&candidates, gone).await?);
        failpoint::after(Point::MergeRewrite).await?;
        let alone = no_more_writers(stage)?;
        let staged = alone.merged(written, touched, whole.changed, keys.cloned());
        Ok((staged, whole.changed))
    }

    /// What is done with the files that rows go from, and says so where it was not asked for.
    fn choice(
        &self,
        step: &StepName,
        merge: &Merge,
        candidates: &Candidates,
        gone: &GoneRows,
    ) -> Choice {
        if merge.write != MergeWrite::ByFile {
            return candidates.all_again(gone);
        }
        let choice = candidates.choose(gone);
        if let Some(told) = choice.told() {
            let text = format!("{step}: {told}");
            self.progress.event(ProgressEvent::Note { text });
        }
        choice
    }

    /// Writes the files again that have changes, but for those that are listed, some by each worker.
    async fn rewrite(
        &self,
        stage: &Arc<TableStage>,
        candidates: &Candidates,
        changes: Spool,
        choice: &Choice,
    ) -> Result<(Vec<WrittenFiles>, Vec<Touched>)> {
        let session = self.engine.session()?;
        session.register_step("changes", Arc::new(changes))?;
        let (files, _) = candidates.count();
        // Each sorts its part of the changes.
        let sorts = self.engine.memory_bytes() / SORT_BYTES;
        let worth = usize::try_from(choice.rows.div_ceil(WORKER_ROWS)).unwrap_or(usize::MAX);
        let workers_at_once = self.engine.parallel().min(sorts).min(worth).max(1);
        let each = files.div_ceil(workers_at_once).max(1);
        let mut workers = JoinSet::new();
        for first in (0..files).step_by(each) {
            let sql = format!(
                "SELECT * FROM changes WHERE {FILE} >= {first} AND {FILE} < {} ORDER BY {FILE}, {POSITION}",
                first + each
            );
            let mut streams = streams_of(&session, &sql).await?;
            let sorted = streams.pop().filter(|_| streams.is_empty());
            let sorted = sorted.ok_or_else(|| {
                Error::new(
                    ErrorKind::Internal,
                    "sorted changes come in more than one stream",
                )
            })?;
            let (stage, candidates) = (Arc::clone(stage), candidates.clone());
            let listed = choice.listed.clone();
            workers.spawn(async move { stage.rewrite(&candidates, sorted, &listed).await });
        }
        let (mut written, mut touched) = (Vec::new(), Vec::new());
        while let Some(done) = workers.join_next().await {
            let (files, some) = done.map_err(died)??;
            written.push(files);
            touched.push(some);
        }
        Ok((written, touched))
    }

    /// Keeps rows on disk for the time of the run.
    async fn spool(
        &self,
        step: &StepName,
        what: &str,
        schema: &SchemaRef,
        streams: Vec<BatchStream>,
    ) -> Result<Spool> {
        // A merge that is done again must not write over the rows of the one before.
        let name = format!("{step}-{what}-{}", Uuid::new_v4());
        Spool::write(self.scratch(), &name, Arc::clone(schema), streams).await
    }

    fn teller(&self, step: &StepName) -> Tell {
        let (progress, step) = (Arc::clone(&self.progress), step.clone());
        Box::new(move |rows| {
            tell(progress.as_ref(), &step, rows);
        })
    }
}

/// A stage that nobody writes into any more.
fn no_more_writers(stage: Arc<TableStage>) -> Result<TableStage> {
    Arc::into_inner(stage)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a writer outlived its stage"))
}

type Tell = Box<dyn Fn(&RecordBatch) + Send + Sync>;

/// Parts what a join returns into rows that are new, which are written, and changes, which are handed on.
struct Split {
    stage: Arc<TableStage>,
    columns: SchemaRef,
    /// Where changes go; `None` where changed rows are written like new ones, and only the places of old ones count.
    changes: Option<mpsc::Sender<RecordBatch>>,
    tell: Tell,
}

impl Split {
    async fn run(self, mut joined: BatchStream) -> Result<Part> {
        let mut writer = self.stage.writer()?;
        let mut part = Part::default();
        while let Some(batch) = joined.next().await {
            let batch = batch?;
            (self.tell)(&batch);
            let is_new = is_null(column(&batch, FILE)?)?;
            let deletes = column(&batch, DELETES)?.as_boolean().clone();
            let count = |mask: &BooleanArray| mask.true_count() as u64;
            part.changed += ChangedRows {
                inserted: count(&is_new),
                updated: count(&and(&not(&is_new)?, &not(&deletes)?)?),
                deleted: count(&deletes),
            };
            let old = filter_record_batch(&batch, &not(&is_new)?)?;
            part.gone.add(&old)?;
            let Some(sender) = &self.changes else {
                let rows = filter_record_batch(&batch, &not(&deletes)?)?;
                writer.write(&self.of_table(&rows)?).await?;
                continue;
            };
            let new = filter_record_batch(&batch, &is_new)?;
            writer.write(&self.of_table(&new)?).await?;
            if old.num_rows() > 0 && sender.send(old).await.is_err() {
                // Whoever takes them has stopped, and says why.
                break;
            }
        }
        part.written = writer.finish().await?;
        Ok(part)
    }

    /// The table's own columns.
    fn of_table(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let indices: Vec<usize> = (0..self.columns.fields().len()).collect();
        Ok(rows.project(&indices)?)
    }
}

/// The query of all that a merge does: for each row that comes what it does to the table, and what goes by absence.
/// Rows that are what the table has already are left out.
fn changes_sql(merge: &Merge, incoming: &SchemaRef, table: &SchemaRef) -> String {
    let comes = |name: &str| incoming.field_with_name(name).is_ok();
    let names = || table.fields().iter().map(|field| field.name());
    let value = |name: &String| {
        let from = if comes(name) { "i" } else { "c" };
        let name = quoted(name);
        format!("{from}.{name} AS {name}")
    };
    let values: Vec<String> = names().map(value).collect();
    let differs: Vec<String> = names()
        .filter(|name| comes(name) && !merge.key.contains(name))
        .map(|name| {
            let name = quoted(name);
            format!("(i.{name} IS DISTINCT FROM c.{name})")
        })
        .collect();
    let differs = if differs.is_empty() {
        "false".to_owned()
    } else {
        differs.join(" OR ")
    };
    let on: Vec<String> = merge
        .key
        .iter()
        .map(|name| {
            let name = quoted(name);
            format!("i.{name} = c.{name}")
        })
        .collect();
    let (join, deletes) = match merge.deletes {
        Deletes::ByAbsence => ("FULL", format!("coalesce(i.{DELETES}, true)")),
        Deletes::Never | Deletes::Flagged { .. } => ("LEFT", format!("i.{DELETES}")),
    };
    format!(
        "SELECT {}, c.{FILE} AS {FILE}, c.{POSITION} AS {POSITION}, {deletes} AS {DELETES} \
         FROM incoming i {join} JOIN candidates c ON {} \
         WHERE (c.{FILE} IS NULL AND NOT {deletes}) OR (c.{FILE} IS NOT NULL AND ({deletes} OR {differs}))",
        values.join(", "),
        on.join(" AND "),
    )
}

/// Names as SQL takes them, with commas between.
fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| quoted(name)).collect();
    names.join(", ")
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            format!("rows of a merge lack `{name}`"),
        )
    })
}

async fn streams_of(session: &Session, sql: &str) -> Result<Vec<BatchStream>> {
    let frame = session.query(sql).await?;
    let streams = frame.execute_stream_partitioned().await;
    let streams = streams.map_err(from_datafusion)?.into_iter();
    Ok(streams
        .map(|stream| stream.map_err(from_datafusion).boxed())
        .collect())
}

fn received(receiver: mpsc::Receiver<RecordBatch>) -> BatchStream {
    futures::stream::unfold(receiver, async |mut receiver| {
        let batch = receiver.recv().await?;
        Some((Ok(batch), receiver))
    })
    .boxed()
}
