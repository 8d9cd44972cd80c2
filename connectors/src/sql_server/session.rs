//! One session with a server: statements in, values and rows out.
//!
//! The only place that drives the driver. It may be exchanged for another here and in [`decode`](super::decode).

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use mssql_tds::connection::client_context::ClientContext;
use mssql_tds::connection::tds_client::{
    BufferedRowPoll, ExecuteOptions, ResultSet as _, TdsClient,
};
use mssql_tds::connection_provider::tds_connection_provider::TdsConnectionProvider;
use mssql_tds::core::{EncryptionSetting, TdsResult};
use mssql_tds::datatypes::column_values::ColumnValues;
use mssql_tds::message::login_options::ApplicationIntent;
use mssql_tds::query::metadata::ColumnMetadata;

use super::decode::Rows;
use super::failure::{failure, protocol};
use super::text;
use crate::background::Cancellations;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The largest packet of the protocol: the fewest reads for the most rows.
const PACKET_BYTES: u16 = 32_767;
/// How long a server may take to stop.
const ATTENTION_LIMIT: Duration = Duration::from_secs(3);

/// Everything needed to log in.
pub(super) struct Login {
    /// `tcp:host,port`, or `tcp:host\instance`.
    pub(super) server: String,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Secret,
    pub(super) encryption: EncryptionSetting,
    pub(super) trust_any: bool,
    pub(super) host_name_in_certificate: Option<String>,
    /// The one certificate that is accepted.
    pub(super) certificate: Option<PathBuf>,
    pub(super) read_only: bool,
    pub(super) failover_partner: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) statement_timeout: Option<Duration>,
}

impl Login {
    fn context(&self) -> ClientContext {
        let mut context = ClientContext::with_data_source(&self.server);
        "Lakewright".clone_into(&mut context.application_name);
        context.database.clone_from(&self.database);
        context.user_name.clone_from(&self.user);
        self.password.expose().clone_into(&mut context.password);
        context.packet_size = PACKET_BYTES;
        // A session that is lost takes its transaction with it; a new one in its place would read another moment.
        context.connect_retry_count = 0;
        if self.read_only {
            context.application_intent = ApplicationIntent::ReadOnly;
        }
        if let Some(partner) = &self.failover_partner {
            context.failover_partner.clone_from(partner);
        }
        if let Some(limit) = self.connect_timeout {
            context.connect_timeout = seconds(limit);
        }
        let encryption = &mut context.encryption_options;
        encryption.mode = self.encryption;
        encryption.trust_server_certificate = self.trust_any;
        encryption
            .host_name_in_cert
            .clone_from(&self.host_name_in_certificate);
        encryption.server_certificate.clone_from(&self.certificate);
        context
    }
}

/// The driver counts in whole seconds, and takes zero for no limit.
fn seconds(limit: Duration) -> u32 {
    u32::try_from(limit.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// One session. Dropping it ends what it does, at the server too.
pub(super) struct Session {
    /// `None` once it was given to a request to cancel.
    client: Option<Box<TdsClient>>,
    statement_timeout: Option<u32>,
    cancellations: Arc<Cancellations>,
}

/// Runs a piece of the driver, which may panic on what a server sends.
async fn driven<T>(work: impl Future<Output = TdsResult<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done.map_err(failure),
        Err(_) => Err(protocol("the driver")),
    }
}

/// A server that breaks off in the middle of a greeting says nothing that could be understood.
fn refused(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Internal => Error::new(
            ErrorKind::Unavailable,
            "the server broke off the login, or is no SQL Server",
        )
        .caused_by(error),
        _ => error,
    }
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn open(login: &Login, cancellations: &Arc<Cancellations>) -> Result<Self> {
        let provider = TdsConnectionProvider::new();
        let client = Box::pin(provider.create_client(login.context(), &login.server, None));
        let client = driven(client).await.map_err(|error| {
            refused(error).with("server", login.server.trim_start_matches("tcp:"))
        })?;
        Ok(Self {
            client: Some(Box::new(client)),
            statement_timeout: login.statement_timeout.map(seconds),
            cancellations: Arc::clone(cancellations),
        })
    }

    fn client(&mut self) -> Result<&mut TdsClient> {
        self.client
            .as_deref_mut()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the session has ended"))
    }

    /// `SQL Server 16.0.4135, encrypted`: what the server is.
    pub(super) fn server(&mut self) -> Result<String> {
        let client = self.client()?;
        let version = client.server_version().map_or_else(
            || "of an unknown version".to_owned(),
            |version| format!("{}.{}.{}", version.major, version.minor, version.build),
        );
        let encrypted = if client.is_encrypted() {
            "encrypted"
        } else {
            "not encrypted"
        };
        Ok(format!("SQL Server {version}, {encrypted}"))
    }

    /// Whether a transaction is open.
    pub(super) fn in_transaction(&mut self) -> Result<bool> {
        Ok(self.client()?.has_active_transaction())
    }

    /// Starts a statement: what follows are its rows.
    pub(super) async fn start(&mut self, sql: String) -> Result<()> {
        let mut options = ExecuteOptions::new();
        if let Some(seconds) = self.statement_timeout {
            options = options.timeout_secs(seconds);
        }
        tracing::trace!(sql, "statement");
        let client = self.client()?;
        driven(Box::pin(async {
            client.execute(sql, options).await?;
            if !client.on_rows() {
                client.advance_to_rows().await?;
            }
            Ok(())
        }))
        .await
    }

    /// Runs a statement to its end, without an answer.
    pub(super) async fn run(&mut self, sql: impl Into<String>) -> Result<()> {
        self.start(sql.into()).await?;
        self.end().await
    }

    /// The columns of the rows that were started.
    pub(super) fn columns(&mut self) -> Result<&[ColumnMetadata]> {
        Ok(self.client()?.get_metadata())
    }

    /// Reads on to the end of the statement, and forgets what comes.
    pub(super) async fn end(&mut self) -> Result<()> {
        let client = self.client()?;
        driven(Box::pin(client.close_query())).await
    }

    /// Stops the statement that is under way, so that another can begin.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let client = self.client()?;
        let limit = u32::try_from(ATTENTION_LIMIT.as_secs()).unwrap_or(1);
        driven(Box::pin(client.cancel_query(limit))).await
    }

    /// Reads rows until the batch is full; whether there may be more.
    pub(super) async fn fill(&mut self, rows: &mut Rows) -> Result<bool> {
        let client = self.client()?;
        let read = driven(Box::pin(async {
            loop {
                match client.try_next_buffered_row_into(rows)? {
                    BufferedRowPoll::Complete => {}
                    BufferedRowPoll::Partial => client.finish_row_into(rows).await?,
                    BufferedRowPoll::Pending => {
                        if !client.next_row_into(rows).await? {
                            return Ok(false);
                        }
                    }
                    BufferedRowPoll::Exhausted => return Ok(false),
                }
                if rows.full() {
                    return Ok(true);
                }
            }
        }))
        .await;
        // Where a session stands after what nobody understood is not known: it is not used again.
        if matches!(&read, Err(error) if error.kind() == ErrorKind::Internal) {
            client.mark_connection_dead();
        }
        let more = read.map_err(|error| error.with("row", format!("after {}", rows.seen())))?;
        rows.check()?;
        Ok(more)
    }

    /// The rows of a small answer, as text.
    pub(super) async fn rows(
        &mut self,
        sql: impl Into<String>,
    ) -> Result<Vec<Vec<Option<String>>>> {
        self.start(sql.into()).await?;
        let client = self.client()?;
        let rows = driven(Box::pin(async {
            let mut rows = Vec::new();
            while client.on_rows()
                && let Some(row) = client.next_row().await?
            {
                rows.push(row);
            }
            client.close_query().await?;
            Ok(rows)
        }))
        .await?;
        rows.into_iter()
            .map(|row| row.iter().map(shown).collect())
            .collect()
    }

    /// The first value of a small answer, as text.
    pub(super) async fn value(&mut self, sql: impl Into<String>) -> Result<Option<String>> {
        let rows = self.rows(sql).await?;
        Ok(rows.into_iter().flatten().next().flatten())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut client) = self.client.take() else {
            return;
        };
        if client.has_open_batch() && !client.is_connection_dead() {
            self.cancellations.request(async move {
                let attention = client.send_attention_with_timeout(ATTENTION_LIMIT);
                driven(Box::pin(attention)).await.map(drop)
            });
        }
    }
}

/// A value of a statement of ours, which asks for integers, truth values and text only.
fn shown(value: &ColumnValues) -> Result<Option<String>> {
    Ok(Some(match value {
        ColumnValues::Null => return Ok(None),
        ColumnValues::TinyInt(value) => value.to_string(),
        ColumnValues::SmallInt(value) => value.to_string(),
        ColumnValues::Int(value) => value.to_string(),
        ColumnValues::BigInt(value) => value.to_string(),
        ColumnValues::Bit(value) => u8::from(*value).to_string(),
        ColumnValues::String(value) => {
            // What the catalogue has in a code page is ASCII.
            let utf8 = value.as_utf16_bytes().map_or_else(
                || Ok(value.bytes.clone()),
                |bytes| {
                    let mut utf8 = Vec::new();
                    text::push_utf16(bytes, &mut utf8).map(|()| utf8)
                },
            );
            utf8.ok()
                .and_then(|utf8| String::from_utf8(utf8).ok())
                .ok_or_else(|| protocol("a name"))?
        }
        _ => return Err(protocol("an answer of the catalogue")),
    }))
}
