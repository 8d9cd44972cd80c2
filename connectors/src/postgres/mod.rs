//! PostgreSQL: tables and queries read in one snapshot, in parallel; tables appended to, replaced, merged into.
//!
//! Knows the server's protocol, catalogue and types, through a small client of its own (`wire`). Knows nothing of
//! pipelines.

mod apply;
mod auth;
mod cancel;
mod catalog;
mod copy_out;
mod cut;
mod decode;
mod encode;
mod failure;
mod fence;
mod kind;
mod known;
mod ledger;
mod numeric;
mod server;
mod sink;
mod source;
mod sql;
mod tls;
mod transport;
mod watermark;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use self::auth::Login;
use self::server::Server;
use self::sink::PostgresSink;
use self::source::PostgresSource;
use self::transport::Endpoint;
use crate::contract::{
    Capability, Connection, Connector, Incremental, Opening, Sink, SinkCapability, Source,
    SourceCapability,
};
use crate::duration;
use crate::error::Result;
use crate::secret::SecretRef;

/// PostgreSQL 10 and later.
pub(crate) struct Postgres;

/// How a PostgreSQL server is reached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(crate) struct Options {
    /// The name or address of the server.
    host: String,
    /// The port of the server.
    #[serde(default = "default_port")]
    port: u16,
    /// The database.
    database: String,
    /// The user that logs in.
    user: String,
    /// The user's password, where the server asks for one.
    #[serde(default)]
    password: Option<SecretRef>,
    /// Whether the connection is encrypted.
    #[serde(default)]
    tls: Tls,
    /// A PEM file with the certificates that vouch for the server, relative to the project's folder; the system's own
    /// when it is not given. With it the server is checked under `tls: prefer` too.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// The longest a statement may take at the server, such as `30s`, `5m` or `2h`. Reading a split is one statement.
    #[serde(default)]
    statement_timeout: Option<String>,
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Tls {
    /// Never.
    Off,
    /// Where the server offers it; the server need not prove its name.
    #[default]
    Prefer,
    /// Always, and the server must prove its name.
    Required,
}

/// Options of a read: none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(from = "Option<Nothing>")]
pub(crate) struct ReadOptions;

/// Options of a write: none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(from = "Option<Nothing>")]
pub(crate) struct WriteOptions;

/// An empty mapping. Left out altogether, options arrive as null.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

impl From<Option<Nothing>> for ReadOptions {
    fn from(_: Option<Nothing>) -> Self {
        Self
    }
}

impl From<Option<Nothing>> for WriteOptions {
    fn from(_: Option<Nothing>) -> Self {
        Self
    }
}

const fn default_port() -> u16 {
    5432
}

#[async_trait]
impl Connector for Postgres {
    const KIND: &'static str = "postgres";
    const CAPABILITY: Capability = Capability {
        source: Some(SourceCapability {
            changes: false,
            sessions: true,
            queries: true,
            predicates: true,
            incremental: Incremental::Column,
        }),
        sink: Some(SinkCapability {
            append: true,
            replace: true,
            merge: true,
            remembers: true,
        }),
    };
    type Options = Options;
    type ReadOptions = ReadOptions;
    type WriteOptions = WriteOptions;

    async fn open(options: Options, opening: Opening<'_>) -> Result<Box<dyn Connection>> {
        let mut settings = Vec::new();
        if let Some(text) = &options.statement_timeout {
            let limit = duration::parse("statement_timeout", text)?;
            settings.push(("statement_timeout", limit.as_millis().to_string()));
        }
        let tls = encryption(
            options.tls,
            options
                .ca_file
                .as_deref()
                .map(|path| opening.root.join(path))
                .as_deref(),
        )?;
        let password = options
            .password
            .as_ref()
            .map(|reference| opening.secrets.resolve(reference))
            .transpose()?;
        let endpoint = Endpoint {
            host: options.host,
            port: options.port,
            tls,
            tls_required: options.tls == Tls::Required,
        };
        let login = Login {
            user: options.user,
            database: options.database,
            password,
            settings,
        };
        let server = Server::new(endpoint, login, opening.sessions);
        // Wrong credentials are better found here than in the middle of a run.
        drop(server.session().await?);
        Ok(Box::new(PostgresConnection {
            source: PostgresSource::new(Arc::clone(&server)),
            sink: PostgresSink::new(Arc::clone(&server)),
            server,
        }))
    }
}

fn encryption(tls: Tls, ca_file: Option<&Path>) -> Result<Option<Arc<rustls::ClientConfig>>> {
    match (tls, ca_file) {
        (Tls::Off, _) => Ok(None),
        (Tls::Prefer, None) => tls::unverified().map(Some),
        (Tls::Prefer | Tls::Required, ca_file) => tls::verified(ca_file).map(Some),
    }
}

/// One server, logged in to.
struct PostgresConnection {
    source: PostgresSource,
    sink: PostgresSink,
    server: Arc<Server>,
}

#[async_trait]
impl Connection for PostgresConnection {
    fn source(&self) -> Option<&dyn Source> {
        Some(&self.source)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        Some(&self.sink)
    }

    async fn probe(&self) -> Result<String> {
        let session = self.server.session().await?;
        let (version, tls) = session.server();
        let version = version.split(' ').next().unwrap_or_default();
        Ok(format!("PostgreSQL {version}, {tls}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_strict() {
        let minimal = serde_json::json!({ "host": "h", "database": "d", "user": "u" });
        let options: Options = serde_json::from_value(minimal).unwrap();
        assert_eq!((options.port, options.tls), (5432, Tls::Prefer));
        let unknown =
            serde_json::json!({ "host": "h", "database": "d", "user": "u", "pasword": 1 });
        assert!(serde_json::from_value::<Options>(unknown).is_err());
    }
}
