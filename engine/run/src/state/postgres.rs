//! The state store in PostgreSQL: for several daemons, on several machines.
//!
//! The tables are in a schema of their own, so that the database may be shared.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Result, Secret};
use spec::model::PipelineId;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::decisions::Places;
use super::head::{Head, Heads};
use super::record::{self, Row};
use super::store::StateStore;
use super::{
    Event, Lease, OpenDecision, PastDecision, PipelineLock, RunEvent, RunId, RunRecord, decisions,
    fault, lock, migration,
};
use crate::failpoint::{self, Point};
use crate::scheduler::{Decision, Schedules};

/// Connections of one process for reading and writing the log; each lock has one more.
const CONNECTIONS: u32 = 4;
/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the tables are found, and how soon the server notices that a machine is gone and frees its locks: 120 s.
const SESSION: [(&str, &str); 4] = [
    ("search_path", "lakewright"),
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "15"),
    ("tcp_keepalives_count", "4"),
];

const INSERT: &str =
    "INSERT INTO run_event (run, sequence, pipeline, kind, ends, at, payload, decision)
    VALUES ($1, $2, $3, $4, $5, $6::text::timestamptz, $7::text::json, $8)";

const EVENTS: &str = "SELECT run, pipeline, sequence,
        to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), payload::text
    FROM run_event WHERE run = $1 ORDER BY sequence";

const RUNS: &str = "SELECT e.run, e.pipeline, e.sequence,
        to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), e.payload::text
    FROM (SELECT run, position FROM run_event
          WHERE sequence = 1 AND ($1::text IS NULL OR pipeline = $1)
          ORDER BY position DESC LIMIT $2) AS first
    JOIN run_event AS e ON e.run = first.run
    ORDER BY first.position DESC, e.sequence";

const UNFINISHED: &str = "SELECT e.run, e.pipeline, e.sequence,
        to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), e.payload::text
    FROM (SELECT run FROM run_event AS s
          WHERE sequence = 1 AND pipeline = $1
            AND NOT EXISTS (SELECT 1 FROM run_event AS t WHERE t.run = s.run AND t.ends)
          ORDER BY position DESC LIMIT 1) AS first
    JOIN run_event AS e ON e.run = first.run
    ORDER BY e.sequence";

pub(super) struct PostgresStore {
    options: PgConnectOptions,
    pool: PgPool,
    /// Set once the tables are known to be there and up to date.
    migrated: OnceCell<()>,
    heads: Heads,
}

impl PostgresStore {
    pub(super) fn new(url: &Secret) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.expose()).map_err(|_| {
            // Without the cause: it may quote the address, and with it the password.
            Error::new(
                ErrorKind::InvalidInput,
                "the address of the state store cannot be read",
            )
            .help("write it as `postgres://user:password@host:port/database`")
        })?;
        let options = options.application_name("lakewright").options(SESSION);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.clone());
        Ok(Self {
            options,
            pool,
            migrated: OnceCell::new(),
            heads: Heads::default(),
        })
    }

    /// For reading about runs: `None` while there are none.
    async fn existing(&self) -> Result<Option<&PgPool>> {
        self.with("run_event").await
    }

    /// For reading: `None` while there is no such table.
    async fn with(&self, table: &str) -> Result<Option<&PgPool>> {
        if self.migrated.initialized() || self.has(table).await? {
            return self.writable().await.map(Some);
        }
        Ok(None)
    }

    async fn has(&self, table: &str) -> Result<bool> {
        sqlx::query_scalar("SELECT to_regclass('lakewright.' || $1) IS NOT NULL")
            .bind(table)
            .fetch_one(&self.pool)
            .await
            .map_err(fault::of)
    }

    /// Makes the tables where there are none, and brings them up to date.
    async fn writable(&self) -> Result<&PgPool> {
        self.migrated.get_or_try_init(|| self.migrate()).await?;
        Ok(&self.pool)
    }

    async fn migrate(&self) -> Result<()> {
        // Two sessions that both find no schema would both make one: under a lock, which ends with the statement.
        // Who may not create schemas can be given one.
        sqlx::raw_sql(
            "DO $$ BEGIN
                PERFORM pg_advisory_xact_lock(hashtext('lakewright schema'));
                IF to_regnamespace('lakewright') IS NULL THEN CREATE SCHEMA lakewright; END IF;
            END $$",
        )
        .execute(&self.pool)
        .await
        .map_err(fault::of)?;
        let migrator = Migrator::new(migration::POSTGRES)
            .await
            .map_err(fault::of_migration)?;
        migrator.run(&self.pool).await.map_err(fault::of_migration)
    }
}

#[async_trait]
impl StateStore for PostgresStore {
    async fn append(
        &self,
        run: RunId,
        pipeline: &PipelineId,
        event: RunEvent,
        now: DateTime<Utc>,
    ) -> Result<Event> {
        let head = match self.heads.take(run) {
            Some(head) => Some(head),
            None => Head::of(&self.events(run).await?, run)?,
        };
        let (next, head) = Head::followed_by(head, run, event, now)?;
        failpoint::before(Point::of(&next.event)).await?;
        sqlx::query(INSERT)
            .bind(run.to_string())
            .bind(i64::from(next.sequence))
            .bind(pipeline.to_string())
            .bind(next.event.kind())
            .bind(next.event.ends())
            .bind(record::time(next.at))
            .bind(record::encode(&next.event)?)
            .bind(next.event.decision().map(i64::from))
            .execute(self.writable().await?)
            .await
            .map_err(|e| fault::of_insert(e).with("run", run))?;
        failpoint::after(Point::of(&next.event)).await?;
        self.heads.put(run, head);
        Ok(next)
    }

    async fn events(&self, run: RunId) -> Result<Vec<Event>> {
        let Some(pool) = self.existing().await? else {
            return Ok(Vec::new());
        };
        let query = sqlx::query_as::<_, Row>(EVENTS).bind(run.to_string());
        record::events(query.fetch_all(pool).await.map_err(fault::of)?)
    }

    async fn runs(&self, pipeline: Option<&PipelineId>, limit: u32) -> Result<Vec<RunRecord>> {
        let Some(pool) = self.existing().await? else {
            return Ok(Vec::new());
        };
        let query = sqlx::query_as::<_, Row>(RUNS)
            .bind(pipeline.map(ToString::to_string))
            .bind(i64::from(limit));
        record::records(query.fetch_all(pool).await.map_err(fault::of)?)
    }

    async fn unfinished(&self, pipeline: &PipelineId) -> Result<Option<RunRecord>> {
        let Some(pool) = self.existing().await? else {
            return Ok(None);
        };
        let query = sqlx::query_as::<_, Row>(UNFINISHED).bind(pipeline.to_string());
        let records = record::records(query.fetch_all(pool).await.map_err(fault::of)?)?;
        Ok(records.into_iter().next())
    }

    async fn lock(&self, pipeline: &PipelineId) -> Result<PipelineLock> {
        let session = PgConnection::connect_with(&self.options)
            .await
            .map_err(fault::of)?;
        PipelineLock::in_session(session, pipeline).await
    }

    async fn is_locked(&self, pipeline: &PipelineId) -> Result<bool> {
        lock::is_held_in_session(&self.pool, pipeline).await
    }

    async fn decide<'a>(
        &self,
        decisions: &'a [Decision],
        now: DateTime<Utc>,
    ) -> Result<Vec<&'a Decision>> {
        let mut transaction = self.writable().await?.begin().await.map_err(fault::of)?;
        let mut places = Places::default();
        for decision in decisions {
            if places.are_taken(decision) {
                continue;
            }
            let added = sqlx::query(decisions::INSERT)
                .bind(decision.pipeline.to_string())
                .bind(i64::from(decision.sequence))
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

    async fn schedules(&self, after: &BTreeSet<PipelineId>) -> Result<Schedules> {
        let Some(pool) = self.with("decision").await? else {
            return Ok(Schedules::default());
        };
        let open = self.open_decisions().await?;
        let rows = sqlx::query_as(decisions::LAST).fetch_all(pool).await;
        let mut schedules = decisions::schedules(rows.map_err(fault::of)?, &open)?;
        for pipeline in after {
            let run: Option<String> = sqlx::query_scalar(decisions::PUBLISHED)
                .bind(pipeline.to_string())
                .fetch_optional(pool)
                .await
                .map_err(fault::of)?;
            if let Some(run) = run {
                schedules
                    .published
                    .insert(pipeline.clone(), decisions::run(&run)?);
            }
        }
        Ok(schedules)
    }

    async fn open_decisions(&self) -> Result<Vec<OpenDecision>> {
        let Some(pool) = self.with("decision").await? else {
            return Ok(Vec::new());
        };
        let rows = sqlx::query_as(decisions::OPEN).fetch_all(pool).await;
        decisions::open(rows.map_err(fault::of)?)
    }

    async fn end_of(&self, pipeline: &PipelineId, decision: u32) -> Result<Option<String>> {
        let Some(pool) = self.with("decision").await? else {
            return Ok(None);
        };
        sqlx::query_scalar(decisions::ENDED)
            .bind(pipeline.to_string())
            .bind(i64::from(decision))
            .fetch_optional(pool)
            .await
            .map_err(fault::of)
    }

    async fn close_decision(&self, pipeline: &PipelineId, decision: u32, what: &str) -> Result<()> {
        let close = sqlx::query(decisions::CLOSE)
            .bind(pipeline.to_string())
            .bind(i64::from(decision))
            .bind(what);
        close
            .execute(self.writable().await?)
            .await
            .map_err(fault::of)?;
        Ok(())
    }

    async fn decisions(&self, pipeline: &PipelineId, limit: u32) -> Result<Vec<PastDecision>> {
        let Some(pool) = self.with("decision").await? else {
            return Ok(Vec::new());
        };
        let rows = sqlx::query_as(decisions::NEWEST)
            .bind(pipeline.to_string())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await;
        decisions::past(rows.map_err(fault::of)?)
    }

    async fn lead(&self) -> Result<Option<Lease>> {
        let session = PgConnection::connect_with(&self.options)
            .await
            .map_err(fault::of)?;
        Lease::in_session(session).await
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
