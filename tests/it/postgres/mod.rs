//! PostgreSQL, on a real server: every type that is read, snapshots that hold, windows, and writes that happen once.
//!
//! Knows the connector by its contract only. Without a server each test says that it was skipped.

#![allow(
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "this is test code: failing is its way of telling, and a test tells one story"
)]

mod access;
mod conforms;
mod limits;
mod mart;
mod reading;
mod writing;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use connectors::{
    Comparison, Connection, Error, ErrorKind, Fence, From, Literal, Nulls, Opening, Predicate,
    Read, Secret, SecretRef, Secrets, SplitBy, Watermark, Window, Write, WriteMode, registry,
};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::services;

/// The one secret there is.
struct Password(String);

impl Secrets for Password {
    fn resolve(&self, _: &SecretRef) -> Result<Secret, Error> {
        Ok(Secret::new(self.0.clone()))
    }
}

/// A schema of its own on the server, and a connection to it.
struct Bench {
    sql: PgConnection,
    connection: Box<dyn Connection>,
    schema: &'static str,
}

impl Bench {
    /// `None` where there is no server.
    async fn new(schema: &'static str, setup: &str) -> Option<Self> {
        let url = services::postgres()?;
        let mut sql = PgConnection::connect(&url).await.unwrap();
        let fresh = format!(
            "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET search_path = {schema};"
        );
        sql.execute(format!("{fresh} {setup}").as_str())
            .await
            .unwrap();
        let connection = open(&url, json!({})).await.unwrap();
        Some(Self {
            sql,
            connection,
            schema,
        })
    }

    fn table(&self, name: &str) -> Read {
        Read::table(format!("{}.{name}", self.schema))
    }

    async fn rows(&self, read: &Read) -> Result<Vec<RecordBatch>, Error> {
        let scan = self.connection.source().unwrap().scan(read).await?;
        let mut batches = Vec::new();
        for split in scan.splits() {
            let read: Vec<_> = scan.read(split).await?.try_collect().await?;
            assert!(read.iter().all(|batch| batch.schema() == scan.schema()));
            batches.extend(read);
        }
        Ok(batches)
    }

    async fn fails(&self, read: &Read) -> Error {
        self.rows(read).await.unwrap_err()
    }

    async fn highest(&self, read: &Read) -> Result<Option<Watermark>, Error> {
        self.connection.source().unwrap().highest(read).await
    }

    async fn write(&self, write: &Write, batch: &RecordBatch) -> Result<(), Error> {
        let sink = self.connection.sink().unwrap();
        let mut stage = sink.stage(write, batch.schema()).await?;
        stage.write(batch).await?;
        stage.finish().await?.commit().await.map(drop)
    }

    async fn text(&mut self, query: &str) -> Vec<String> {
        sqlx::query_scalar(query)
            .fetch_all(&mut self.sql)
            .await
            .unwrap()
    }
}

/// Opens a connection to `postgres://user:password@host:port/database`, with further options.
async fn open(url: &str, more: Value) -> Result<Box<dyn Connection>, Error> {
    let (login, place) = url.split_once("://").unwrap().1.rsplit_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (server, database) = place.split_once('/').unwrap();
    let (host, port) = server.split_once(':').unwrap_or((server, "5432"));
    let mut options = json!({
        "host": host, "port": port.parse::<u16>().unwrap(), "database": database.split('?').next(),
        "user": user, "password": { "env": "PASSWORD" },
    });
    options
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let secrets = Password(password.to_owned());
    let opening = Opening {
        root: Path::new("."),
        secrets: &secrets,
        sessions: 4,
    };
    registry::find("postgres")
        .unwrap()
        .open(options, opening)
        .await
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    for batch in batches {
        writer.write(&with_offsets(batch)).unwrap();
    }
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

/// The same moments under an offset: names of zones are not known to the writer.
fn with_offsets(batch: &RecordBatch) -> RecordBatch {
    let columns = batch
        .schema_ref()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            let column = match column.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(times) if times.timezone().is_some() => {
                    Arc::new(times.clone().with_timezone("+00:00")) as ArrayRef
                }
                _ => Arc::clone(column),
            };
            (field.name().clone(), column, true)
        });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn ids(batches: &[RecordBatch]) -> Vec<i32> {
    batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int32Type>()
                .values()
                .to_vec()
        })
        .collect()
}

fn window(after: Option<Literal>, until: Option<Literal>, inclusive: bool, nulls: Nulls) -> Window {
    Window {
        changes: false,
        column: Some("at".to_owned()),
        after: after.map(Watermark::Value),
        until: until.map(Watermark::Value),
        inclusive,
        nulls,
    }
}
