//! What is written: each mode, once a run.

use super::reading::TYPES;
use super::*;

fn orders(rows: &[(i32, &str)]) -> RecordBatch {
    let (ids, names): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int32Array::from(ids))),
        ("name", Arc::new(StringArray::from(names))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn load(table: &str, mode: WriteMode, run: &str) -> Write {
    Write::new(table, mode, run)
}

#[tokio::test]
async fn each_mode_writes_once_a_run() {
    let Some(mut bench) = Bench::new("it_pg_write", "").await else {
        return;
    };
    let merge = || WriteMode::Merge {
        key: vec!["id".to_owned()],
    };
    let content = "SELECT id || name FROM orders ORDER BY id, name";
    let table = "it_pg_write.orders";

    let first = load(table, WriteMode::Append, "r1");
    assert!(
        !bench
            .connection
            .sink()
            .unwrap()
            .committed(&first)
            .await
            .unwrap()
    );
    assert_eq!(
        bench.connection.sink().unwrap().table(table).await.unwrap(),
        None
    );
    for _ in 0..2 {
        bench
            .write(&first, &orders(&[(1, "a"), (2, "b")]))
            .await
            .unwrap();
        assert_eq!(bench.text(content).await, ["1a", "2b"]);
    }
    assert!(
        bench
            .connection
            .sink()
            .unwrap()
            .committed(&first)
            .await
            .unwrap()
    );
    bench
        .write(&load(table, merge(), "r2"), &orders(&[(2, "B"), (3, "c")]))
        .await
        .unwrap();
    assert_eq!(bench.text(content).await, ["1a", "2B", "3c"]);
    bench
        .sql
        .execute("ALTER TABLE orders ADD PRIMARY KEY (id), ADD COLUMN note text DEFAULT 'n'")
        .await
        .unwrap();
    bench
        .write(&load(table, merge(), "r3"), &orders(&[(3, "C"), (4, "d")]))
        .await
        .unwrap();
    assert_eq!(bench.text(content).await, ["1a", "2B", "3C", "4d"]);
    bench
        .write(&load(table, WriteMode::Replace, "r4"), &orders(&[(9, "z")]))
        .await
        .unwrap();
    assert_eq!(bench.text(content).await, ["9z"]);
    assert_eq!(
        bench
            .text("SELECT run FROM lakewright_runs ORDER BY run")
            .await,
        ["r1", "r2", "r3", "r4"]
    );

    let twice = bench
        .write(&load(table, merge(), "r5"), &orders(&[(5, "a"), (5, "b")]))
        .await
        .unwrap_err();
    assert!(twice.to_string().contains("id = 5"), "{twice}");
    let renamed = orders(&[(7, "x")]);
    let columns = [
        ("id", Arc::clone(renamed.column(0))),
        ("nome", Arc::clone(renamed.column(1))),
    ];
    let renamed = RecordBatch::try_from_iter(columns).unwrap();
    let unknown = bench
        .write(&load(table, WriteMode::Append, "r6"), &renamed)
        .await
        .unwrap_err();
    assert!(unknown.to_string().contains("`nome`"), "{unknown}");
    assert!(
        bench
            .write(&load(table, WriteMode::Append, "r7"), &orders(&[(9, "z")]))
            .await
            .is_err()
    );
    assert_eq!(bench.text(content).await, ["9z"]);
}

#[tokio::test]
async fn what_was_read_can_be_written_again() {
    let mut setup = "CREATE TABLE all_types (id int4".to_owned();
    let mut values = [String::from("1"), String::from("2"), String::from("3")];
    let plain = |sql: &str| !["mood", "price", "price[]", "name"].contains(&sql);
    for (i, (sql, low, high, ..)) in TYPES.iter().enumerate().filter(|(_, row)| plain(row.0)) {
        setup += &format!(", c{i} {sql}");
        for (row, value) in values.iter_mut().zip([*low, *high, "NULL"]) {
            *row += &format!(", {value}");
        }
    }
    setup += &format!(
        "); INSERT INTO all_types VALUES ({}); ",
        values.join("), (")
    );
    setup += "CREATE TABLE same (LIKE all_types)";
    let Some(mut bench) = Bench::new("it_pg_round", &setup).await else {
        return;
    };
    let batches = bench.rows(&bench.table("all_types")).await.unwrap();
    for (table, run) in [("same", "a"), ("fresh", "b")] {
        let write = load(&format!("it_pg_round.{table}"), WriteMode::Append, run);
        bench.write(&write, &batches[0]).await.unwrap();
        assert_eq!(
            lines(&bench.rows(&bench.table(table)).await.unwrap()),
            lines(&batches),
            "{table}"
        );
    }
    let different = "SELECT id::text FROM (SELECT to_jsonb(a) AS row, id FROM all_types AS a EXCEPT \
                     SELECT to_jsonb(b), id FROM same AS b) AS d";
    assert_eq!(bench.text(different).await, Vec::<String>::new());
    let decimals = batches[0].column_by_name("c7").unwrap();
    assert_eq!(decimals.as_primitive::<Decimal128Type>().value(1), 1);
}

#[tokio::test]
async fn who_has_a_lower_token_commits_nothing() {
    let Some(mut bench) = Bench::new("it_pg_fence", "").await else {
        return;
    };
    let fence = |giver: &str, token| Fence {
        giver: giver.to_owned(),
        name: "d/p".to_owned(),
        token,
    };
    let table = "it_pg_fence.orders";
    let load = |run: &str, fence| Write {
        fence: Some(fence),
        ..load(table, WriteMode::Append, run)
    };
    bench
        .write(&load("r1", fence("a", 1)), &orders(&[(1, "a")]))
        .await
        .unwrap();
    let sink = bench.connection.sink().unwrap();
    // Staged in time, and late.
    let late = load("r2", fence("a", 1));
    let rows = orders(&[(2, "b")]);
    let mut stage = sink.stage(&late, rows.schema()).await.unwrap();
    stage.write(&rows).await.unwrap();
    let staged = stage.finish().await.unwrap();
    sink.raise(table, &fence("a", 2)).await.unwrap();
    let refused = staged.commit().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("taken"), "{refused}");
    let raised = sink.raise(table, &fence("a", 1)).await;
    assert_eq!(raised.unwrap_err().kind(), ErrorKind::Conflict);
    for (run, fence) in [("r3", fence("a", 2)), ("r4", fence("b", 1))] {
        bench
            .write(&load(run, fence), &orders(&[(3, "c")]))
            .await
            .unwrap();
    }
    let content = bench
        .text("SELECT id || name FROM it_pg_fence.orders ORDER BY id, name")
        .await;
    assert_eq!(content, ["1a", "3c", "3c"]);
}
