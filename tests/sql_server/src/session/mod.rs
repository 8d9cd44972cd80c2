//! One connection after its login: messages in, replies out.
//!
//! Knows what a session is in: its database, its transaction, its variables. Its PostgreSQL connection is its own.

mod attention;
mod bulk;
mod call;
mod capture;
mod definition;
mod index;
mod procedure;
mod rows;
mod statement;
mod table;
mod tracking;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::mpsc;

pub(crate) use attention::Attention;

use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::server::Shared;
use crate::sql::bind::Facts;
use crate::sql::{Isolation, parse};
use crate::wire::{Kind, Message, Reply, sql_text};

pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) postgres: PgConnection,
    /// The process of PostgreSQL, which an attention cancels.
    pub(crate) process: i32,
    pub(crate) reply: Reply,
    pub(crate) attention: Arc<Attention>,
    pub(crate) facts: Facts,
    pub(crate) catalog: Catalog,
    /// The database of the login, to which a reset goes back.
    pub(crate) home: String,
    isolation: Isolation,
    /// The level the open transaction began with.
    begun: Isolation,
    transaction_number: u64,
    counts: bool,
    abort_on_error: bool,
    prepared: BTreeMap<i32, call::Prepared>,
    bulk: Option<bulk::Load>,
}

/// What becomes of a batch after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    GoOn,
    /// A statement failed, and takes the rest of the batch with it.
    Stop,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        postgres: PgConnection,
        process: i32,
        reply: Reply,
        facts: Facts,
    ) -> Self {
        Self {
            shared,
            postgres,
            process,
            reply,
            attention: Arc::default(),
            home: facts.database_name.clone(),
            facts,
            catalog: Catalog::default(),
            isolation: Isolation::ReadCommitted,
            begun: Isolation::ReadCommitted,
            transaction_number: 0,
            counts: true,
            abort_on_error: false,
            prepared: BTreeMap::new(),
            bulk: None,
        }
    }

    /// Until the client goes, or the connection fails.
    pub(crate) async fn serve(&mut self, messages: &mut mpsc::Receiver<Message>) -> Result<()> {
        let attention = Arc::clone(&self.attention);
        loop {
            let message = tokio::select! {
                biased;
                message = messages.recv() => message,
                () = attention.asked() => {
                    attention.answered();
                    self.reply.finish_attention().await?;
                    continue;
                }
            };
            match message {
                Some(message) if message.ignored => {
                    self.reply.done_with_error();
                    self.reply.finish().await?;
                }
                Some(message) => self.answer(message).await?,
                None => return Ok(()),
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Result<()> {
        if message.reset {
            self.reset().await?;
        }
        self.reply.in_procedure = message.kind == Kind::Call;
        let answered = match message.kind {
            Kind::Batch => self.batch(&message.bytes).await,
            Kind::Call => self.calls(&message.bytes).await,
            Kind::Transaction => self.transaction_request(&message.bytes).await,
            Kind::Bulk => self.bulk_rows(&message.bytes).await,
            Kind::Attention | Kind::Login | Kind::Prelogin => {
                Err(SqlError::protocol("The message does not belong here."))
            }
        };
        if let Err(error) = answered {
            self.fail(&error).await?;
            self.reply.done_with_error();
            if error.is_fatal() {
                self.reply.finish().await?;
                return Err(error);
            }
        }
        self.reply.in_transaction = self.facts.transactions > 0;
        if self.attention.is_asked() {
            self.attention.answered();
            return self.reply.finish_attention().await;
        }
        self.reply.finish().await
    }

    /// Tells an error, and ends the transaction where the error does.
    async fn fail(&mut self, error: &SqlError) -> Result<()> {
        self.facts.last_error = i64::from(error.number);
        if error.number != 0 {
            self.reply.error(error);
        }
        if self.facts.transactions > 0 && (error.ends_transaction() || self.abort_on_error) {
            self.roll_back().await?;
        }
        Ok(())
    }

    async fn batch(&mut self, bytes: &[u8]) -> Result<()> {
        let text = sql_text(bytes)?;
        self.facts.variables.clear();
        self.run(&text).await.map(|_| ())
    }

    /// All statements of a text.
    async fn run(&mut self, text: &str) -> Result<Flow> {
        if self.scripted_fault(text).await? {
            return Ok(Flow::Stop);
        }
        let statements = parse(text)?;
        for (statement, line) in statements {
            if self.attention.is_asked() {
                return Ok(Flow::Stop);
            }
            if self.statement_or_error(statement, line, text).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::GoOn)
    }

    /// As after the login: what a pool of connections asks for.
    async fn reset(&mut self) -> Result<()> {
        if self.facts.transactions > 0 {
            self.roll_back().await?;
        }
        self.isolation = Isolation::ReadCommitted;
        self.counts = true;
        self.abort_on_error = false;
        self.facts.identity_insert = None;
        let home = self.home.clone();
        self.use_database(&home).await?;
        self.reply.environment(&crate::wire::Environment::Reset);
        Ok(())
    }
}

impl Session {
    /// Whether a script has an error for this text; it is told then.
    async fn scripted_fault(&mut self, text: &str) -> Result<bool> {
        let Some(error) = self.shared.faults.for_batch(text) else {
            return Ok(false);
        };
        if error.is_fatal() {
            return Err(error);
        }
        self.fail(&error).await?;
        self.reply.done_with_error();
        Ok(true)
    }
}
