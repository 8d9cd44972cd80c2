//! A PostgreSQL database for one test, and how a project connects to it.
//!
//! Knows the server that `tests/run` starts. Does not know what any test keeps in it; it goes with the server.

#![allow(
    clippy::unwrap_used,
    reason = "this is test code: failing is its way of telling"
)]

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::runtime::{Builder, Runtime};

use crate::scene::Scene;
use crate::services;

/// A database that no other test uses.
pub(crate) struct Database {
    sql: PgConnection,
    runtime: Runtime,
    address: Address,
}

/// Where the database is.
struct Address {
    user: String,
    password: String,
    host: String,
    port: String,
    name: String,
}

impl Address {
    /// Of the server, with a name of its own: `postgres://user:password@host:port/…`.
    fn fresh(server: &str) -> Self {
        let (_, rest) = server.split_once("://").unwrap();
        let (login, place) = rest.rsplit_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        let (place, _) = place.split_once('/').unwrap();
        let (host, port) = place.split_once(':').unwrap();
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            host: host.to_owned(),
            port: port.to_owned(),
            name: services::fresh_schema(),
        }
    }

    fn url(&self) -> String {
        let Self {
            user,
            password,
            host,
            port,
            name,
        } = self;
        format!("postgres://{user}:{password}@{host}:{port}/{name}")
    }
}

impl Database {
    /// A new database after these statements; `None` where there is no server.
    pub(crate) fn new(setup: &str) -> Option<Self> {
        let server = services::postgres()?;
        let address = Address::fresh(&server);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let sql = runtime.block_on(async {
            let mut server = PgConnection::connect(&server).await.unwrap();
            let create = format!("CREATE DATABASE {}", address.name);
            server.execute(create.as_str()).await.unwrap();
            PgConnection::connect(&address.url()).await.unwrap()
        });
        let mut database = Self {
            sql,
            runtime,
            address,
        };
        database.execute(setup);
        Some(database)
    }

    /// The URL, with the password in it.
    pub(crate) fn url(&self) -> String {
        self.address.url()
    }

    pub(crate) fn execute(&mut self, statements: &str) {
        self.runtime
            .block_on(self.sql.execute(statements))
            .unwrap_or_else(|error| panic!("{error}\n{statements}"));
    }

    /// The rows of a query as CSV, as [`Scene::query`] prints them: text without quotes, NULL as nothing.
    pub(crate) fn query(&mut self, sql: &str) -> Vec<String> {
        let as_text = format!(
            "SELECT concat_ws(',', VARIADIC array(SELECT coalesce(value, '') FROM json_each_text(row_to_json(r)))) FROM ({sql}) AS r"
        );
        let rows = self.runtime.block_on(self.sql.fetch_all(as_text.as_str()));
        let rows = rows.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Writes the connection `name` into a project.
    pub(crate) fn connect(&self, scene: &Scene, name: &str) {
        let options = self.options(scene, name);
        let spec = format!("kind: Connection\nname: {name}\nconnector: postgres\n{options}\n");
        scene.write(&format!("connections/{name}.yaml"), &spec);
    }

    /// The line of a connection's spec that says where this is; the password is in a file of the project.
    pub(crate) fn options(&self, scene: &Scene, name: &str) -> String {
        let Address {
            user,
            password,
            host,
            port,
            name: database,
        } = &self.address;
        scene.write(&format!("secrets/{name}"), password);
        format!(
            "options: {{ host: {host}, port: {port}, database: {database}, user: {user}, \
             password: {{ file: secrets/{name} }} }}"
        )
    }
}
