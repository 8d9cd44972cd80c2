//! The lake on REST catalogs that do what others only may: tokens that run out, keys that are handed out and end, tables
//! that cannot be staged, commits that are refused or whose reply is lost.
//!
//! The server is `tests/services/catalog`, one for each test, told by the test how to behave; its files lie in the store
//! that `tests/run` starts.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is test code: failing is its way of telling"
)]

mod audit;
mod faults;
mod foreign;
mod keys;
mod staging;
mod together;
mod tokens;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use connectors::Secret;
use datafusion::prelude::SessionContext;
use run::lake::{
    CatalogOptions, Lake, LakeTable, RestOptions, S3Options, StageRequest, Staged, Stamp, TableId,
    WarehouseOptions, WriteMode,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::services;

/// What the server takes for its client.
const CREDENTIAL: &str = "engine:client-secret-0815";

/// A catalog of its own for one test; it ends with it.
struct Server {
    process: Child,
    told: BufReader<ChildStdout>,
    uri: String,
    prefix: String,
    s3: services::S3,
    _folder: TempDir,
}

impl Server {
    /// A server that behaves like this; `None` where there is no Python or no store.
    fn start(mut options: Value) -> Option<Self> {
        let (python, s3) = (services::python()?, services::s3()?);
        let folder = TempDir::new().unwrap();
        let prefix = services::fresh_prefix();
        options["folder"] = json!(folder.path());
        options["warehouse"] = json!(format!("s3://{}/{prefix}", s3.bucket));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("services/catalog/catalog.py");
        let mut process = Command::new(python)
            .arg("-B")
            .arg(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(process.stdout.take().unwrap());
        let mut uri = String::new();
        told.read_line(&mut uri).unwrap();
        assert!(
            uri.starts_with("http://"),
            "the catalog did not start: {uri}"
        );
        Some(Self {
            process,
            told,
            uri: uri.trim().to_owned(),
            prefix,
            s3,
            _folder: folder,
        })
    }

    fn tell(&mut self, line: &Value) -> Value {
        let stdin = self.process.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.told.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// What the server saw so far.
    fn seen(&mut self, what: &str) -> u64 {
        self.tell(&json!("report"))[what].as_u64().unwrap()
    }

    fn options(&self) -> RestOptions {
        RestOptions {
            uri: self.uri.clone(),
            warehouse: None,
            credential: Some(Secret::new(CREDENTIAL.to_owned())),
            token: None,
            scope: None,
            vended: false,
        }
    }

    /// A lake whose project has the keys to the files.
    fn lake(&self) -> Lake {
        self.lake_with(self.options())
    }

    fn lake_with(&self, options: RestOptions) -> Lake {
        let warehouse = S3Options {
            bucket: self.s3.bucket.clone(),
            prefix: self.prefix.clone(),
            endpoint: Some(self.s3.endpoint.clone()),
            access_key: Some(Secret::new(self.s3.access_key.clone())),
            secret_key: Some(Secret::new(self.s3.secret_key.clone())),
            path_style: true,
            allow_http: true,
            ..S3Options::default()
        };
        Lake::open(
            CatalogOptions::Rest(options),
            WarehouseOptions::S3(warehouse),
        )
        .unwrap()
    }

    /// A lake whose project has no keys, and does not even know where the store is.
    fn lake_without_keys(&self) -> Lake {
        let options = RestOptions {
            vended: true,
            ..self.options()
        };
        let warehouse = S3Options {
            bucket: self.s3.bucket.clone(),
            allow_http: true,
            ..S3Options::default()
        };
        Lake::open(
            CatalogOptions::Rest(options),
            WarehouseOptions::S3(warehouse),
        )
        .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn id() -> TableId {
    TableId::new("d", "t")
}

async fn stage(lake: &Lake, rows: &RecordBatch) -> Staged {
    stage_into(lake, id(), rows).await
}

async fn stage_into(lake: &Lake, table: TableId, rows: &RecordBatch) -> Staged {
    let request = StageRequest::new(table, WriteMode::Append, rows.schema());
    let stage = lake.stage(request).await.unwrap();
    let mut writer = stage.writer().unwrap();
    writer.write(rows).await.unwrap();
    let written = writer.finish().await.unwrap();
    stage.staged(vec![written])
}

async fn append(lake: &Lake, run: &str, rows: &RecordBatch) {
    let staged = stage(lake, rows).await;
    let committed = staged.commit(&stamp(run)).await.unwrap();
    assert!(!committed.already, "{run}");
}

fn stamp(run: &str) -> Stamp {
    Stamp {
        run: run.to_owned(),
        pipeline: "d/p".to_owned(),
        fingerprint: "f00d".to_owned(),
        watermarks: BTreeMap::new(),
        now_ms: 1_750_000_000_000,
        fence: None,
    }
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let names: StringArray = range.clone().map(|id| Some(format!("n{id}"))).collect();
    let ids: Int64Array = range.map(Some).collect();
    let columns = [("id", Arc::new(ids) as ArrayRef), ("name", Arc::new(names))];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn table(lake: &Lake) -> LakeTable {
    lake.table(&id()).await.unwrap().unwrap()
}

/// The ids in a table, in order.
async fn ids_of(table: &LakeTable) -> Vec<i64> {
    let session = SessionContext::new();
    session.register_table("t", table.provider()).unwrap();
    let rows = session.sql("SELECT id FROM t ORDER BY id").await.unwrap();
    let mut found = Vec::new();
    for batch in rows.collect().await.unwrap() {
        let ids = batch.column(0).as_any().downcast_ref::<Int64Array>();
        found.extend_from_slice(ids.unwrap().values());
    }
    found
}

async fn ids(lake: &Lake) -> Vec<i64> {
    ids_of(&table(lake).await).await
}

fn all(range: std::ops::Range<i64>) -> Vec<i64> {
    range.collect()
}
