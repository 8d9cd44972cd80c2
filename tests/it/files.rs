//! Files: the conformance suite over memory, a folder and a bucket, and what is special about files.
//!
//! Knows the connectors by their contract only. Without a store the tests of buckets say that they were skipped.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is test code: failing is its way of telling"
)]

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
        table: table.to_owned(),
        mode,
        run: run.to_owned(),
        options: options.clone(),
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
    stage.finish().await?.commit().await
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

const WAYS: &[&str] = &[
    r#"{ "format": "parquet" }"#,
    r#"{ "format": "csv" }"#,
    r#"{ "format": "csv", "compression": "gzip" }"#,
    r#"{ "format": "ndjson" }"#,
    r#"{ "format": "ndjson", "compression": "zstd" }"#,
];

#[tokio::test]
async fn a_folder_conforms() {
    let root = tempfile::tempdir().unwrap();
    let connection = local(root.path()).await;
    for (index, way) in WAYS.iter().enumerate() {
        let options = serde_json::from_str(way).unwrap();
        source_conforms(&*connection, &format!("way-{index}"), &options)
            .await
            .unwrap();
    }
    sinks_conform(&*connection, "sinks").await.unwrap();
}

#[tokio::test]
async fn a_bucket_conforms() {
    let Some(s3) = services::s3() else { return };
    let root = tempfile::tempdir().unwrap();
    let prefix = services::fresh_prefix();
    let options = json!({
        "endpoint": s3.endpoint, "bucket": s3.bucket, "prefix": prefix,
        "access_key": { "env": s3.access_key }, "secret_key": { "env": s3.secret_key },
    });
    let connection = open("minio", options, root.path()).await.unwrap();
    for (index, way) in WAYS.iter().enumerate() {
        let options = serde_json::from_str(way).unwrap();
        source_conforms(&*connection, &format!("way-{index}"), &options)
            .await
            .unwrap();
    }
    sinks_conform(&*connection, "sinks").await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_refused_by_the_bucket() {
    let Some(s3) = services::s3() else { return };
    let options = json!({
        "endpoint": s3.endpoint, "bucket": s3.bucket,
        "access_key": { "env": s3.access_key }, "secret_key": { "env": "wrong" },
    });
    let connection = open("minio", options, Path::new("/")).await.unwrap();
    assert_eq!(
        connection.probe().await.unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
}

#[tokio::test]
async fn memory_conforms_and_so_does_every_wrapper() {
    for wrapped in 0..5 {
        let connection = memory().await;
        let connection = match wrapped {
            1 => wrap::timeout(connection, Duration::from_mins(1)),
            2 => wrap::limit(connection, 2),
            3 => wrap::trace(connection, "memory"),
            4 => wrap::fault(connection, Script::default()),
            _ => connection,
        };
        let case = SourceCase {
            window: Some(window()),
            unknown: "nothing".to_owned(),
            ..case(Read::table("orders"))
        };
        conformance::source(&*connection, &case).await.unwrap();
        memory_sinks_conform(&*connection).await.unwrap();
    }
}

async fn memory() -> Box<dyn Connection> {
    let rows = json!([[1, "a"], [2, null], [3, "b, \"c\""], [4, "d\ne"]]);
    let options = json!({ "tables": { "orders": { "columns": { "id": "long", "note": "string" }, "rows": rows } } });
    open("memory", options, Path::new("/")).await.unwrap()
}

/// Notes in order: `a`, `b, "c"`, `d\ne`.
fn window() -> WindowCase {
    let text = |text: &str| Watermark::Value(Literal::Text(text.to_owned()));
    WindowCase {
        column: "note".to_owned(),
        after: text("a"),
        until: text("b, \"c\""),
        highest: text("d\ne"),
        between: all().slice(2, 1),
        equal: all().slice(0, 1),
        nulls: all().slice(1, 1),
    }
}

async fn memory_sinks_conform(connection: &dyn Connection) -> Result<(), Error> {
    let (first, second) = (
        orders(&[1, 2], &[Some("a"), None]),
        orders(&[2, 3], &[Some("b"), Some("c")]),
    );
    let modes = [
        (
            WriteMode::Append,
            orders(&[1, 2, 2, 3], &[Some("a"), None, Some("b"), Some("c")]),
        ),
        (WriteMode::Replace, second.clone()),
        (
            WriteMode::Merge {
                key: vec!["id".to_owned()],
            },
            orders(&[1, 2, 3], &[Some("a"), Some("b"), Some("c")]),
        ),
    ];
    for (index, (mode, both)) in modes.into_iter().enumerate() {
        let case = SinkCase {
            table: format!("t{index}"),
            mode,
            options: Value::Null,
            first: first.clone(),
            second: second.clone(),
            both,
        };
        conformance::sink(connection, &case).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_has_happened() {
    let lost = Fault {
        at: Point::Commit,
        call: Some(1),
        action: Action::LostReply,
    };
    let connection = wrap::fault(memory().await, Script::new([lost]));
    let write = write("new", WriteMode::Append, "run-1", &Value::Null);
    let error = stage(&*connection, &write, &all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    assert!(connection.sink().unwrap().committed(&write).await.unwrap());
}

#[tokio::test]
async fn a_slow_batch_is_a_timeout() {
    let slow = Fault {
        at: Point::Batch,
        call: None,
        action: Action::Delay(Duration::from_mins(1)),
    };
    let slow = wrap::fault(memory().await, Script::new([slow]));
    let connection = wrap::timeout(slow, Duration::from_millis(20));
    let error = read(&*connection, &Read::table("orders"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_read_beyond_the_limit_waits_for_one_to_end() {
    let connection = wrap::limit(memory().await, 1);
    let scan = connection
        .source()
        .unwrap()
        .scan(&Read::table("orders"))
        .await
        .unwrap();
    let split = &scan.splits()[0];
    let first = scan.read(split).await.unwrap();
    let second = tokio::time::timeout(Duration::from_millis(20), scan.read(split)).await;
    assert!(second.is_err(), "the one seat is taken");
    drop(first);
    assert!(scan.read(split).await.is_ok());
}

#[tokio::test]
async fn types_are_inferred_with_their_reasons() {
    let root = tempfile::tempdir().unwrap();
    put(
        root.path(),
        "o/1.csv",
        "id,price,day,zip\n1,10,2024-01-01,007\n2,12.5,2024-01-02,010\n",
    );
    put(root.path(), "o/2.csv", "zip,id,price\n1,3,9\n");
    let connection = local(root.path()).await;
    let scan = connection
        .source()
        .unwrap()
        .scan(&Read::table("o/*.csv"))
        .await
        .unwrap();
    let types: Vec<_> = scan
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    assert_eq!(
        types,
        [
            DataType::Int64,
            DataType::Float64,
            DataType::Date32,
            DataType::Utf8
        ]
    );
    let description = scan.describe();
    assert!(
        description.contains("price: double, because row 2 of `o/1.csv` has `12.5`"),
        "{description}"
    );
    let batches = read(&*connection, &Read::table("o/*.csv")).await.unwrap();
    let second = batches.last().unwrap();
    assert_eq!(second.column(0).as_primitive::<Int64Type>().value(0), 3);
    assert!(second.column(2).is_null(0), "the second file has no `day`");
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_named_with_file_and_row() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "o.csv", "id\n1\nx\n");
    let connection = local(root.path()).await;
    let read_as = |options| Read {
        options,
        ..Read::table("o.csv")
    };
    let error = read(
        &*connection,
        &read_as(json!({ "schema": { "id": "long" } })),
    )
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the column `id` has a value that is no long (file: o.csv, row: 2)"
    );
    put(root.path(), "o.csv", "id,n\n1,2\n1,2,3\n");
    let error = read(&*connection, &read_as(Value::Null)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(format!("{error:?}").contains("o.csv"), "{error:?}");
}

#[tokio::test]
async fn a_large_parquet_file_is_cut_by_row_groups() {
    let root = tempfile::tempdir().unwrap();
    let connection = local(root.path()).await;
    let ids: Vec<i64> = (0..2_500_000).collect();
    let rows =
        RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(ids)) as ArrayRef)]).unwrap();
    stage(
        &*connection,
        &write("big.parquet", WriteMode::Replace, "run", &Value::Null),
        &rows,
    )
    .await
    .unwrap();
    let mut large = Read::table("big.parquet");
    large.splits.target_rows = Some(1_000_000);
    let scan = connection.source().unwrap().scan(&large).await.unwrap();
    let known: Option<u64> = scan.splits().iter().map(|split| split.rows).sum();
    assert_eq!((scan.splits().len() > 1, known), (true, Some(2_500_000)));
    let batches = read(&*connection, &large).await.unwrap();
    let sum: i64 = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values())
        .sum();
    assert_eq!(sum, 2_500_000 * 2_499_999 / 2);
}

#[tokio::test]
async fn a_column_of_another_type_in_one_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let connection = local(root.path()).await;
    let texts =
        RecordBatch::try_from_iter([("id", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)])
            .unwrap();
    stage(
        &*connection,
        &write("t/a.parquet", WriteMode::Replace, "run", &Value::Null),
        &all(),
    )
    .await
    .unwrap();
    stage(
        &*connection,
        &write("t/b.parquet", WriteMode::Replace, "run", &Value::Null),
        &texts,
    )
    .await
    .unwrap();
    let error = read(&*connection, &Read::table("t/*.parquet"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let said = "the column `id` is string in this file and long in others (file: t/b.parquet)";
    assert_eq!(error.to_string(), said);
}

#[tokio::test]
async fn folders_can_be_columns() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "t/year=2023/a.csv", "id\n1\n");
    put(root.path(), "t/year=2024/b.csv", "id\n2\n");
    let connection = local(root.path()).await;
    let all = Read {
        options: json!({ "hive_partitions": true }),
        ..Read::table("t/**/*.csv")
    };
    let batches = read(&*connection, &all).await.unwrap();
    let years: Vec<i32> = batches
        .iter()
        .map(|batch| batch.column(1).as_primitive::<Int32Type>().value(0))
        .collect();
    assert_eq!(years, [2023, 2024]);
    let only = Read {
        columns: Some(vec!["year".to_owned()]),
        ..all
    };
    assert_eq!(read(&*connection, &only).await.unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_there_says_what_is_near() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "orders/2024.csv", "id\n1\n");
    let connection = local(root.path()).await;
    let error = read(&*connection, &Read::table("orders/*.parquet"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.message(),
        "no file matches `orders/*.parquet` in folder `data`"
    );
    assert_eq!(error.help_text(), Some("in `orders` there are `2024.csv`"));
}

fn files(after: Option<Watermark>, until: Option<Watermark>) -> Read {
    let window = Window {
        column: None,
        after,
        inclusive: false,
        until,
        nulls: Nulls::Fail,
    };
    Read {
        window: Some(window),
        ..Read::table("in/*.csv")
    }
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn only_new_and_changed_files_are_read() {
    let root = tempfile::tempdir().unwrap();
    let connection = local(root.path()).await;
    let source = connection.source().unwrap();
    assert_eq!(source.highest(&files(None, None)).await.unwrap(), None);

    put(root.path(), "in/1.csv", "id\n1\n");
    let first = source.highest(&files(None, None)).await.unwrap();
    assert_eq!(
        count(
            &read(&*connection, &files(None, first.clone()))
                .await
                .unwrap()
        ),
        1
    );

    put(root.path(), "in/2.csv", "id\n2\n3\n");
    let second = source.highest(&files(first.clone(), None)).await.unwrap();
    put(root.path(), "in/3.csv", "id\n4\n");
    let new = read(&*connection, &files(first.clone(), second.clone()))
        .await
        .unwrap();
    assert_eq!(
        count(&new),
        2,
        "the file after `until` waits for the next run"
    );
    let none = read(&*connection, &files(second.clone(), second.clone()))
        .await
        .unwrap();
    assert_eq!(count(&none), 0);

    put(root.path(), "in/2.csv", "id\n2\n3\n44\n");
    let error = read(&*connection, &files(first.clone(), second.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.message().contains("`in/2.csv`")),
        (ErrorKind::Conflict, true)
    );
    std::fs::remove_file(root.path().join("data/in/2.csv")).unwrap();
    let error = read(&*connection, &files(first, second)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message().contains("`in/2.csv`")),
        (ErrorKind::Conflict, true)
    );
}

#[tokio::test]
async fn a_file_that_changes_after_the_scan_opened_is_a_conflict() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "o.csv", "id\n1\n");
    let connection = local(root.path()).await;
    let scan = connection
        .source()
        .unwrap()
        .scan(&Read::table("o.csv"))
        .await
        .unwrap();
    put(root.path(), "o.csv", "id\n1\n2\n");
    let error = match scan.read(&scan.splits()[0]).await {
        Ok(rows) => rows.try_collect::<Vec<_>>().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.message(),
        "the file `o.csv` changed while it was read"
    );
}

#[tokio::test]
async fn a_query_and_an_unencrypted_endpoint_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let connection = local(root.path()).await;
    let query = Read {
        from: From::Query("select 1".to_owned()),
        ..Read::table("")
    };
    assert_eq!(
        read(&*connection, &query).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    let options = json!({ "endpoint": "http://minio:9000", "bucket": "lake", "anonymous": true });
    let error = open("minio", options, root.path()).await.err().unwrap();
    assert!(error.help_text().unwrap().contains("allow_http"));
}
