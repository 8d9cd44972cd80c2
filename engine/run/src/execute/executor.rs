//! One attempt at a plan: step by step, until everything is staged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use connectors::{Error, ErrorKind, Fence, Result};
use futures::StreamExt;
use spec::model::{ConnectionName, StepName, TableRef, Target};
use spec::plan::{Action, Plan, PlannedExtract, PlannedStep, PlannedTransform};

use super::check::Verdict;
use super::load::StagedLoad;
use super::rows::Rows;
use crate::engine::Engine;
use crate::failpoint::{self, Point};
use crate::open::table_id;
use crate::progress::{Progress, ProgressEvent};
use crate::query::{Cast, Session, SourceTable, Spool, Watch, bad_value_of, casts};
use crate::watermark;

/// What an attempt has to work with.
pub(super) struct Attempt<'a> {
    pub(super) engine: &'a Engine,
    pub(super) plan: &'a Plan,
    pub(super) run: &'a str,
    /// Who commits.
    pub(super) fence: &'a Fence,
    pub(super) progress: Arc<dyn Progress>,
    pub(super) session: Session,
    /// Loads that an earlier attempt of this run has committed: they are not staged again.
    pub(super) done: BTreeSet<StepName>,
    scratch: PathBuf,
}

/// One attempt at a plan.
pub(crate) struct Executor<'a> {
    pub(super) attempt: Attempt<'a>,
    rows: BTreeMap<StepName, Rows>,
    /// Rows that have come out of extracts and checks so far.
    pub(super) counts: Vec<(StepName, Arc<AtomicU64>)>,
    /// The columns that transforms make into other types.
    casts: Vec<(StepName, Cast)>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) staged: VecDeque<StagedLoad>,
}

impl<'a> Executor<'a> {
    /// An attempt that has done nothing yet. `scratch` is a folder of its own that somebody else removes.
    pub(crate) fn new(
        engine: &'a Engine,
        plan: &'a Plan,
        (run, fence): (&'a str, &'a Fence),
        progress: Arc<dyn Progress>,
        done: BTreeSet<StepName>,
        scratch: PathBuf,
    ) -> Result<Self> {
        let session = engine.session()?;
        Ok(Self {
            attempt: Attempt {
                engine,
                plan,
                run,
                fence,
                progress,
                session,
                done,
                scratch,
            },
            rows: BTreeMap::new(),
            counts: Vec::new(),
            casts: Vec::new(),
            verdicts: Vec::new(),
            staged: VecDeque::new(),
        })
    }

    /// Reads, computes, checks and stages. Nothing is visible after it.
    pub(crate) async fn stage(&mut self) -> Result<()> {
        for step in &self.attempt.plan.steps {
            self.attempt.progress.event(ProgressEvent::StepStarted {
                step: step.name.clone(),
            });
            let staged = match &step.action {
                Action::Extract(extract) => self.extract(step, extract).await,
                Action::Transform(transform) => self.transform(step, transform).await,
                Action::Check(check) => self.check(step, check).await,
                Action::Load(load) => self.load(step, load).await,
            };
            staged.map_err(|error| self.with_column(error).with("step", &step.name))?;
        }
        let drained = self.drain().await;
        drained.map_err(|error| self.with_column(error))?;
        let mut verdicts = std::mem::take(&mut self.verdicts);
        for verdict in &mut verdicts {
            failpoint::before(Point::CheckVerdict).await?;
            if let Some(rejects) = verdict.settle(self.attempt.progress.as_ref()).await? {
                // Rows that were set aside become visible before the rows that passed: never the other way round.
                self.staged.push_front(rejects);
            }
            failpoint::after(Point::CheckVerdict).await?;
        }
        for (step, count) in std::mem::take(&mut self.counts) {
            let rows = count.load(Ordering::Relaxed);
            self.attempt
                .progress
                .event(ProgressEvent::StepFinished { step, rows });
        }
        Ok(())
    }

    /// An error about a value with the column that it came from. Rows are computed when they are read: the step that
    /// fails is a later one than the transform that is to be changed.
    fn with_column(&self, error: Error) -> Error {
        let Some(value) = bad_value_of(&error) else {
            return error;
        };
        let of = self.casts.iter();
        let of = of.filter(|(_, cast)| value.is_of(&cast.r#type));
        let of: Vec<String> = of
            .map(|(step, cast)| format!("`{}` of `{step}`", cast.column))
            .collect();
        if of.is_empty() {
            return error;
        }
        error.with("column", of.join(" or "))
    }

    /// A check that nobody reads is still held against all rows.
    async fn drain(&mut self) -> Result<()> {
        for (_, rows) in std::mem::take(&mut self.rows) {
            if let Rows::Streams { streams, .. } = rows {
                for mut stream in streams {
                    while let Some(batch) = stream.next().await {
                        drop(batch?);
                    }
                }
            }
        }
        Ok(())
    }

    async fn extract(&mut self, step: &PlannedStep, extract: &PlannedExtract) -> Result<()> {
        let connection = self.attempt.engine.connection(&extract.connection).await?;
        let mut read = crate::facts::read_of_planned(extract);
        if let Some(window) = &extract.window {
            read.window = Some(watermark::for_source(window)?);
        }
        let source = connection.source().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "this connection cannot be read from",
            )
        })?;
        let schema = source.scan(&read).await?.schema();
        let found = crate::query::columns_of(&schema)?;
        if found != step.columns {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the source's columns have changed since the plan was made",
            )
            .help("plan again")
            .retry(false));
        }
        let (progress, name) = (Arc::clone(&self.attempt.progress), step.name.clone());
        let count = Arc::new(AtomicU64::new(0));
        self.counts.push((step.name.clone(), Arc::clone(&count)));
        let watch: Watch = Arc::new(move |batch: &RecordBatch| {
            let (rows, bytes) = sizes(batch);
            count.fetch_add(rows, Ordering::Relaxed);
            progress.event(ProgressEvent::Read {
                step: name.clone(),
                rows,
                bytes,
            });
        });
        let table = Arc::new(SourceTable::new(
            connection,
            read,
            Arc::clone(&schema),
            watch,
            self.attempt.reads_at_once(step, &extract.connection),
        ));
        self.offer(step, Rows::Source { table, schema }).await
    }

    async fn transform(&mut self, step: &PlannedStep, transform: &PlannedTransform) -> Result<()> {
        for (table, snapshot) in &transform.tables {
            self.attempt.lake_table(table, *snapshot).await?;
        }
        for input in &step.inputs {
            let rows = self.take(input)?;
            // A check's rows are read under the name of the step that it checks.
            let name = self.attempt.checked(input);
            self.attempt
                .session
                .register_step(name.as_str(), rows.into_table()?)?;
        }
        let frame = self.attempt.session.query(&transform.sql).await?;
        for cast in casts(frame.logical_plan()) {
            // The query of a step that is read is a part of this one.
            if self.casts.iter().all(|(_, known)| *known != cast) {
                self.casts.push((step.name.clone(), cast));
            }
        }
        self.offer(step, Rows::Query(Box::new(frame))).await
    }

    /// Hands a step's rows to its readers: as they are to one that reads them once, kept on disk for any more.
    pub(super) async fn offer(&mut self, step: &PlannedStep, rows: Rows) -> Result<()> {
        let mut mentions = 0;
        for reader in &step.readers {
            mentions += self.attempt.mentions(&step.name, reader)?;
        }
        // Whoever checks must see every row, and a query may stop early.
        let checked_for_query = matches!(step.action, Action::Check(_))
            && step
                .readers
                .iter()
                .any(|reader| self.attempt.is_transform(reader));
        let starved = matches!(&step.action, Action::Extract(extract) if self.attempt.share(&extract.connection) == 0)
            && step
                .readers
                .iter()
                .any(|reader| self.attempt.is_transform(reader));
        let rows = if mentions > 1 || checked_for_query || starved {
            let schema = rows.schema();
            let streams = rows.into_streams(self.attempt.engine.parallel()).await?;
            let spool = Spool::write(
                &self.attempt.scratch,
                step.name.as_str(),
                Arc::clone(&schema),
                streams,
            )
            .await?;
            Rows::Kept { schema, spool }
        } else {
            rows
        };
        self.rows.insert(step.name.clone(), rows);
        Ok(())
    }

    /// The rows of a step for one of its readers.
    pub(super) fn take(&mut self, name: &StepName) -> Result<Rows> {
        if let Some(Rows::Kept { schema, spool }) = self.rows.get(name) {
            return Ok(Rows::Kept {
                schema: Arc::clone(schema),
                spool: spool.clone(),
            });
        }
        self.rows.remove(name).ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("the rows of step `{name}` were read twice"),
            )
        })
    }
}

impl Attempt<'_> {
    /// A folder for rows that are kept for the time of the attempt.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }

    async fn lake_table(&self, table: &TableRef, snapshot: Option<i64>) -> Result<()> {
        let found = self.engine.lake().await?.table(&table_id(table)).await?;
        let found = found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the lake has no table `{table}`"),
            )
        })?;
        let provider = found.provider_at(snapshot)?;
        self.session
            .register_lake_table(&table.namespace, &table.name, provider)
    }

    /// The step that `input` is a check of, all the way down; `input` itself where it is none.
    pub(super) fn checked(&self, input: &StepName) -> StepName {
        let mut name = input.clone();
        while let Some(step) = self.plan.step(&name)
            && let (Action::Check(_), [below]) = (&step.action, step.inputs.as_slice())
        {
            name = below.clone();
        }
        name
    }

    fn is_transform(&self, name: &StepName) -> bool {
        self.plan
            .step(name)
            .is_some_and(|step| matches!(step.action, Action::Transform(_)))
    }

    /// How many splits of a connection one extract may read at once, so that all extracts that queries read from it
    /// can go on together: a query that joins two of them would else wait for itself. 0 where they cannot.
    fn share(&self, connection: &ConnectionName) -> usize {
        let rivals = self.plan.steps.iter().filter(|step| {
            matches!(&step.action, Action::Extract(extract) if extract.connection == *connection)
                && step.readers.iter().any(|reader| self.is_transform(reader))
        });
        self.free(connection) / rivals.count().max(1)
    }

    /// How many splits this extract reads at once: all that may be where no other is read beside it.
    fn reads_at_once(&self, step: &PlannedStep, connection: &ConnectionName) -> usize {
        let share = self.share(connection);
        if share > 0 && step.readers.iter().any(|reader| self.is_transform(reader)) {
            share
        } else {
            self.free(connection).max(1)
        }
    }

    /// How many sessions of a connection are left for reading.
    fn free(&self, connection: &ConnectionName) -> usize {
        let Some(sessions) = self.engine.sessions(connection) else {
            return usize::MAX;
        };
        let steps = self.plan.steps.iter();
        // A load holds a session from its first row to its commit.
        let loads = steps.filter(|step| {
            matches!(
                &step.action,
                Action::Load(load) if matches!(
                    &load.target,
                    Target::Connection { connection: to, .. } if to == connection
                )
            )
        });
        sessions.saturating_sub(loads.count())
    }

    /// How often `reader` reads the rows of `step`.
    fn mentions(&self, step: &StepName, reader: &StepName) -> Result<usize> {
        let Some(Action::Transform(transform)) =
            self.plan.step(reader).map(|reader| &reader.action)
        else {
            return Ok(1);
        };
        let name = self.checked(step);
        let relations = self.session.relations(&transform.sql)?;
        Ok(relations
            .iter()
            .filter(|parts| matches!(parts.as_slice(), [only] if only == name.as_str()))
            .count())
    }
}

/// The end of a run that was stopped before any of it was visible.
pub(crate) fn cancelled() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the run was stopped; nothing of it is visible",
    )
}

/// Rows and bytes of a batch.
pub(super) fn sizes(batch: &RecordBatch) -> (u64, u64) {
    let rows = u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
    (
        rows,
        u64::try_from(batch.get_array_memory_size()).unwrap_or(u64::MAX),
    )
}
