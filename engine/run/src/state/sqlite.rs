//! The state store in an SQLite file: the embedded default, for one machine.
//!
//! Only what writes makes the file and brings its tables up to date. Who only reads leaves no trace, and needs no right
//! to write.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Fence, Result};
use spec::model::PipelineId;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Arguments as _, FromRow, SqlitePool, Transaction};
use tokio::sync::{OnceCell, RwLock};

use super::decisions::Places;
use super::head::{Head, Heads};
use super::record::{self, Row};
use super::store::StateStore;
use super::{
    Event, Lease, OpenDecision, PastDecision, RunEvent, RunId, RunRecord, Take, alive, decisions,
    fault, lease, migration,
};
use crate::failpoint::{self, Point};
use crate::scheduler::{Decision, Schedules, Share, Taken};
use crate::sqlite_file::{self, Question};

/// Connections to the file: one writes at a time, the portal reads beside it.
const CONNECTIONS: u32 = 4;
/// How long a writer waits for another; each writes for milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

const INSERT: &str =
    "INSERT INTO run_event (run, sequence, pipeline, kind, ends, at, payload, decision)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
    WHERE EXISTS (SELECT 1 FROM lease WHERE name = ?9 AND token = ?10)";

/// Whether a lease is in force.
const IN_FORCE: &str = "SELECT 1 FROM lease WHERE name = ?1 AND token = ?2";

const EVENTS: &str = "SELECT run, pipeline, sequence, at, payload FROM run_event
    WHERE run = ?1 ORDER BY sequence";

const RUNS: &str = "SELECT e.run, e.pipeline, e.sequence, e.at, e.payload
    FROM (SELECT run, position FROM run_event
          WHERE sequence = 1 AND (?1 IS NULL OR pipeline = ?1)
          ORDER BY position DESC LIMIT ?2) AS first
    JOIN run_event AS e ON e.run = first.run
    ORDER BY first.position DESC, e.sequence";

const UNFINISHED: &str = "SELECT e.run, e.pipeline, e.sequence, e.at, e.payload
    FROM (SELECT run FROM run_event AS s
          WHERE sequence = 1 AND pipeline = ?1
            AND NOT EXISTS (SELECT 1 FROM run_event AS t WHERE t.run = s.run AND t.ends = 1)
          ORDER BY position DESC LIMIT 1) AS first
    JOIN run_event AS e ON e.run = first.run
    ORDER BY e.sequence";

pub(super) struct SqliteStore {
    path: PathBuf,
    lease: Duration,
    pool: OnceCell<SqlitePool>,
    /// Held by those who look at the file while nobody here writes: a file that is closed takes with it the locks which
    /// the same process has on it.
    looking: RwLock<()>,
    heads: Heads,
}

impl SqliteStore {
    pub(super) fn at(path: PathBuf, lease: Duration) -> Self {
        Self {
            path,
            lease,
            pool: OnceCell::new(),
            looking: RwLock::new(()),
            heads: Heads::default(),
        }
    }

    /// The rows of a statement about runs that only reads.
    async fn rows(
        &self,
        statement: &'static str,
        arguments: SqliteArguments<'static>,
    ) -> Result<Vec<Row>> {
        self.asked("run_event", statement, arguments).await
    }

    /// The rows of a statement that only reads; none where there is no such table yet.
    async fn asked<R>(
        &self,
        table: &'static str,
        statement: &'static str,
        arguments: SqliteArguments<'static>,
    ) -> Result<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let looking = self.looking.read().await;
        let rows = if let Some(pool) = self.pool.get() {
            drop(looking);
            sqlx::query_as_with::<Sqlite, R, _>(statement, arguments)
                .fetch_all(pool)
                .await
        } else {
            let question = Question {
                table,
                statement,
                arguments,
            };
            sqlite_file::ask(&self.path, &question).await
        };
        rows.map_err(|error| fault::of(error).with("path", self.path.display()))
    }

    async fn pool(&self) -> Result<&SqlitePool> {
        let connect = async || {
            let _nobody_looks = self.looking.write().await;
            self.connect().await
        };
        self.pool.get_or_try_init(connect).await
    }

    /// Makes the file where there is none, and brings its tables up to date.
    async fn connect(&self) -> Result<SqlitePool> {
        let path = self.path.clone();
        let migrating = tokio::task::spawn_blocking(move || alive::wait_to_migrate(&path))
            .await
            .map_err(|e| self.unusable(e))??;
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A recorded event survives the loss of power, not only of the process.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(|e| fault::of(e).with("path", self.path.display()))?;
        let migrator = Migrator::new(migration::SQLITE)
            .await
            .map_err(fault::of_migration)?;
        migrator.run(&pool).await.map_err(fault::of_migration)?;
        drop(migrating);
        Ok(pool)
    }

    async fn ask_for(&self, name: &str, shares: &[Share]) -> Result<Take> {
        lease::take_in_file(self.pool().await?, &self.path, name, shares, self.lease).await
    }

    /// Begins to write; what a lease is needed for only while that is in force.
    async fn transaction(&self, lease: Option<&Lease>) -> Result<Transaction<'_, Sqlite>> {
        let pool = self.pool().await?;
        // With the right to write from the beginning: who asks for it later is refused where somebody has written.
        let begun = pool.begin_with("BEGIN IMMEDIATE").await;
        let mut transaction = begun.map_err(fault::of)?;
        if let Some(lease) = lease {
            let in_force: Option<i64> = sqlx::query_scalar(IN_FORCE)
                .bind(&lease.fence().name)
                .bind(lease.fence().token)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(fault::of)?;
            in_force.ok_or_else(|| lease.taken())?;
        }
        Ok(transaction)
    }

    fn unusable(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::new(
            ErrorKind::PermissionDenied,
            "the state store cannot be opened",
        )
        .with("path", self.path.display())
        .caused_by(error)
        .help("look at `state:` in the project, and who may write to that folder")
    }
}

fn arguments(first: Option<String>) -> Result<SqliteArguments<'static>> {
    let mut arguments = SqliteArguments::default();
    arguments.add(first).map_err(unbound)?;
    Ok(arguments)
}

fn unbound(error: sqlx::error::BoxDynError) -> Error {
    fault::of(sqlx::Error::Encode(error))
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn append(
        &self,
        lease: &Lease,
        run: RunId,
        event: RunEvent,
        now: DateTime<Utc>,
    ) -> Result<Event> {
        let pool = self.pool().await?;
        let head = match self.heads.take(run, lease.fence().token) {
            Some(head) => Some(head),
            None => Head::of(&self.events(run).await?, run)?,
        };
        let (next, head) = Head::followed_by(head, run, event, now)?;
        failpoint::before(Point::of(&next.event)).await?;
        let written = sqlx::query(INSERT)
            .bind(run.to_string())
            .bind(next.sequence)
            .bind(&lease.fence().name)
            .bind(next.event.kind())
            .bind(next.event.ends())
            .bind(record::time(next.at))
            .bind(record::encode(&next.event)?)
            .bind(next.event.decision())
            .bind(&lease.fence().name)
            .bind(lease.fence().token)
            .execute(pool)
            .await
            .map_err(|e| fault::of_insert(e).with("run", run))?;
        if written.rows_affected() == 0 {
            return Err(lease.taken().with("run", run));
        }
        failpoint::after(Point::of(&next.event)).await?;
        self.heads.put(run, lease.fence().token, head);
        Ok(next)
    }

    async fn events(&self, run: RunId) -> Result<Vec<Event>> {
        let arguments = arguments(Some(run.to_string()))?;
        record::events(self.rows(EVENTS, arguments).await?)
    }

    async fn runs(&self, pipeline: Option<&PipelineId>, limit: u32) -> Result<Vec<RunRecord>> {
        let mut arguments = arguments(pipeline.map(ToString::to_string))?;
        arguments.add(limit).map_err(unbound)?;
        record::records(self.rows(RUNS, arguments).await?)
    }

    async fn unfinished(&self, pipeline: &PipelineId) -> Result<Option<RunRecord>> {
        let arguments = arguments(Some(pipeline.to_string()))?;
        let records = record::records(self.rows(UNFINISHED, arguments).await?)?;
        Ok(records.into_iter().next())
    }

    async fn take(&self, pipeline: &PipelineId, shares: &[Share]) -> Result<Take> {
        self.ask_for(&pipeline.to_string(), shares).await
    }

    async fn taken(&self) -> Result<Taken> {
        let rows = self
            .asked("share", lease::SHARES_IN_FILE, SqliteArguments::default())
            .await?;
        lease::taken_in_file(&self.path, rows)
    }

    async fn renew(&self, lease: &Lease) -> Result<()> {
        if lease::renew_in_file(self.pool().await?, lease.fence(), self.lease).await? {
            return Ok(());
        }
        Err(lease.taken())
    }

    async fn is_locked(&self, pipeline: &PipelineId) -> Result<bool> {
        let name = pipeline.to_string();
        let arguments = arguments(Some(name.clone()))?;
        let rows: Vec<(i64, bool)> = self
            .asked("lease", lease::STANDS_IN_FILE, arguments)
            .await?;
        match rows.into_iter().next() {
            Some((token, true)) => alive::is_in_folder(
                &self.path,
                &Fence {
                    giver: String::new(),
                    name,
                    token,
                },
            ),
            _ => Ok(false),
        }
    }

    async fn decide<'a>(
        &self,
        lease: Option<&Lease>,
        decisions: &'a [Decision],
        now: DateTime<Utc>,
    ) -> Result<Vec<&'a Decision>> {
        let mut transaction = self.transaction(lease).await?;
        let mut places = Places::default();
        for decision in decisions {
            if places.are_taken(decision) {
                continue;
            }
            let added = sqlx::query(decisions::INSERT)
                .bind(decision.pipeline.to_string())
                .bind(decision.sequence)
                .bind(decision.verdict.as_str())
                .bind(record::time(decision.due))
                .bind(&decision.cause)
                .bind(&decision.rule)
                .bind(decisions::seen(decision)?)
                .bind(record::time(now))
                .execute(&mut *transaction)
                .await
                .map_err(fault::of)?;
            places.note(decision, added.rows_affected() > 0);
        }
        transaction.commit().await.map_err(fault::of)?;
        Ok(places.got)
    }

    async fn schedules(
        &self,
        after: &BTreeSet<PipelineId>,
        open: &[OpenDecision],
    ) -> Result<Schedules> {
        let rows = self.asked("decision", decisions::LAST, SqliteArguments::default());
        let mut schedules = decisions::schedules(rows.await?, open)?;
        for pipeline in after {
            let arguments = arguments(Some(pipeline.to_string()))?;
            let rows: Vec<(String,)> = self
                .asked("decision", decisions::PUBLISHED, arguments)
                .await?;
            if let Some((run,)) = rows.first() {
                schedules
                    .published
                    .insert(pipeline.clone(), decisions::run(run)?);
            }
        }
        Ok(schedules)
    }

    async fn open_decisions(&self) -> Result<Vec<OpenDecision>> {
        let rows = self.asked("decision", decisions::OPEN, SqliteArguments::default());
        decisions::open(rows.await?)
    }

    async fn end_of(&self, pipeline: &PipelineId, decision: u32) -> Result<Option<String>> {
        let mut arguments = arguments(Some(pipeline.to_string()))?;
        arguments.add(decision).map_err(unbound)?;
        let rows: Vec<(String,)> = self.asked("decision", decisions::ENDED, arguments).await?;
        Ok(rows.into_iter().next().map(|(kind,)| kind))
    }

    async fn close_decision(
        &self,
        lease: &Lease,
        pipeline: &PipelineId,
        decision: u32,
        what: &str,
    ) -> Result<()> {
        let mut transaction = self.transaction(Some(lease)).await?;
        let close = sqlx::query(decisions::CLOSE)
            .bind(pipeline.to_string())
            .bind(decision)
            .bind(what);
        close.execute(&mut *transaction).await.map_err(fault::of)?;
        transaction.commit().await.map_err(fault::of)
    }

    async fn decisions(&self, pipeline: &PipelineId, limit: u32) -> Result<Vec<PastDecision>> {
        let mut arguments = arguments(Some(pipeline.to_string()))?;
        arguments.add(limit).map_err(unbound)?;
        decisions::past(self.asked("decision", decisions::NEWEST, arguments).await?)
    }

    async fn lead(&self) -> Result<Option<Lease>> {
        match self.ask_for(lease::SCHEDULER, &[]).await? {
            Take::Got(lease) => Ok(Some(lease)),
            Take::Running | Take::Full(_) => Ok(None),
        }
    }

    async fn close(&self) {
        if let Some(pool) = self.pool.get() {
            sqlite_file::close(pool, &self.path).await;
        }
    }
}
