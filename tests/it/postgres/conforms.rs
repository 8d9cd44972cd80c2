//! The connector passes the one suite, reading and writing, through whatever is put around it.

use connectors::conformance::{self, SinkCase, SourceCase, WindowCase};
use connectors::wrap;

use super::*;

fn notes(ids: &[i64], notes: &[Option<&str>]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    let notes: ArrayRef = Arc::new(StringArray::from(notes.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("note", notes, true)]).unwrap()
}

fn all() -> RecordBatch {
    notes(
        &[1, 2, 3, 4],
        &[Some("a"), None, Some("b, \"c\""), Some("d\ne")],
    )
}

const SETUP: &str = r#"CREATE TABLE notes (id int8, note text);
    INSERT INTO notes VALUES (1, 'a'), (2, NULL), (3, 'b, "c"'), (4, E'd\ne')"#;

#[tokio::test]
async fn a_server_conforms_as_a_source() {
    let Some(bench) = Bench::new("it_pg_conform_source", SETUP).await else {
        return;
    };
    let text = |text: &str| Watermark::Value(Literal::Text(text.to_owned()));
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
    for splits in cuts {
        let case = SourceCase {
            read: Read {
                splits,
                ..bench.table("notes")
            },
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
                column: "note".to_owned(),
                after: text("a"),
                until: text("b, \"c\""),
                highest: text("d\ne"),
                between: all().slice(2, 1),
                equal: all().slice(0, 1),
                nulls: all().slice(1, 1),
            }),
            unknown: "it_pg_conform_source.nothing".to_owned(),
        };
        conformance::source(&*bench.connection, &case)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_server_conforms_as_a_sink() {
    let Some(bench) = Bench::new("it_pg_conform_sink", "").await else {
        return;
    };
    sinks_conform(&*bench.connection, "it_pg_conform_sink")
        .await
        .unwrap();
    let Some(bench) = Bench::new("it_pg_conform_wrapped", "").await else {
        return;
    };
    let wrapped = wrap::timeout(bench.connection, std::time::Duration::from_mins(1));
    let wrapped = wrap::trace(wrap::limit(wrapped, 2), "server");
    sinks_conform(&*wrapped, "it_pg_conform_wrapped")
        .await
        .unwrap();
}

async fn sinks_conform(connection: &dyn Connection, schema: &str) -> Result<(), Error> {
    let (first, second) = (
        notes(&[1, 2], &[Some("a"), None]),
        notes(&[2, 3], &[Some("b"), Some("c")]),
    );
    let merged = notes(&[1, 2, 3], &[Some("a"), Some("b"), Some("c")]);
    let appended = notes(&[1, 2, 2, 3], &[Some("a"), None, Some("b"), Some("c")]);
    let key = vec!["id".to_owned()];
    let modes = [
        ("appended", WriteMode::Append, appended),
        ("Replaced \"x\"", WriteMode::Replace, second.clone()),
        ("merged", WriteMode::Merge { key }, merged),
    ];
    for (name, mode, both) in modes {
        let case = SinkCase {
            table: format!("{schema}.\"{}\"", name.replace('"', "\"\"")),
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
