//! SQL Server, on the test server or on a real one: every type that is read, reads of one moment, windows, access.
//!
//! Knows the connector by its contract only. Without PostgreSQL, which answers for the test server, each test says that it
//! was skipped. `LAKEWRIGHT_TEST_SQL_SERVER` names a real server to be tested against.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "this is test code: failing is its way of telling, and a test tells one story"
)]

mod access;
mod conforms;
mod moment;
mod pipeline;
mod types;

use std::path::Path;

use arrow::array::RecordBatch;
use connectors::{
    Connection, Error, ErrorKind, Opening, Read, Secret, SecretRef, Secrets, registry,
};
use futures::TryStreamExt as _;
use mssql_tds::connection::client_context::ClientContext;
use mssql_tds::connection::tds_client::TdsClient;
use mssql_tds::connection_provider::tds_connection_provider::TdsConnectionProvider;
use mssql_tds::core::EncryptionSetting;
use serde_json::{Value, json};
use sql_server_testserver::{Options, Server};

use crate::services;

/// The database of every test.
const DATABASE: &str = "shop";

/// The one secret there is.
struct Password(String);

impl Secrets for Password {
    fn resolve(&self, _: &SecretRef) -> Result<Secret, Error> {
        Ok(Secret::new(self.0.clone()))
    }
}

/// Where a server is, and who may use it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl Address {
    fn read(url: &str) -> Self {
        let parts = || {
            let (user, host) = url.strip_prefix("sqlserver://")?.rsplit_once('@')?;
            let ((user, password), (host, port)) = (user.split_once(':')?, host.split_once(':')?);
            Some((user, password, host, port.trim_end_matches('/')))
        };
        let (user, password, host, port) =
            parts().expect("LAKEWRIGHT_TEST_SQL_SERVER is sqlserver://USER:PASSWORD@HOST:PORT");
        Self {
            host: host.to_owned(),
            port: port.parse().expect("a port"),
            user: user.to_owned(),
            password: password.to_owned(),
            database: "master".to_owned(),
        }
    }

    /// The options of a connection, and these.
    fn options(&self, more: &Value) -> Value {
        let mut options = json!({
            "host": self.host, "port": self.port, "database": self.database, "user": self.user,
            "password": { "env": "PASSWORD" }, "trust_server_certificate": true,
        });
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        options
    }

    /// Opens a connection of at most so many sessions.
    async fn open(&self, sessions: usize, more: Value) -> Result<Box<dyn Connection>, Error> {
        let opening = Opening {
            root: Path::new("."),
            secrets: &Password(self.password.clone()),
            sessions,
        };
        let connector = registry::find("sql_server").unwrap();
        connector.open(self.options(&more), opening).await
    }

    /// A session for whatever a test has to say in T-SQL.
    pub(crate) async fn session(&self) -> Sql {
        let server = format!("tcp:{},{}", self.host, self.port);
        let mut context = ClientContext::with_data_source(&server);
        context.user_name.clone_from(&self.user);
        context.password.clone_from(&self.password);
        context.database.clone_from(&self.database);
        context.packet_size = 16_384;
        context.encryption_options.mode = EncryptionSetting::PreferOff;
        context.encryption_options.trust_server_certificate = true;
        let provider = TdsConnectionProvider::new();
        let client = provider.create_client(context, &server, None);
        Sql(Box::new(Box::pin(client).await.unwrap()))
    }
}

/// A session that says what a test wants.
pub(crate) struct Sql(Box<TdsClient>);

impl Sql {
    pub(crate) async fn run(&mut self, sql: &str) {
        let executed = Box::pin(self.0.execute(sql.to_owned(), ())).await;
        executed.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        Box::pin(self.0.close_query()).await.unwrap();
    }

    /// Fills a table with a row for each of these numbers.
    pub(crate) async fn fill(
        &mut self,
        table: &str,
        numbers: std::ops::RangeInclusive<i64>,
        row: impl Fn(i64) -> String,
    ) {
        let rows: Vec<_> = numbers.map(|number| format!("({})", row(number))).collect();
        // The most that one statement may list.
        for rows in rows.chunks(1000) {
            self.run(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")))
                .await;
        }
    }
}

/// A server with a database of its own.
pub(crate) struct Bench {
    pub(crate) server: Option<Server>,
    pub(crate) address: Address,
    pub(crate) sql: Sql,
}

impl Bench {
    /// `None` where there is no server. The database lets its readers have snapshots.
    pub(crate) async fn new(setup: &[&str]) -> Option<Self> {
        Self::with(|_| {}, setup).await
    }

    /// A server that is as `change` makes it; a real one is as it is.
    pub(crate) async fn with(change: impl FnOnce(&mut Options), setup: &[&str]) -> Option<Self> {
        let (server, mut address) = if let Some(url) = services::sql_server() {
            (None, Address::read(&url))
        } else {
            let mut options = Options::new(services::postgres()?);
            change(&mut options);
            let server = Server::start_apart(options).await.unwrap();
            let address = Address {
                host: "127.0.0.1".to_owned(),
                port: server.address().port(),
                user: "sa".to_owned(),
                password: "Lakewright-1".to_owned(),
                database: DATABASE.to_owned(),
            };
            (Some(server), address)
        };
        if server.is_none() {
            let name = format!("lakewright_test_{}", services::random());
            let mut master = address.session().await;
            master.run(&format!("CREATE DATABASE {name}")).await;
            address.database = name;
        }
        let mut sql = address.session().await;
        sql.run(&format!(
            "ALTER DATABASE {} SET ALLOW_SNAPSHOT_ISOLATION ON",
            address.database
        ))
        .await;
        for statement in setup {
            sql.run(statement).await;
        }
        Some(Self {
            server,
            address,
            sql,
        })
    }

    /// Says a statement in which `{db}` is the database.
    async fn of_database(&mut self, sql: &str) {
        let sql = sql.replace("{db}", &self.address.database);
        self.sql.run(&sql).await;
    }

    /// Ends the server, and drops the database.
    pub(crate) async fn stop(self) {
        drop(self.sql);
        if let Some(server) = self.server {
            server.stop().await.unwrap();
        } else {
            let master = Address {
                database: "master".to_owned(),
                ..self.address.clone()
            };
            let drop = format!(
                "ALTER DATABASE {0} SET SINGLE_USER WITH ROLLBACK IMMEDIATE; DROP DATABASE {0}",
                self.address.database
            );
            master.session().await.run(&drop).await;
        }
    }
}

/// All rows of a read, split by split.
async fn rows(connection: &dyn Connection, read: &Read) -> Result<Vec<RecordBatch>, Error> {
    let scan = connection.source().unwrap().scan(read).await?;
    let mut batches = Vec::new();
    for split in scan.splits() {
        let read: Vec<_> = scan.read(split).await?.try_collect().await?;
        assert!(read.iter().all(|batch| batch.schema() == scan.schema()));
        batches.extend(read);
    }
    Ok(batches)
}

async fn fails(connection: &dyn Connection, read: &Read) -> Error {
    let read = rows(connection, read).await;
    read.map(|batches| batches.len()).unwrap_err()
}
