//! What is read: every type, one moment, windows, pushdown.

use super::*;

#[rustfmt::skip] // A table: one type, one line.
/// Type, smallest or oddest value, largest value, and how the three rows (with NULL last) are read.
pub(super) const TYPES: &[(&str, &str, &str, &str, &str)] = &[
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
    let setup = "CREATE TABLE odd (id int4, p point, n numeric, t timestamptz, d date, a int4[], big numeric(50,2), c time); \
        INSERT INTO odd VALUES (1, NULL, 'NaN', 'infinity', '-infinity', '{{1,2},{3,4}}', NULL, '24:00'), \
        (2, NULL, 1e30, now(), now(), NULL, NULL, NULL), (3, NULL, 1e-10, now(), now(), NULL, NULL, NULL)";
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
        ("c", "`24:00:00`"),
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
        window: Some(window(after, until, inclusive, nulls)),
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
