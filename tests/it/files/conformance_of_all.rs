//! Every connector of this kind passes the one suite, and so does every wrapper around it.

use super::*;

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
            remembers: true,
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
