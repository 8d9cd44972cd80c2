//! SQL Server: tables and queries read as of one moment, in parallel where changes are tracked.
//!
//! Knows T-SQL, the catalogue and the types of SQL Server 2012 and later; the protocol is a driver's, which only `session`,
//! `decode` and `column` know. Knows nothing of pipelines.

mod catalog;
mod changes;
mod column;
mod cut;
mod decode;
mod failure;
mod kind;
mod moment;
mod query;
mod server;
mod session;
mod shown;
mod source;
mod sql;
mod text;
mod values;
mod watermark;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use mssql_tds::core::EncryptionSetting;
use schemars::JsonSchema;
use serde::Deserialize;

use self::kind::AllowLossy;
use self::server::Server;
use self::session::Login;
use self::source::SqlServerSource;
use crate::contract::{
    Capability, Connection, Connector, Incremental, Opening, Source, SourceCapability,
};
use crate::duration;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretRef;

/// SQL Server 2012 and later, Azure SQL.
pub(crate) struct SqlServer;

/// How a SQL Server is reached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) struct Options {
    /// The name or address of the server.
    host: String,
    /// The port of the server: 1433 where neither it nor an instance is given.
    #[serde(default)]
    port: Option<u16>,
    /// The name of an instance, whose port the server's browser is asked for.
    #[serde(default)]
    instance: Option<String>,
    /// The database.
    database: String,
    /// The user that logs in, by a login of SQL Server's own.
    user: String,
    /// The user's password.
    password: SecretRef,
    /// Whether the connection is encrypted.
    #[serde(default)]
    encrypt: Encrypt,
    /// Accepts whatever certificate a server shows: whoever answers in its place can read everything.
    #[serde(default)]
    trust_server_certificate: bool,
    /// The name in the server's certificate, where it is not `host`.
    #[serde(default)]
    host_name_in_certificate: Option<String>,
    /// A PEM or DER file with the one certificate that the server must show, relative to the project's folder. Without it
    /// the certificate must be signed by an authority that the system knows.
    #[serde(default)]
    certificate_file: Option<PathBuf>,
    /// Whether reading is all that the connection is for: a listener of an availability group then leads to a secondary.
    #[serde(default)]
    application_intent: Intent,
    /// The server that mirrors the database, for when this one is gone.
    #[serde(default)]
    failover_partner: Option<String>,
    /// The longest that logging in may take, such as `15s`.
    #[serde(default)]
    connect_timeout: Option<String>,
    /// The longest a statement may take at the server, such as `30s`, `5m` or `2h`. Reading a split is one statement.
    #[serde(default)]
    statement_timeout: Option<String>,
    /// What a read does where the database keeps no versions of its rows.
    #[serde(default)]
    isolation: Isolation,
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Encrypt {
    /// Only the login, where the server can.
    Off,
    /// Always, after the first greeting.
    #[default]
    Required,
    /// From the first byte on (TDS 8.0, SQL Server 2022 and later).
    Strict,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Intent {
    /// Reading and writing.
    #[default]
    ReadWrite,
    /// Reading only.
    ReadOnly,
}

/// What a read needs.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Isolation {
    /// One moment: `SNAPSHOT` isolation, or one statement under `READ_COMMITTED_SNAPSHOT`. Fails where neither is on.
    #[default]
    Snapshot,
    /// One moment where the database has it, and otherwise rows as they are met: those that change meanwhile may be missed
    /// or doubled.
    ReadCommitted,
}

/// Options of a read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(from = "Option<ReadOptionsGiven>")]
pub(crate) struct ReadOptions {
    allow_lossy: AllowLossy,
}

/// Options of a read as they are written. Left out altogether, they arrive as null.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadOptionsGiven {
    /// What may be lost of a column's values, by the column's name; `*` is every column.
    #[serde(default)]
    allow_lossy: AllowLossy,
}

impl From<Option<ReadOptionsGiven>> for ReadOptions {
    fn from(given: Option<ReadOptionsGiven>) -> Self {
        Self {
            allow_lossy: given.unwrap_or_default().allow_lossy,
        }
    }
}

/// Options of a write: none, since nothing is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteOptions {}

#[async_trait]
impl Connector for SqlServer {
    const KIND: &'static str = "sql_server";
    const CAPABILITY: Capability = Capability {
        source: Some(SourceCapability {
            changes: true,
            sessions: true,
            queries: true,
            predicates: true,
            incremental: Incremental::Column,
        }),
        sink: None,
    };
    type Options = Options;
    type ReadOptions = ReadOptions;
    type WriteOptions = WriteOptions;

    async fn open(options: Options, opening: Opening<'_>) -> Result<Box<dyn Connection>> {
        let limit = |name, text: &Option<String>| {
            text.as_ref()
                .map(|text| duration::parse(name, text))
                .transpose()
        };
        let unguarded = options.isolation == Isolation::ReadCommitted;
        let login = Login {
            server: address(&options)?,
            encryption: match options.encrypt {
                Encrypt::Off => EncryptionSetting::PreferOff,
                Encrypt::Required => EncryptionSetting::Required,
                Encrypt::Strict => EncryptionSetting::Strict,
            },
            trust_any: options.trust_server_certificate,
            certificate: options
                .certificate_file
                .as_deref()
                .map(|path| opening.root.join(path)),
            host_name_in_certificate: options.host_name_in_certificate,
            password: opening.secrets.resolve(&options.password)?,
            read_only: options.application_intent == Intent::ReadOnly,
            connect_timeout: limit("connect_timeout", &options.connect_timeout)?,
            statement_timeout: limit("statement_timeout", &options.statement_timeout)?,
            database: options.database,
            user: options.user,
            failover_partner: options.failover_partner,
        };
        let server = Server::new(login, opening.sessions);
        // Wrong credentials are better found here than in the middle of a run.
        drop(server.session().await?);
        Ok(Box::new(SqlServerConnection {
            source: SqlServerSource::new(Arc::clone(&server), unguarded),
            server,
        }))
    }
}

/// The server as the driver reads it. What is written into it must not end it.
fn address(options: &Options) -> Result<String> {
    let parts = [Some(&options.host), options.instance.as_ref()];
    let plain = parts
        .into_iter()
        .flatten()
        .all(|part| !part.is_empty() && !part.contains(['\\', ',', ';', '=']));
    match (plain, &options.instance, options.port) {
        (false, _, _) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`{}` is not the name of a server", options.host),
        )
        .help("write the port as `port:` and the instance as `instance:`")),
        (true, Some(_), Some(_)) => Err(Error::new(
            ErrorKind::InvalidInput,
            "a server has a `port:` or an `instance:`, not both",
        )
        .help("keep the port, which needs no browser, where it is fixed")),
        (true, Some(instance), None) => Ok(format!("tcp:{}\\{instance}", options.host)),
        (true, None, port) => Ok(format!("tcp:{},{}", options.host, port.unwrap_or(1433))),
    }
}

/// One server, logged in to.
struct SqlServerConnection {
    source: SqlServerSource,
    server: Arc<Server>,
}

#[async_trait]
impl Connection for SqlServerConnection {
    fn source(&self) -> Option<&dyn Source> {
        Some(&self.source)
    }

    async fn probe(&self) -> Result<String> {
        self.server.session().await?.server()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(more: &str) -> Options {
        let mut value = serde_json::json!({
            "host": "h", "database": "d", "user": "u", "password": { "env": "P" }
        });
        let more: serde_json::Value = serde_json::from_str(more).unwrap();
        for (key, given) in more.as_object().unwrap() {
            value[key] = given.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn addresses() {
        let of = |more| address(&options(more)).ok();
        assert_eq!(of("{}").as_deref(), Some("tcp:h,1433"));
        assert_eq!(of(r#"{ "port": 5 }"#).as_deref(), Some("tcp:h,5"));
        assert_eq!(of(r#"{ "instance": "X" }"#).as_deref(), Some("tcp:h\\X"));
        assert_eq!(of(r#"{ "instance": "X", "port": 5 }"#), None);
        assert_eq!(of(r#"{ "host": "h,5" }"#), None);
    }

    #[test]
    fn options_are_strict() {
        assert_eq!(options("{}").encrypt, Encrypt::Required);
        let read: Result<ReadOptions, _> = serde_json::from_str(r#"{ "allow_losy": {} }"#);
        assert!(read.is_err());
        let read: ReadOptions = serde_json::from_str("null").unwrap();
        assert_eq!(read.allow_lossy, AllowLossy::default());
    }
}
