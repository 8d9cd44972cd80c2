//! What a sink promises to remember.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::promise;
use super::rows::Rows;
use super::sink::{SinkCase, expect, stage};
use crate::contract::{Connection, KnownBy, Remembered, Sink, Stamp, Write, WriteMode};
use crate::error::{ErrorKind, Result};

/// Runs every check on a table that has the rows of `first` and `second`, `there`.
pub(super) async fn remembers(
    connection: &dyn Connection,
    sink: &dyn Sink,
    case: &SinkCase,
    there: Rows,
) -> Result<()> {
    if !case.remembers {
        let all = sink.remembered(&case.table).await?;
        let seen = || format!("{all:?}");
        return promise(all.is_empty(), "what is not remembered is not told", seen);
    }
    let told = sink.remembered(&case.table).await?;
    let runs: Vec<_> = told.iter().map(|told| told.run.as_str()).collect();
    promise(
        runs == ["run-2", "run-1"],
        "commits without a stamp are told, the newest first",
        || format!("{told:?}"),
    )?;

    let first = stamped(sink, case).await?;
    let after = first.map(|first| first.position);
    followed(sink, case, after).await?;
    for stale in [after, None] {
        let late = write(case, "run-6", "one", &[("b", "z")], stale);
        let kind = match commit(sink, &late, &case.first).await {
            Ok(()) => None,
            Err(error) => Some(error.kind()),
        };
        promise(
            kind == Some(ErrorKind::Conflict),
            "a write that goes on from anything but the newest commit is a `conflict`",
            || format!("{kind:?}"),
        )?;
    }
    expect(
        connection,
        case,
        &there,
        "a write that was refused leaves nothing",
    )
    .await?;
    known_again(connection, sink, case, there).await
}

/// A stamp is remembered with its commit, and only with that; the commit.
async fn stamped(sink: &dyn Sink, case: &SinkCase) -> Result<Option<Remembered>> {
    let none = case.first.slice(0, 0);
    let one = write(
        case,
        "run-3",
        "one",
        &[("a", "{\"at\": \"it's 1\"}"), ("b", "x")],
        None,
    );
    drop(stage(sink, &one, &none).await?.finish().await?);
    let before = newest(sink, case, "one").await?;
    promise(
        before.is_none(),
        "a stage that is dropped is not remembered",
        || format!("{before:?}"),
    )?;
    commit(sink, &one, &none).await?;
    commit(
        sink,
        &write(case, "run-4", "other", &[("a", "9")], None),
        &none,
    )
    .await?;
    let first = newest(sink, case, "one").await?;
    let same = first
        .as_ref()
        .is_some_and(|first| first.run == "run-3" && first.stamp.as_ref() == one.stamp.as_ref());
    promise(
        same,
        "a stamp is remembered as it was, apart for each load",
        || format!("{first:?}"),
    )?;
    Ok(first)
}

/// A commit that goes on from another one takes its place.
async fn followed(sink: &dyn Sink, case: &SinkCase, after: Option<i64>) -> Result<()> {
    let none = case.first.slice(0, 0);
    commit(
        sink,
        &write(case, "run-5", "one", &[("b", "y")], after),
        &none,
    )
    .await?;
    let second = newest(sink, case, "one").await?;
    let expected = stamp("one", &[("a", "{\"at\": \"it's 1\"}"), ("b", "y")]);
    let same = second
        .as_ref()
        .is_some_and(|second| second.run == "run-5" && second.stamp.as_ref() == Some(&expected));
    promise(same, "a watermark that is not named stays", || {
        format!("{second:?}")
    })?;
    let order = sink.remembered(&case.table).await?;
    let runs: Vec<_> = order.iter().map(|told| told.run.as_str()).collect();
    promise(
        runs.starts_with(&["run-5", "run-4"]) && !runs.contains(&"run-3"),
        "the newest commit of each load is told, the newest first",
        || format!("{runs:?}"),
    )?;
    Ok(())
}

fn write(
    case: &SinkCase,
    run: &str,
    load: &str,
    read: &[(&str, &str)],
    after: Option<i64>,
) -> Write {
    Write {
        mode: WriteMode::Append,
        stamp: Some(stamp(load, read)),
        after,
        ..case.write(run)
    }
}

/// Rows that are there are left out, and those that are not are added.
async fn known_again(
    connection: &dyn Connection,
    sink: &dyn Sink,
    case: &SinkCase,
    there: Rows,
) -> Result<()> {
    let fields = case.first.schema();
    let key: Vec<_> = fields
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let Some(watermark) = key.first().cloned() else {
        return Ok(());
    };
    let write = Write {
        mode: WriteMode::Append,
        known_by: Some(KnownBy { key, watermark }),
        ..case.write("run-7")
    };
    commit(sink, &write, &case.second).await?;
    expect(
        connection,
        case,
        &there,
        "rows that are there are known again",
    )
    .await
}

fn stamp(load: &str, read: &[(&str, &str)]) -> Stamp {
    let owned = |(step, text): &(&str, &str)| ((*step).to_owned(), (*text).to_owned());
    Stamp {
        pipeline: "d/p".to_owned(),
        load: load.to_owned(),
        fingerprint: "f".to_owned(),
        watermarks: read.iter().map(owned).collect::<BTreeMap<_, _>>(),
    }
}

async fn commit(sink: &dyn Sink, write: &Write, rows: &RecordBatch) -> Result<()> {
    let staged = stage(sink, write, rows).await?.finish().await?;
    staged.commit().await.map(drop)
}

async fn newest(sink: &dyn Sink, case: &SinkCase, load: &str) -> Result<Option<Remembered>> {
    let all = sink.remembered(&case.table).await?;
    let of_load = |told: &Remembered| told.stamp.as_ref().is_some_and(|stamp| stamp.load == load);
    Ok(all.into_iter().find(of_load))
}
