//! Files: the conformance suite over memory, a folder and a bucket, and what is special about files.
//!
//! Knows the connectors by their contract only. Without a store the tests of buckets say that they were skipped.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is test code: failing is its way of telling"
)]

mod conformance_of_all;
mod reading;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use connectors::conformance::{self, SinkCase, SourceCase, WindowCase};
use connectors::wrap::{self, Action, Fault, Point, Script};
use connectors::{
    Comparison, Connection, Error, ErrorKind, From, Literal, Nulls, Opening, Predicate, Read,
    Secret, SecretRef, Secrets, Watermark, Window, Write, WriteMode, registry,
};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use crate::services;

/// Secrets that are their own names.
struct Named;

impl Secrets for Named {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, Error> {
        match reference {
            SecretRef::Env(name) => Ok(Secret::new(name.clone())),
            SecretRef::File(path) => Err(Error::new(
                ErrorKind::NotFound,
                format!("no file `{}`", path.display()),
            )),
        }
    }
}

async fn open(kind: &str, options: Value, root: &Path) -> Result<Box<dyn Connection>, Error> {
    let opening = Opening {
        root,
        secrets: &Named,
        sessions: 4,
    };
    registry::find(kind).unwrap().open(options, opening).await
}

async fn local(root: &Path) -> Box<dyn Connection> {
    open("local", json!({ "path": "data" }), root)
        .await
        .unwrap()
}

fn put(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join("data").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

async fn read(connection: &dyn Connection, read: &Read) -> Result<Vec<RecordBatch>, Error> {
    let scan = connection.source().unwrap().scan(read).await?;
    let mut batches = Vec::new();
    for split in scan.splits() {
        batches.extend(scan.read(split).await?.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}

fn orders(ids: &[i64], notes: &[Option<&str>]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let notes: ArrayRef = Arc::new(StringArray::from(notes.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("note", notes, true)]).unwrap()
}

fn all() -> RecordBatch {
    orders(
        &[1, 2, 3, 4],
        &[Some("a"), None, Some("b, \"c\""), Some("d\ne")],
    )
}

fn case(read: Read) -> SourceCase {
    let predicate = Predicate::Compare {
        column: "id".to_owned(),
        op: Comparison::GreaterOrEqual,
        value: Literal::Int(3),
    };
    SourceCase {
        read,
        rows: all(),
        predicate: Some((predicate, all().slice(2, 2))),
        window: None,
        unknown: "no/such/thing.csv".to_owned(),
    }
}

/// Writes all rows in two files of this format, and puts the suite on reading them.
async fn source_conforms(
    connection: &dyn Connection,
    folder: &str,
    options: &Value,
) -> Result<(), Error> {
    let table = format!("{folder}/orders");
    for (run, from) in [("one", 0), ("two", 2)] {
        let write = write(&table, WriteMode::Append, run, options);
        let rows = all().slice(from, 2);
        stage(connection, &write, &rows).await?;
    }
    conformance::source(connection, &case(Read::table(table))).await
}

fn write(table: &str, mode: WriteMode, run: &str, options: &Value) -> Write {
    Write {
        options: options.clone(),
        ..Write::new(table, mode, run)
    }
}

async fn stage(
    connection: &dyn Connection,
    write: &Write,
    rows: &RecordBatch,
) -> Result<(), Error> {
    let mut stage = connection
        .sink()
        .unwrap()
        .stage(write, rows.schema())
        .await?;
    stage.write(rows).await?;
    stage.finish().await?.commit().await.map(drop)
}

async fn sinks_conform(connection: &dyn Connection, folder: &str) -> Result<(), Error> {
    let (first, second) = (
        orders(&[1, 2], &[Some("a"), None]),
        orders(&[2, 3], &[Some("b"), Some("c")]),
    );
    let both = orders(&[1, 2, 2, 3], &[Some("a"), None, Some("b"), Some("c")]);
    for format in ["parquet", "csv", "ndjson"] {
        let options = json!({ "format": format });
        let case = SinkCase {
            table: format!("{folder}/appended-{format}"),
            mode: WriteMode::Append,
            options: options.clone(),
            first: first.clone(),
            second: second.clone(),
            both: both.clone(),
            remembers: false,
        };
        conformance::sink(connection, &case).await?;
        let case = SinkCase {
            table: format!("{folder}/replaced.{format}"),
            mode: WriteMode::Replace,
            both: second.clone(),
            ..case
        };
        conformance::sink(connection, &case).await?;
    }
    Ok(())
}
