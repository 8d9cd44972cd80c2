//! The state store in PostgreSQL: for several daemons, on several machines.
//!
//! The tables are in a schema of their own, so that the database may be shared.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Fence, Result, Secret};
use spec::model::PipelineId;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::OnceCell;

use super::decisions::Places;
use super::head::{Head, Heads};
use super::record::{self, Row};
use super::store::StateStore;
use super::{
    Event, Lease, OpenDecision, PastDecision, RunEvent, RunId, RunRecord, Take, decisions, fault,
    lease, migration,
};
use crate::failpoint::{self, Point};
use crate::scheduler::{Decision, Schedules, Share, Taken};

/// Connections of one process for reading and writing the log; each lock has one more.
const CONNECTIONS: u32 = 4;
/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where the tables are found, how long a transaction may stand still with what it has locked, and how soon the server
/// notices that a machine is gone: 120 s, though its leases are over long before.
const SESSION: [(&str, &str); 5] = [
    ("search_path", "lakewright"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "15"),
    ("tcp_keepalives_count", "4"),
];

/// The lock on the row of the lease lets whoever takes it see what was written under it, or keeps that from being written.
const INSERT: &str = "WITH held AS (SELECT 1 FROM lease WHERE name = $9 AND token = $10 FOR SHARE)
    INSERT INTO run_event (run, sequence, pipeline, kind, ends, at, payload, decision)
    SELECT $1::text, $2::bigint, $3::text, $4::text, $5::boolean, $6::text::timestamptz,
        $7::text::json, $8::bigint FROM held";

/// Whether a lease is in force, until the transaction ends.
const IN_FORCE: &str = "SELECT 1 FROM lease WHERE name = $1 AND token = $2 FOR SHARE";

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
    lease: Duration,
    heads: Heads,
}

impl PostgresStore {
    pub(super) fn new(url: &Secret, lease: Duration) -> Result<Self> {
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
            lease,
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

    async fn ask_for(&self, name: &str, shares: &[Share]) -> Result<Take> {
        self.writable().await?;
        lease::take_in_session(&self.options, name, shares, self.lease).await
    }

    /// Begins to write; what a lease is needed for only while that is in force.
    async fn transaction(&self, lease: Option<&Lease>) -> Result<Transaction<'_, Postgres>> {
        let begun = self.writable().await?.begin().await;
        let mut transaction = begun.map_err(fault::of)?;
        if let Some(lease) = lease {
            let in_force: Option<i32> = sqlx::query_scalar(IN_FORCE)
                .bind(&lease.fence().name)
                .bind(lease.fence().token)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(fault::of)?;
            in_force.ok_or_else(|| lease.taken())?;
        }
        Ok(transaction)
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
        lease: &Lease,
        run: RunId,
        event: RunEvent,
        now: DateTime<Utc>,
    ) -> Result<Event> {
        let head = match self.heads.take(run, lease.fence().token) {
            Some(head) => Some(head),
            None => Head::of(&self.events(run).await?, run)?,
        };
        let (next, head) = Head::followed_by(head, run, event, now)?;
        failpoint::before(Point::of(&next.event)).await?;
        let written = sqlx::query(INSERT)
            .bind(run.to_string())
            .bind(i64::from(next.sequence))
            .bind(&lease.fence().name)
            .bind(next.event.kind())
            .bind(next.event.ends())
            .bind(record::time(next.at))
            .bind(record::encode(&next.event)?)
            .bind(next.event.decision().map(i64::from))
            .bind(&lease.fence().name)
            .bind(lease.fence().token)
            .execute(self.writable().await?)
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

    async fn take(&self, pipeline: &PipelineId, shares: &[Share]) -> Result<Take> {
        self.ask_for(&pipeline.to_string(), shares).await
    }

    async fn taken(&self) -> Result<Taken> {
        match self.with("share").await? {
            Some(pool) => lease::taken_in_session(pool).await,
            None => Ok(Taken::new()),
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<()> {
        if lease::renew_in_session(self.writable().await?, lease.fence(), self.lease).await? {
            return Ok(());
        }
        Err(lease.taken())
    }

    async fn is_locked(&self, pipeline: &PipelineId) -> Result<bool> {
        let Some(pool) = self.with("lease").await? else {
            return Ok(false);
        };
        let name = pipeline.to_string();
        let row: Option<(i64, bool)> = sqlx::query_as(lease::STANDS_IN_SESSION)
            .bind(&name)
            .fetch_optional(pool)
            .await
            .map_err(fault::of)?;
        match row {
            Some((token, true)) => {
                lease::lives(
                    pool,
                    &Fence {
                        giver: String::new(),
                        name,
                        token,
                    },
                )
                .await
            }
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

    async fn schedules(
        &self,
        after: &BTreeSet<PipelineId>,
        open: &[OpenDecision],
    ) -> Result<Schedules> {
        let Some(pool) = self.with("decision").await? else {
            return Ok(Schedules::default());
        };
        let rows = sqlx::query_as(decisions::LAST).fetch_all(pool).await;
        let mut schedules = decisions::schedules(rows.map_err(fault::of)?, open)?;
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
            .bind(i64::from(decision))
            .bind(what);
        close.execute(&mut *transaction).await.map_err(fault::of)?;
        transaction.commit().await.map_err(fault::of)
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
        match self.ask_for(lease::SCHEDULER, &[]).await? {
            Take::Got(lease) => Ok(Some(lease)),
            Take::Running | Take::Full(_) => Ok(None),
        }
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
