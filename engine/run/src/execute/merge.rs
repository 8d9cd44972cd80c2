//! Rows into a table of the lake by key: inserted, updated, deleted.
//!
//! The rows that come are kept on disk in the table's types, one a key. They are joined with the rows of the files that
//! may hold their keys; what comes out are rows that are new, which go straight into files, and changes with the place
//! of the row that they change. When somebody else commits first, all but the first step is done again: the rows on
//! disk meet the table as it is then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, filter_record_batch, is_null, not};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use connectors::{BatchStream, Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt};
use spec::model::{Deletes, Merge, MergeWrite, StepName, TableRef};
use spec::plan::{PlannedLoad, PlannedStep};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::executor::Attempt;
use super::known::quoted;
use super::load::{StagedLoad, Staging, died, request_of, tell};
use super::rows::Rows;
use crate::lake::{
    Candidates, ChangedRows, Committed, DELETES, FILE, GoneRows, Keys, POSITION, StageRequest,
    Staged, Stamp, TableStage, Touched, WriteMode, WrittenFiles,
};
use crate::query::{RowCondition, Session, Spool, from_datafusion};

/// How often rows are merged again because somebody else committed first.
const ATTEMPTS: u32 = 20;
/// The longest pause before a merge is done again.
const LONGEST_PAUSE_MS: u64 = 2_000;
/// Batches that may wait between the join and the disk.
const WAITING_BATCHES: usize = 2;

/// Rows of a merge, staged on the table as it was, and kept for another try.
pub(super) struct StagedMerge {
    staged: Staged,
    again: Incoming,
}

/// Rows that come, one a key, kept on disk.
struct Incoming {
    step: StepName,
    request: StageRequest,
    merge: Merge,
    /// The table's columns that the rows have, in its types, and [`DELETES`].
    schema: SchemaRef,
    rows: Spool,
    keys: Keys,
}

/// What one part of a merge has written and found.
#[derive(Default)]
struct Part {
    written: WrittenFiles,
    gone: GoneRows,
    changed: ChangedRows,
}

impl Attempt<'_> {
    /// Stages a merge into a table of the lake.
    pub(super) async fn merge_into_lake(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        table: &TableRef,
        merge: &Merge,
        rows: Rows,
    ) -> Result<StagedLoad> {
        let incoming = self.incoming(step, load, table, merge, rows).await?;
        let (staged, changed) = self.merge(&incoming).await?;
        Ok(StagedLoad {
            step: step.name.clone(),
            target: table.to_string(),
            rows: changed.all(),
            staging: Staging::Merge(Box::new(StagedMerge {
                staged,
                again: incoming,
            })),
            watermarks_of: load.watermarks_of.clone(),
        })
    }

    /// Makes a merge visible, doing it again as long as somebody else is faster.
    pub(super) async fn commit_merge(
        &self,
        merge: StagedMerge,
        stamp: &Stamp,
    ) -> Result<Committed> {
        let StagedMerge { mut staged, again } = merge;
        for attempt in 1.. {
            match staged.commit(stamp).await {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => {
                    tracing::info!(step = %again.step, attempt, %error, "merging again");
                    tokio::time::sleep(pause(attempt)).await;
                    (staged, _) = self.merge(&again).await?;
                }
                done => return done,
            }
        }
        Err(Error::new(
            ErrorKind::Internal,
            "a merge was tried for ever",
        ))
    }

    /// Takes in the rows that come.
    async fn incoming(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        table: &TableRef,
        merge: &Merge,
        rows: Rows,
    ) -> Result<Incoming> {
        let from = rows.schema();
        let without = merge.deletes.without();
        let written = from.fields().iter();
        let written = written.filter(|field| !without.contains(field.name()));
        let request = StageRequest {
            schema: Arc::new(Schema::new(written.cloned().collect::<Vec<_>>())),
            ..request_of(load, table, WriteMode::Merge, &from)
        };
        let stage = self.engine.lake().await?.stage(request.clone()).await?;
        let flag = match &merge.deletes {
            Deletes::Flagged { when, .. } => {
                Some(Arc::new(RowCondition::plan(&self.session, when, &from)?))
            }
            Deletes::Never | Deletes::ByAbsence => None,
        };
        let (columns, _) = stage.table_types(&request.schema)?;
        let mut fields: Vec<Arc<Field>> = columns.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(DELETES, DataType::Boolean, false)));
        let schema = Arc::new(Schema::new(fields));
        let keys = Arc::new(Mutex::new(stage.keys(&merge.key, &columns)?));
        let mut streams = Vec::new();
        for stream in rows.into_streams(self.engine.parallel()).await? {
            let (_, types) = stage.table_types(&from)?;
            let (flag, schema, key) = (flag.clone(), Arc::clone(&schema), merge.key.clone());
            let keys = Arc::clone(&keys);
            let taken_in = move |batch: Result<RecordBatch>| {
                let batch = batch?;
                let deletes = match &flag {
                    Some(flag) => flag.passes(&batch)?,
                    None => BooleanArray::from(vec![false; batch.num_rows()]),
                };
                let rows = types.apply(&batch)?;
                without_null(&rows, &key)?;
                let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
                keys.add(&rows)?;
                drop(keys);
                let mut columns = rows.columns().to_vec();
                columns.push(Arc::new(deletes));
                Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
            };
            streams.push(stream.map(taken_in).boxed());
        }
        let spool = self.spool(&step.name, "incoming", &schema, streams).await?;
        let rows = self.one_a_key(&step.name, merge, &schema, spool).await?;
        let keys = Arc::into_inner(keys)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a reader outlived its rows"))?;
        Ok(Incoming {
            step: step.name.clone(),
            request,
            merge: merge.clone(),
            schema,
            rows,
            keys: keys
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
                .finish(),
        })
    }

    /// Of several rows with one key the latest; where nothing says which that is, several are an error.
    async fn one_a_key(
        &self,
        step: &StepName,
        merge: &Merge,
        schema: &SchemaRef,
        rows: Spool,
    ) -> Result<Spool> {
        let session = self.engine.session()?;
        session.register_step("incoming", Arc::new(rows.clone()))?;
        let key = list(merge.key.iter());
        let Some(latest_by) = &merge.latest_by else {
            let sql = format!(
                "SELECT {key}, count(*) AS \"rows\" FROM incoming GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
            );
            return match first_row(&session, &sql).await? {
                Some(twice) => Err(doubled(&merge.key, &twice)?),
                None => Ok(rows),
            };
        };
        // Rows that are as late as each other are told apart by their values: which one counts must not depend on the
        // order in which they arrive.
        let others = schema.fields().iter().filter(|field| {
            !field.data_type().is_nested()
                && field.name() != latest_by
                && !merge.key.contains(field.name())
        });
        let order = std::iter::once(latest_by)
            .chain(others.map(|field| field.name()))
            .map(|name| format!("{} DESC NULLS LAST", quoted(name)));
        let sql = format!(
            "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {}) AS \"__lakewright_rank\" \
             FROM incoming) WHERE \"__lakewright_rank\" = 1",
            list(schema.fields().iter().map(|field| field.name())),
            order.collect::<Vec<_>>().join(", "),
        );
        let streams = streams_of(&session, &sql).await?;
        self.spool(step, "latest", schema, streams).await
    }

    /// Merges the rows into the table as it is now. Nothing is visible after it.
    async fn merge(&self, incoming: &Incoming) -> Result<(Staged, ChangedRows)> {
        let lake = self.engine.lake().await?;
        let stage = Arc::new(lake.stage(incoming.request.clone()).await?);
        let merge = &incoming.merge;
        let every_file = merge.deletes == Deletes::ByAbsence;
        let keys = (!every_file).then_some(&incoming.keys);
        let candidates = stage.candidates(&merge.key, keys).await?;
        let (some, all) = candidates.count();
        tracing::debug!(step = %incoming.step, files = some, of = all, "files that may hold a key");
        let session = self.engine.session()?;
        session.register_step("incoming", Arc::new(incoming.rows.clone()))?;
        session.register_step("candidates", candidates.provider())?;
        let columns = stage.table_schema()?;
        let sql = changes_sql(merge, &incoming.schema, &columns);
        let frame = session.query(&sql).await?;
        let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
        let streams = frame.execute_stream_partitioned().await;
        let streams = streams.map_err(from_datafusion)?;
        let in_place = merge.write == MergeWrite::CopyOnWrite;
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
        let touched = if in_place {
            let (files, touched) = self.rewrite(&stage, &candidates, spool).await?;
            written.extend(files);
            touched
        } else {
            vec![stage.delete_rows(&candidates, whole.gone).await?]
        };
        let alone = Arc::into_inner(stage)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a writer outlived its stage"))?;
        let changed = whole.changed;
        Ok((alone.merged(written, touched, changed), changed))
    }

    /// Writes the files again that have changes, some by each worker.
    async fn rewrite(
        &self,
        stage: &Arc<TableStage>,
        candidates: &Candidates,
        changes: Spool,
    ) -> Result<(Vec<WrittenFiles>, Vec<Touched>)> {
        let session = self.engine.session()?;
        session.register_step("changes", Arc::new(changes))?;
        let (files, _) = candidates.count();
        let each = files.div_ceil(self.engine.parallel()).max(1);
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
            workers.spawn(async move { stage.rewrite(&candidates, sorted).await });
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
            let Some(sender) = &self.changes else {
                part.gone
                    .add(&filter_record_batch(&batch, &not(&is_new)?)?)?;
                let rows = filter_record_batch(&batch, &not(&deletes)?)?;
                writer.write(&self.of_table(&rows)?).await?;
                continue;
            };
            let new = filter_record_batch(&batch, &is_new)?;
            writer.write(&self.of_table(&new)?).await?;
            let old = filter_record_batch(&batch, &not(&is_new)?)?;
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

/// Rows without a key can never be found again.
fn without_null(rows: &RecordBatch, key: &[String]) -> Result<()> {
    for name in key {
        if column(rows, name)?.null_count() > 0 {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("a row has no value in `{name}`, a column of the key"),
            )
            .help(
                "leave such rows out, or set them aside with a check: `expect: \"… IS NOT NULL\"`",
            ));
        }
    }
    Ok(())
}

/// The key that more than one row has.
fn doubled(key: &[String], found: &RecordBatch) -> Result<Error> {
    let value = |name: &String| -> Result<String> {
        let value = array_value_to_string(column(found, name)?, 0)?;
        Ok(format!("{name} = {value}"))
    };
    let values = key.iter().map(value).collect::<Result<Vec<_>>>()?;
    let rows = array_value_to_string(column(found, "rows")?, 0)?;
    Ok(Error::new(
        ErrorKind::InvalidData,
        "several rows have one key, and nothing says which of them counts",
    )
    .with("key", values.join(", "))
    .with("rows", rows)
    .help("write `latest_by: COLUMN` beside `key`, or leave one row a key in a transform before"))
}

async fn streams_of(session: &Session, sql: &str) -> Result<Vec<BatchStream>> {
    let frame = session.query(sql).await?;
    let streams = frame.execute_stream_partitioned().await;
    let streams = streams.map_err(from_datafusion)?.into_iter();
    Ok(streams
        .map(|stream| stream.map_err(from_datafusion).boxed())
        .collect())
}

/// The first row of a query's answer.
async fn first_row(session: &Session, sql: &str) -> Result<Option<RecordBatch>> {
    for mut stream in streams_of(session, sql).await? {
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }
    Ok(None)
}

fn received(receiver: mpsc::Receiver<RecordBatch>) -> BatchStream {
    futures::stream::unfold(receiver, async |mut receiver| {
        let batch = receiver.recv().await?;
        Some((Ok(batch), receiver))
    })
    .boxed()
}

/// How long to wait before a merge is done again; random, so that two writers fall out of step.
fn pause(attempt: u32) -> Duration {
    let most = (50_u64 << attempt.min(10)).min(LONGEST_PAUSE_MS);
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Duration::from_millis(random % most)
}
