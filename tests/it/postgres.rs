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

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use connectors::{
    Comparison, Connection, Error, ErrorKind, From, Literal, Nulls, Opening, Predicate, Read,
    Secret, SecretRef, Secrets, SplitBy, Watermark, Window, Write, WriteMode, registry,
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
        stage.finish().await?.commit().await
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

fn window(
    after: Option<Literal>,
    until: Option<Literal>,
    inclusive: bool,
    nulls: Nulls,
) -> Option<Window> {
    Some(Window {
        column: Some("at".to_owned()),
        after: after.map(Watermark::Value),
        until: until.map(Watermark::Value),
        inclusive,
        nulls,
    })
}

/// Type, smallest or oddest value, largest value, and how the three rows (with NULL last) are read.
#[rustfmt::skip] // A table: one type, one line.
const TYPES: &[(&str, &str, &str, &str, &str)] = &[
    ("bool", "false", "true", "false", "true"),
    ("int2", "-32768", "32767", "-32768", "32767"),
    ("int4", "-2147483648", "2147483647", "-2147483648", "2147483647"),
    ("int8", "-9223372036854775808", "9223372036854775807", "-9223372036854775808", "9223372036854775807"),
    ("oid", "0", "4294967295", "0", "4294967295"),
    ("float4", "-1.5", "3.25", "-1.5", "3.25"),
    ("float8", "-1e-300", "1e300", "-1.0e-300", "1.0e300"),
    ("numeric(15,2)", "-9999999999999.99", "0.01", "-9999999999999.99", "0.01"),
    ("numeric(38,0)", "-99999999999999999999999999999999999999", "10000", "-99999999999999999999999999999999999999", "10000"),
    ("numeric(38,38)", "0.00000000000000000000000000000000000001", "0", "0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000000"),
    ("numeric", "-12345678901234567890123456789.123456789", "1", "-12345678901234567890123456789.123456789", "1.000000000"),
    ("text", "''", "'ünï\"\\'", "\"\"", r#""ünï\"\\""#),
    ("varchar(3)", "''", "'abc'", "\"\"", "\"abc\""),
    ("char(3)", "'a'", "'abc'", "\"a  \"", "\"abc\""),
    ("name", "'a'", "'b'", "\"a\"", "\"b\""),
    ("json", "'{\"a\": 1}'", "'null'", r#""{\"a\": 1}""#, "\"null\""),
    ("jsonb", "'{\"a\":1}'", "'[]'", r#""{\"a\": 1}""#, "\"[]\""),
    ("inet", "'10.0.0.1/8'", "'::1'", "\"10.0.0.1/8\"", "\"::1/128\""),
    ("cidr", "'10.0.0.0/8'", "'::/0'", "\"10.0.0.0/8\"", "\"::/0\""),
    ("macaddr", "'08:00:2b:01:02:03'", "'ff:ff:ff:ff:ff:ff'", "\"08:00:2b:01:02:03\"", "\"ff:ff:ff:ff:ff:ff\""),
    ("interval", "'-1 year 2 days'", "'00:00:00.000001'", "\"P-1Y2D\"", "\"PT0.000001S\""),
    ("bytea", "''", "'\\x00ff'", "\"\"", "\"00ff\""),
    ("date", "'0001-01-01'", "'9999-12-31'", "\"0001-01-01\"", "\"9999-12-31\""),
    ("time", "'00:00'", "'23:59:59.999999'", "\"00:00:00\"", "\"23:59:59.999999\""),
    ("timestamp", "'0001-01-01'", "'9999-12-31 23:59:59.999999'", "\"0001-01-01T00:00:00\"", "\"9999-12-31T23:59:59.999999\""),
    ("timestamptz", "'1970-01-01 00:00:00+00'", "'1999-12-31 23:59:59.5-01'", "\"1970-01-01T00:00:00Z\"", "\"2000-01-01T00:59:59.500Z\""),
    ("uuid", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "\"00000000000000000000000000000000\"", "\"ffffffffffffffffffffffffffffffff\""),
    ("mood", "'sad'", "'happy'", "\"sad\"", "\"happy\""),
    ("price", "1", "2.50", "1.00", "2.50"),
    ("int4[]", "'{}'", "'{1,NULL,-3}'", "[]", "[1,null,-3]"),
    ("text[]", "'{\"\"}'", "'{a,\"b c\"}'", "[\"\"]", "[\"a\",\"b c\"]"),
    ("numeric(5,1)[]", "'{1.5}'", "'{-9999.9}'", "[1.5]", "[-9999.9]"),
    ("inet[]", "'{}'", "'{::1}'", "[]", "[\"::1/128\"]"),
    ("price[]", "'{}'", "'{2.5}'", "[]", "[2.50]"),
];

#[tokio::test]
async fn every_type_is_read_as_it_is() {
    let mut setup =
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN price AS numeric(9,2); "
            .to_owned();
    for (i, (sql, low, high, ..)) in TYPES.iter().enumerate() {
        setup += &format!("CREATE TABLE t{i} (id int4 NOT NULL, v {sql}); ");
        setup += &format!("INSERT INTO t{i} VALUES (1, {low}), (2, {high}), (3, NULL); ");
    }
    let Some(bench) = Bench::new("it_pg_types", &setup).await else {
        return;
    };
    for (i, (sql, _, _, low, high)) in TYPES.iter().enumerate() {
        let wanted = [
            format!(r#"{{"id":1,"v":{low}}}"#),
            format!(r#"{{"id":2,"v":{high}}}"#),
            r#"{"id":3,"v":null}"#.to_owned(),
        ];
        let table = bench.rows(&bench.table(&format!("t{i}"))).await.unwrap();
        assert_eq!(lines(&table), wanted, "{sql} in a table");
        let schema = table[0].schema();
        assert_eq!(
            (schema.field(0).is_nullable(), schema.field(1).is_nullable()),
            (false, true)
        );

        let from = From::Query(format!(
            "SELECT id, v FROM it_pg_types.t{i} ORDER BY id -- a comment;"
        ));
        let query = bench
            .rows(&Read {
                from,
                ..bench.table("")
            })
            .await
            .unwrap();
        assert_eq!(lines(&query), wanted, "{sql} in a query");
        assert_eq!(
            query[0].schema().field(1).data_type(),
            schema.field(1).data_type(),
            "{sql}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_name() {
    let setup = "CREATE TABLE odd (id int4, p point, n numeric, t timestamptz, d date, a int4[], big numeric(50,2)); \
        INSERT INTO odd VALUES (1, NULL, 'NaN', 'infinity', '-infinity', '{{1,2},{3,4}}', NULL), \
        (2, NULL, 1e30, now(), now(), NULL, NULL), (3, NULL, 1e-10, now(), now(), NULL, NULL)";
    let Some(bench) = Bench::new("it_pg_odd", setup).await else {
        return;
    };
    let columns = |name: &str| Some(vec!["id".to_owned(), name.to_owned()]);

    for (column, type_name) in [("p", "point"), ("big", "numeric(50)")] {
        let error = bench
            .fails(&Read {
                columns: columns(column),
                ..bench.table("odd")
            })
            .await;
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.to_string().contains(&format!("`{column}`")),
            "{error}"
        );
        assert!(error.to_string().contains(type_name), "{error}");
        assert!(
            error
                .help_text()
                .unwrap()
                .contains(&format!("\"{column}\"::")),
            "{error:?}"
        );
    }
    for (column, what) in [
        ("n", "NaN"),
        ("t", "`infinity`"),
        ("d", "`infinity`"),
        ("a", "more than one dimension"),
    ] {
        let error = bench
            .fails(&Read {
                columns: columns(column),
                ..bench.table("odd")
            })
            .await;
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(
            error
                .to_string()
                .starts_with(&format!("column `{column}` holds ")),
            "{error}"
        );
        assert!(
            error.to_string().contains(what) && error.to_string().contains("row: 1"),
            "{error}"
        );
    }
    for (id, what) in [(2, "more digits than"), (3, "behind the point")] {
        let from = From::Query(format!("SELECT id, n FROM it_pg_odd.odd WHERE id = {id}"));
        let error = bench
            .fails(&Read {
                from,
                ..bench.table("")
            })
            .await;
        assert!(error.to_string().contains(what), "{error}");
    }
    assert_eq!(
        bench.fails(&bench.table("nowhere")).await.kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        bench
            .fails(&Read {
                columns: columns("zz"),
                ..bench.table("odd")
            })
            .await
            .kind(),
        ErrorKind::NotFound
    );
    let two = From::Query("SELECT 1) AS q; DROP TABLE it_pg_odd.odd; SELECT (1".to_owned());
    assert_eq!(
        bench
            .fails(&Read {
                from: two,
                ..bench.table("")
            })
            .await
            .kind(),
        ErrorKind::InvalidInput
    );
    let failing =
        From::Query("SELECT 1 / (i - 9000) AS x FROM generate_series(1, 10000) AS i".to_owned());
    let error = bench
        .fails(&Read {
            from: failing,
            ..bench.table("")
        })
        .await;
    assert!(
        error.to_string().contains("22012") && error.to_string().contains("division by zero"),
        "{error}"
    );
}

#[tokio::test]
async fn all_splits_see_one_moment() {
    let setup = "CREATE TABLE account (id int4 PRIMARY KEY, balance int8 NOT NULL, filler text); \
        INSERT INTO account SELECT i, 100, repeat('x', 300) FROM generate_series(1, 20000) AS i; ANALYZE account";
    let Some(mut bench) = Bench::new("it_pg_moment", setup).await else {
        return;
    };
    for column in [None, Some("id".to_owned())] {
        let splits = SplitBy {
            column,
            target_rows: Some(2_000),
        };
        let read = Read {
            splits,
            columns: Some(vec!["id".into(), "balance".into()]),
            ..bench.table("account")
        };
        let wanted = bench
            .text("SELECT count(*) || ' ' || sum(balance) FROM account")
            .await;
        let scan = bench
            .connection
            .source()
            .unwrap()
            .scan(&read)
            .await
            .unwrap();
        assert!(scan.splits().len() >= 10, "{}", scan.describe());
        assert!(
            scan.describe().contains("one snapshot ("),
            "{}",
            scan.describe()
        );
        let (mut sum, mut seen) = (0, BTreeSet::new());
        for split in scan.splits() {
            // Moves money from low to high ids, which changes pages, and adds rows.
            bench
                .sql
                .execute(
                    "UPDATE account SET balance = balance - 1 WHERE id <= 100; \
                     UPDATE account SET balance = balance + 1 WHERE id BETWEEN 19901 AND 20000; \
                     INSERT INTO account SELECT max(id) + 1, 7 FROM account",
                )
                .await
                .unwrap();
            let batches: Vec<_> = scan.read(split).await.unwrap().try_collect().await.unwrap();
            for batch in &batches {
                sum += batch
                    .column(1)
                    .as_primitive::<Int64Type>()
                    .values()
                    .iter()
                    .sum::<i64>();
            }
            for id in ids(&batches) {
                assert!(seen.insert(id), "{id} was read twice");
            }
        }
        assert_eq!([format!("{} {sum}", seen.len())], *wanted);
    }
}

#[tokio::test]
async fn windows_keep_ties_and_nulls_apart() {
    let setup = "CREATE TABLE event (id int4, at timestamptz); INSERT INTO event VALUES \
        (1, '2024-01-01 00:00:00.000001+00'), (2, '2024-01-02+00'), (3, '2024-01-02+00'), (4, '2024-01-03+00'), (5, NULL)";
    let Some(mut bench) = Bench::new("it_pg_window", setup).await else {
        return;
    };
    let day = |day: i64| Literal::TimestampTz((1_704_067_200 + (day - 1) * 86_400) * 1_000_000);
    let read = |after, until, inclusive, nulls| Read {
        window: window(after, until, inclusive, nulls),
        ..Read::table("it_pg_window.event")
    };
    let all = read(None, None, false, Nulls::Skip);
    assert_eq!(
        bench.highest(&all).await.unwrap(),
        Some(Watermark::Value(day(3)))
    );

    let got = |batches: Result<Vec<RecordBatch>, Error>| ids(&batches.unwrap());
    assert_eq!(
        got(bench
            .rows(&read(None, Some(day(2)), false, Nulls::Skip))
            .await),
        [1, 2, 3]
    );
    assert_eq!(
        got(bench
            .rows(&read(Some(day(2)), Some(day(3)), false, Nulls::Skip))
            .await),
        [4]
    );
    assert_eq!(
        got(bench
            .rows(&read(Some(day(2)), Some(day(3)), true, Nulls::Skip))
            .await),
        [2, 3, 4]
    );
    assert_eq!(
        got(bench
            .rows(&read(Some(day(2)), Some(day(3)), false, Nulls::Read))
            .await),
        [4, 5]
    );
    assert!(got(bench.rows(&read(None, None, false, Nulls::Skip)).await).is_empty());
    let error = bench
        .fails(&read(None, Some(day(3)), false, Nulls::Fail))
        .await;
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("`at`"), "{error}");

    bench
        .sql
        .execute("INSERT INTO event VALUES (6, 'infinity')")
        .await
        .unwrap();
    assert_eq!(
        bench.highest(&all).await.unwrap_err().kind(),
        ErrorKind::InvalidData
    );
    bench.sql.execute("DELETE FROM event").await.unwrap();
    assert_eq!(bench.highest(&all).await.unwrap(), None);
}

#[tokio::test]
async fn projection_predicate_and_limit_reach_the_server() {
    let setup = r#"CREATE TABLE "Odd ""Name" (id int4, name text, "Upper Case" bool);
        INSERT INTO "Odd ""Name" VALUES (1, 'a', true), (2, 'B', false), (3, 'it''s', NULL)"#;
    let Some(bench) = Bench::new("it_pg_push", setup).await else {
        return;
    };
    let table = Read::table(r#"it_pg_push."Odd ""Name""#);
    let compare = |column: &str, op, value| Predicate::Compare {
        column: column.to_owned(),
        op,
        value,
    };

    let read = Read {
        columns: Some(vec!["Upper Case".into(), "id".into()]),
        ..table.clone()
    };
    assert_eq!(
        lines(&bench.rows(&read).await.unwrap())[2],
        r#"{"Upper Case":null,"id":3}"#
    );
    let predicate = Some(Predicate::And(vec![
        compare(
            "name",
            Comparison::GreaterOrEqual,
            Literal::Text("a".to_owned()),
        ),
        compare("id", Comparison::NotEqual, Literal::Int(1)),
        compare("unknown", Comparison::Equal, Literal::Int(1)),
    ]));
    let read = Read {
        predicate,
        ..table.clone()
    };
    assert_eq!(ids(&bench.rows(&read).await.unwrap()), [3]);
    let scan = bench
        .connection
        .source()
        .unwrap()
        .scan(&read)
        .await
        .unwrap();
    assert!(
        scan.describe()
            .contains(r#"where (("name" COLLATE "C") >= 'a'::text"#),
        "{}",
        scan.describe()
    );
    assert_eq!(
        ids(&bench
            .rows(&Read {
                limit: Some(2),
                ..table.clone()
            })
            .await
            .unwrap()),
        [1, 2]
    );
    let nothing = bench
        .rows(&Read {
            columns: Some(Vec::new()),
            ..table
        })
        .await
        .unwrap();
    assert_eq!(nothing[0].num_rows(), 3);
}

#[tokio::test]
async fn a_dropped_read_stops_at_the_server() {
    let Some(mut bench) = Bench::new("it_pg_cancel", "").await else {
        return;
    };
    let slow = "SELECT i FROM generate_series(1, 20000) AS i UNION ALL SELECT 1 FROM (SELECT pg_sleep(60)) AS it_pg_cancel_s";
    let read = Read {
        from: From::Query(slow.to_owned()),
        ..bench.table("")
    };
    let scan = bench
        .connection
        .source()
        .unwrap()
        .scan(&read)
        .await
        .unwrap();
    let mut rows = scan.read(&scan.splits()[0]).await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    drop(rows);
    let running = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'COPY%it_pg_cancel_s%' AND state = 'active'";
    for _ in 0..100 {
        if bench.text(running).await == ["0"] {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the server still works for nobody");
}

fn orders(rows: &[(i32, &str)]) -> RecordBatch {
    let (ids, names): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int32Array::from(ids))),
        ("name", Arc::new(StringArray::from(names))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn load(table: &str, mode: WriteMode, run: &str) -> Write {
    Write {
        table: table.to_owned(),
        mode,
        run: run.to_owned(),
        options: Value::Null,
    }
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
async fn tls_is_required_preferred_or_off() {
    let Some(url) = services::postgres() else {
        return;
    };
    let off = open(&url, json!({ "tls": "off" }))
        .await
        .unwrap()
        .probe()
        .await
        .unwrap();
    assert!(
        off.starts_with("PostgreSQL ") && off.ends_with(", TLS off"),
        "{off}"
    );
    let Some(ca) = services::postgres_ca() else {
        return;
    };
    let preferred = open(&url, json!({ "tls": "prefer" }))
        .await
        .unwrap()
        .probe()
        .await
        .unwrap();
    assert!(preferred.ends_with(", TLS 1.3"), "{preferred}");
    let required = json!({ "tls": "required", "ca_file": ca });
    assert!(
        open(&url, required)
            .await
            .unwrap()
            .probe()
            .await
            .unwrap()
            .ends_with(", TLS 1.3")
    );
    let Err(error) = open(&url, json!({ "tls": "required" })).await else {
        panic!("an unknown authority was trusted")
    };
    assert!(error.help_text().is_some(), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_is_said_so() {
    let Some(url) = services::postgres() else {
        return;
    };
    let (scheme, rest) = url.split_once("://").unwrap();
    let (login, place) = rest.rsplit_once('@').unwrap();
    let wrong = format!(
        "{scheme}://{}:not-it@{place}",
        login.split(':').next().unwrap()
    );
    let Err(error) = open(&wrong, json!({})).await else {
        return;
    };
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!format!("{error:?}").contains("not-it"));
}
