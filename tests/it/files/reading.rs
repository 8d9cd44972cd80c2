//! Inference, listings, windows, and files that change.

use super::*;

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
async fn a_quote_that_nothing_closes_is_named_with_its_row() {
    let root = tempfile::tempdir().unwrap();
    let connection = local(root.path()).await;
    let text = json!({ "schema": { "id": "string", "n": "string" } });
    let mut headless = text.clone();
    headless["header"] = false.into();
    for (content, options, place) in [
        ("id,n\n1,a\n2,\"b\n3,c\n4,d\n", &text, ", row: 2"),
        ("\"1\n2\",x\n\n\"3\n4,y\n", &headless, ", row: 2"),
        ("id,n\r\n1,a\r\n2,\"\"\"", &text, ", row: 2"),
        ("id,\"n\n1,a\n", &Value::Null, ""),
    ] {
        put(root.path(), "o.csv", content);
        let one = Read {
            options: options.clone(),
            ..Read::table("o.csv")
        };
        let error = read(&*connection, &one).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{content}");
        let place = format!("opens a quote that nothing closes (file: o.csv{place})");
        assert!(error.to_string().ends_with(&place), "{error}");
    }
    put(
        root.path(),
        "o.csv",
        "id,n\n\"1\"\"\n\",5\" pipe\n2,\"\"\n3,\"a\"\"\"",
    );
    let one = Read {
        options: text,
        ..Read::table("o.csv")
    };
    let rows = read(&*connection, &one).await.unwrap();
    assert_eq!(count(&rows), 3);
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
async fn a_json_type_that_drifts_is_named_with_both_rows() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "t/a.ndjson", "{\"id\":1}\n");
    put(root.path(), "t/b.ndjson", "{}\n{\"id\":\"x\"}\n");
    let connection = local(root.path()).await;
    let error = read(&*connection, &Read::table("t/*.ndjson"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("(file: t/b.ndjson)"), "{error}");
    let help = error.help_text().unwrap();
    assert!(help.contains("row 2 of `t/b.ndjson`"), "{help}");
    assert!(help.contains("row 1 of `t/a.ndjson`"), "{help}");
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
        changes: false,
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
