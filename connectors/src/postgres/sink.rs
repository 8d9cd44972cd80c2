//! Writing: rows are copied into a temporary table, and become visible in one transaction.
//!
//! Knows the life of a stage; what is done to the target at the end is [`apply`].

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::apply::{self, Plan, STAGE};
use super::catalog;
use super::encode::{self, Target};
use super::failure::{protocol, server_error};
use super::ledger::{self, Ledger};
use super::server::Server;
use super::sql::{self, Relation};
use super::wire::Session;
use crate::contract::{Fence, Remembered, Sink, Stage, Staged, Write, WriteMode};
use crate::error::{Error, ErrorKind, Result};

/// Rows in one message to the server, at most.
const MESSAGE_ROWS: usize = 8192;

/// How long a transaction that commits may stand still.
const GIVEN_UP: &str = "SET LOCAL idle_in_transaction_session_timeout = '30s'";

/// The writing side of a connection.
pub(super) struct PostgresSink {
    server: Arc<Server>,
}

impl PostgresSink {
    pub(super) const fn new(server: Arc<Server>) -> Self {
        Self { server }
    }
}

#[async_trait]
impl Sink for PostgresSink {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        let relation = Relation::table(table)?;
        let mut session = self.server.session().await?;
        if !catalog::exists(&mut session, &relation).await? {
            return Ok(None);
        }
        let columns = catalog::columns(&mut session, &relation).await?;
        let fields = columns.iter().map(|column| match &column.kind {
            Some(kind) => kind.field(&column.name, column.nullable),
            // A type that is not read still takes text, by a cast.
            None => Field::new(&column.name, DataType::Utf8, column.nullable),
        });
        Ok(Some(Arc::new(Schema::new(fields.collect::<Vec<_>>()))))
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        let relation = Relation::table(&write.table)?;
        let mut session = self.server.session().await?;
        let ledger = Ledger::of(&mut session, &relation).await?;
        ledger.committed(&mut session, &write.run).await
    }

    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>> {
        let relation = Relation::table(table)?;
        let mut session = self.server.session().await?;
        let ledger = Ledger::of(&mut session, &relation).await?;
        ledger.remembered(&mut session).await
    }

    async fn raise(&self, table: &str, fence: &Fence) -> Result<()> {
        let relation = Relation::table(table)?;
        let mut session = self.server.session().await?;
        ledger::raise(&mut session, &relation, fence).await
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        let relation = Relation::table(&write.table)?;
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            columns.push((field.name().clone(), Target::of(field)?));
        }
        let mut session = self.server.session().await?;
        session.run("BEGIN").await?;
        session
            .run("SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
        let plan = Plan::new(&mut session, write, &relation, columns)
            .await
            .map_err(|error| error.with("table", &write.table))?;
        session.run(&plan.create_stage()).await?;
        begin_copy(&mut session).await?;
        let mut stage = PostgresStage {
            session,
            plan,
            buffer: Vec::new(),
        };
        stage.send(encode::HEADER).await?;
        Ok(Box::new(stage))
    }
}

async fn begin_copy(session: &mut Session) -> Result<()> {
    session
        .start(&format!("COPY {STAGE} FROM STDIN (FORMAT binary)"))
        .await?;
    let message = session.next().await?;
    match message.tag {
        b'G' => Ok(()),
        b'E' => Err(server_error(session.body(&message))),
        _ => Err(protocol("the start of a copy")),
    }
}

/// Rows being copied. Dropping it closes the session, which rolls everything back.
struct PostgresStage {
    session: Session,
    plan: Plan,
    buffer: Vec<u8>,
}

impl PostgresStage {
    async fn send(&mut self, rows: &[u8]) -> Result<()> {
        self.buffer.clear();
        self.begin_message();
        self.buffer.extend_from_slice(rows);
        self.send_message().await
    }

    fn begin_message(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(b"d\0\0\0\0");
    }

    async fn send_message(&mut self) -> Result<()> {
        let length = i32::try_from(self.buffer.len() - 1).map_err(|_| {
            Error::new(
                ErrorKind::LimitExceeded,
                "rows are too long to be sent at once",
            )
            .with("bytes", self.buffer.len())
        })?;
        if let Some(place) = self
            .buffer
            .get_mut(1..)
            .and_then(<[u8]>::first_chunk_mut::<4>)
        {
            *place = length.to_be_bytes();
        }
        self.session.send(&self.buffer).await
    }
}

#[async_trait]
impl Stage for PostgresStage {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut start = 0;
        while start < batch.num_rows() {
            let count = MESSAGE_ROWS.min(batch.num_rows() - start);
            self.begin_message();
            encode::rows(
                &batch.slice(start, count),
                self.plan.targets(),
                &mut self.buffer,
            )?;
            self.send_message().await?;
            start += count;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<Box<dyn Staged>> {
        self.send(encode::TRAILER).await?;
        let mut done = BytesMut::new();
        frontend::copy_done(&mut done);
        self.session.send(&done).await?;
        self.session.until_ready(|_, _| Ok(())).await?;
        let Self {
            mut session, plan, ..
        } = *self;
        plan.check_keys(&mut session).await?;
        Ok(Box::new(PostgresStaged { session, plan }))
    }
}

/// Rows in the temporary table, in an open transaction.
struct PostgresStaged {
    session: Session,
    plan: Plan,
}

#[async_trait]
impl Staged for PostgresStaged {
    async fn commit(mut self: Box<Self>) -> Result<u64> {
        let Self { session, plan } = &mut *self;
        // Until now it waited for the run. What is locked from here on is not locked for as long as this process stands
        // still: the server gives the transaction up.
        session.run(GIVEN_UP).await?;
        let about = |error: Error| error.with("table", plan.relation().as_sql());
        let recorded = ledger::record(session, plan.relation(), plan.write()).await;
        let Some(ledger) = recorded.map_err(about)? else {
            session.run("ROLLBACK").await?;
            return Ok(0);
        };
        let rows = apply::apply(session, plan).await.map_err(about)?;
        ledger.created(session).await?;
        match session.run("COMMIT").await {
            Ok(tag) if tag == "COMMIT" => Ok(rows),
            Ok(tag) => Err(Error::new(
                ErrorKind::Conflict,
                "the server rolled the transaction back",
            )
            .with("reply", tag)),
            // A server that is shut down while it waits for a standby says so after it has committed.
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(Error::new(
                ErrorKind::CommitUnknown,
                "the reply to the commit was lost",
            )
            .with("table", plan.relation().as_sql())
            .with("run", &plan.write().run)
            .caused_by(error)),
            Err(error) => Err(error),
        }
    }
}

/// The columns that a merge goes by; none for the other modes.
pub(super) fn key(mode: &WriteMode) -> &[String] {
    match mode {
        WriteMode::Merge { key } => key,
        WriteMode::Append | WriteMode::Replace => &[],
    }
}

/// Names in backticks, for messages.
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The names of columns, as SQL.
pub(super) fn list(columns: &[(String, Target)]) -> String {
    sql::identifiers(columns.iter().map(|(name, _)| name.as_str()))
}
