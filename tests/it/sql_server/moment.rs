//! Reads of one moment, while a writer moves money about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::AsArray as _;
use arrow::datatypes::{Int32Type, Int64Type};
use connectors::{From, Literal, Nulls, SplitBy, Watermark, Window};

use super::*;

const ACCOUNTS: i64 = 2000;

async fn accounts(tracked: bool) -> Option<Bench> {
    let mut bench = Bench::new(&[
        "CREATE TABLE accounts (id int NOT NULL PRIMARY KEY, balance bigint NOT NULL)",
    ])
    .await?;
    bench
        .sql
        .fill("accounts", 1..=ACCOUNTS, |id| format!("{id}, 100"))
        .await;
    if tracked {
        bench
            .of_database("ALTER DATABASE {db} SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)")
            .await;
        bench
            .sql
            .run("ALTER TABLE accounts ENABLE CHANGE_TRACKING")
            .await;
    }
    Some(bench)
}

/// Moves money between two accounts at a time, takes accounts away and opens others, and never changes the sum.
async fn move_money(address: Address, stop: Arc<AtomicBool>, moves: Arc<AtomicU64>) {
    let mut sql = address.session().await;
    let mut next = 7_i64;
    // The accounts there are: `ACCOUNTS` of them, the last one this.
    let mut newest = ACCOUNTS;
    while !stop.load(Ordering::Relaxed) {
        next = (next * 1_103_515_245 + 12_345).rem_euclid(1 << 31);
        let (from, to) = (newest - next % ACCOUNTS, newest - next / 7 % ACCOUNTS);
        sql.run(&format!(
            "BEGIN TRANSACTION; \
             UPDATE accounts SET balance = balance - 1 WHERE id = {from}; \
             UPDATE accounts SET balance = balance + 1 WHERE id = {to}; \
             COMMIT"
        ))
        .await;
        // An account closes, and its money opens another, at the other end of the table.
        newest += 1;
        let oldest = newest - ACCOUNTS;
        sql.run(&format!(
            "BEGIN TRANSACTION; \
             INSERT INTO accounts SELECT {newest}, balance FROM accounts WHERE id = {oldest}; \
             DELETE FROM accounts WHERE id = {oldest}; \
             COMMIT"
        ))
        .await;
        moves.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many accounts there are, and their money.
async fn sum(connection: &dyn Connection, sessions: usize) -> (usize, i64, String) {
    let read = Read {
        splits: SplitBy {
            column: None,
            target_rows: Some(150),
        },
        ..Read::table("accounts")
    };
    let scan = connection.source().unwrap().scan(&read).await.unwrap();
    let splits = scan.splits();
    assert!(splits.len() > sessions, "{} splits", splits.len());
    let read = splits.iter().map(|split| async {
        let batches: Vec<RecordBatch> =
            scan.read(split).await.unwrap().try_collect().await.unwrap();
        batches
    });
    let batches = futures::future::join_all(read).await.concat();
    let mut ids: Vec<i32> = Vec::new();
    let mut sum = 0;
    for batch in &batches {
        ids.extend(batch.column(0).as_primitive::<Int32Type>().values());
        sum += batch
            .column(1)
            .as_primitive::<Int64Type>()
            .values()
            .iter()
            .sum::<i64>();
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an account was met twice");
    let moved = splits.iter().any(|split| split.name.starts_with("changed"));
    (count, sum, format!("{}, moved: {moved}", scan.describe()))
}

async fn the_sum_never_changes(tracked: bool) {
    let Some(bench) = accounts(tracked).await else {
        return;
    };
    let connection = bench.address.open(4, json!({})).await.unwrap();
    let (stop, moves) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let writer = move_money(bench.address.clone(), Arc::clone(&stop), Arc::clone(&moves));
    let reader = async {
        let mut told = Vec::new();
        // Until the writer came between the sessions of a read, where there are several.
        while told.len() < 20
            || (tracked && !told.iter().any(|one: &String| one.ends_with("moved: true")))
        {
            assert!(told.len() < 500, "nothing moved while 500 reads began");
            let before = moves.load(Ordering::Relaxed);
            let (count, sum, describe) = sum(&*connection, 4).await;
            assert_eq!(
                (i64::try_from(count).unwrap(), sum),
                (ACCOUNTS, 100 * ACCOUNTS),
                "{describe}"
            );
            told.push(describe);
            // The writer is to have got on between two reads.
            while moves.load(Ordering::Relaxed) == before {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        stop.store(true, Ordering::Relaxed);
        told
    };
    let ((), told) = futures::join!(writer, reader);
    let how = if tracked {
        "by 4 sessions"
    } else {
        "one snapshot"
    };
    assert!(told.iter().any(|one| one.contains(how)), "{told:?}");
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_reads_one_snapshot() {
    the_sum_never_changes(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sessions_read_one_version() {
    the_sum_never_changes(true).await;
}

#[tokio::test]
async fn a_database_without_versions_is_refused_unless_asked_for() {
    let Some(mut bench) = accounts(false).await else {
        return;
    };
    bench
        .of_database("ALTER DATABASE {db} SET ALLOW_SNAPSHOT_ISOLATION OFF")
        .await;
    let connection = bench.address.open(2, json!({})).await.unwrap();
    let error = fails(&*connection, &Read::table("accounts")).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(
        error
            .help_text()
            .unwrap()
            .contains("ALLOW_SNAPSHOT_ISOLATION ON")
    );
    let asked = json!({ "isolation": "read_committed" });
    let connection = bench.address.open(2, asked).await.unwrap();
    let batches = rows(&*connection, &Read::table("accounts")).await.unwrap();
    assert_eq!(
        batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
        2000
    );
    bench.stop().await;
}

/// The new rows after a watermark, and the next watermark.
async fn new_rows(
    connection: &dyn Connection,
    from: From,
    column: &str,
    after: Option<Watermark>,
) -> (usize, Option<Watermark>) {
    let read = |until| Read {
        from: from.clone(),
        window: Some(Window {
            changes: false,
            column: Some(column.to_owned()),
            after: after.clone(),
            inclusive: false,
            until,
            nulls: Nulls::Fail,
        }),
        ..Read::table("")
    };
    let until = connection
        .source()
        .unwrap()
        .highest(&read(None))
        .await
        .unwrap();
    let batches = rows(connection, &read(until.clone())).await.unwrap();
    (batches.iter().map(RecordBatch::num_rows).sum(), until)
}

#[tokio::test]
async fn a_rowversion_waits_for_transactions_that_are_open() {
    let Some(mut bench) = Bench::new(&[
        "CREATE TABLE r (id int NOT NULL PRIMARY KEY, v int NULL, rv rowversion NOT NULL)",
        "INSERT INTO r (id, v) VALUES (1, 1), (2, 2), (3, 3)",
    ])
    .await
    else {
        return;
    };
    let connection = bench.address.open(1, json!({})).await.unwrap();
    let table = || From::Table("r".to_owned());
    let (count, first) = new_rows(&*connection, table(), "rv", None).await;
    assert_eq!(count, 3);
    // A row that was changed first and is committed last is not passed over.
    let mut slow = bench.address.session().await;
    slow.run("BEGIN TRANSACTION; UPDATE r SET v = 10 WHERE id = 1")
        .await;
    bench.sql.run("UPDATE r SET v = 20 WHERE id = 2").await;
    let (count, second) = new_rows(&*connection, table(), "rv", first).await;
    assert_eq!(count, 0);
    slow.run("COMMIT").await;
    let (count, third) = new_rows(&*connection, table(), "rv", second).await;
    assert_eq!(count, 2);
    let (count, _) = new_rows(&*connection, table(), "rv", third).await;
    assert_eq!(count, 0);
    bench.stop().await;
}

#[tokio::test]
async fn moments_are_watermarks_to_the_last_digit() {
    let Some(mut bench) = Bench::new(&[
        "CREATE TABLE w (id int NOT NULL PRIMARY KEY, old datetime NOT NULL, fine datetime2(7) NOT NULL, zoned datetimeoffset(3) NOT NULL, paid money NOT NULL)",
    ])
    .await
    else {
        return;
    };
    let connection = bench.address.open(1, json!({})).await.unwrap();
    let mut last = [None, None, None, None];
    for id in 1..=12 {
        // Three values in a row lie 1/300 of a second, and 100 nanoseconds, apart.
        let (tick, fine) = (["000", "003", "007"][id % 3], id % 3);
        let second = id / 3;
        bench
            .sql
            .run(&format!(
                "INSERT INTO w VALUES ({id}, '2024-01-01T00:00:0{second}.{tick}', '2024-01-01T00:00:0{second}.00000{fine}9', \
                 '2024-01-01T00:00:0{second}.{tick} +02:00', {second}.000{fine})"
            ))
            .await;
        for (column, last) in ["old", "fine", "zoned", "paid"].iter().zip(&mut last) {
            let query = format!("SELECT id, {column} FROM w");
            let from = From::Query(match *column {
                "fine" => "SELECT id, CAST(fine AS datetime2(6)) AS fine FROM w".to_owned(),
                _ => query,
            });
            let (count, next) = new_rows(&*connection, from, column, last.take()).await;
            assert_eq!(count, 1, "{column} {id}: {next:?}");
            assert!(matches!(
                next,
                Some(Watermark::Value(
                    Literal::Timestamp(_) | Literal::TimestampTz(_) | Literal::Decimal(_)
                ))
            ));
            *last = next;
        }
    }
    bench.stop().await;
}
