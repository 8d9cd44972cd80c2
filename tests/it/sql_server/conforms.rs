//! The connector passes the one suite.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringArray};
use connectors::conformance::{self, SourceCase, WindowCase};
use connectors::{Comparison, From, Literal, Predicate, SplitBy, Watermark};

use super::*;

fn notes(ids: &[i32], versions: &[Option<i32>], notes: &[Option<&str>]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int32Array::from(ids.to_vec()));
    let versions: ArrayRef = Arc::new(Int32Array::from(versions.to_vec()));
    let notes: ArrayRef = Arc::new(StringArray::from(notes.to_vec()));
    RecordBatch::try_from_iter_with_nullable([
        ("id", ids, true),
        ("version", versions, true),
        ("note", notes, true),
    ])
    .unwrap()
}

fn all() -> RecordBatch {
    notes(
        &[1, 2, 3, 4],
        &[Some(10), None, Some(20), Some(30)],
        &[Some("a"), None, Some("b, 'c'"), Some("d\ne")],
    )
}

const SETUP: [&str; 2] = [
    "CREATE TABLE notes (id int NOT NULL PRIMARY KEY, version int NULL, note nvarchar(20) NULL)",
    "INSERT INTO notes VALUES (1, 10, N'a'), (2, NULL, NULL), (3, 20, N'b, ''c'''), (4, 30, N'd\ne')",
];

fn case(read: Read) -> SourceCase {
    let number = |number| Watermark::Value(Literal::Int(number));
    SourceCase {
        read,
        rows: all(),
        predicate: Some((
            Predicate::Compare {
                column: "id".to_owned(),
                op: Comparison::GreaterOrEqual,
                value: Literal::Int(3),
            },
            all().slice(2, 2),
        )),
        window: Some(WindowCase {
            column: "version".to_owned(),
            after: number(10),
            until: number(20),
            highest: number(30),
            between: all().slice(2, 1),
            equal: all().slice(0, 1),
            nulls: all().slice(1, 1),
        }),
        unknown: "dbo.nothing".to_owned(),
    }
}

#[tokio::test]
async fn a_server_conforms() {
    let Some(mut bench) = Bench::new(&SETUP).await else {
        return;
    };
    let cuts = [
        SplitBy::default(),
        SplitBy {
            column: Some("id".to_owned()),
            target_rows: Some(1),
        },
        SplitBy {
            column: None,
            target_rows: Some(2),
        },
    ];
    // One session, then several that are brought to one moment.
    for tracked in [false, true] {
        if tracked {
            bench
                .of_database("ALTER DATABASE {db} SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)")
                .await;
            bench
                .sql
                .run("ALTER TABLE notes ENABLE CHANGE_TRACKING")
                .await;
        }
        for sessions in [1, 3] {
            let connection = bench.address.open(sessions, json!({})).await.unwrap();
            for splits in cuts.clone() {
                let read = Read {
                    splits,
                    ..Read::table("dbo.notes")
                };
                conformance::source(&*connection, &case(read))
                    .await
                    .unwrap();
            }
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_query_conforms() {
    let Some(bench) = Bench::new(&SETUP).await else {
        return;
    };
    let connection = bench.address.open(2, json!({})).await.unwrap();
    for query in [
        "SELECT id, version, note FROM dbo.notes -- all of them",
        "WITH n AS (SELECT id, version, note FROM dbo.notes) SELECT * FROM n;",
    ] {
        let read = Read {
            from: From::Query(query.to_owned()),
            splits: SplitBy {
                column: Some("id".to_owned()),
                target_rows: Some(2),
            },
            ..Read::table("")
        };
        conformance::source(&*connection, &case(read))
            .await
            .unwrap();
    }
    bench.stop().await;
}
