//! What a source promises.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use futures::StreamExt as _;

use super::promise;
use super::rows::Rows;
use crate::contract::{Connection, From, Nulls, Read, Source, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Predicate, Watermark};

/// A table that is there, and what is known of it.
#[derive(Clone, Debug)]
pub struct SourceCase {
    /// A read of all of it; its `splits` and `options` hold for every check.
    pub read: Read,
    /// All its rows, with its columns in order; at least three rows and two columns.
    pub rows: RecordBatch,
    /// A condition, and the rows it is true for.
    pub predicate: Option<(Predicate, RecordBatch)>,
    /// A window, where the table has a watermark column.
    pub window: Option<WindowCase>,
    /// The name of a table that is not there.
    pub unknown: String,
}

/// A watermark column, and what is known of it.
#[derive(Clone, Debug)]
pub struct WindowCase {
    /// The column; it has a NULL in at least one row.
    pub column: String,
    /// A value that rows have.
    pub after: Watermark,
    /// A higher value that rows have, not the highest.
    pub until: Watermark,
    /// The highest value.
    pub highest: Watermark,
    /// The rows with `after < column <= until`.
    pub between: RecordBatch,
    /// The rows with `column = after`.
    pub equal: RecordBatch,
    /// The rows whose value is NULL.
    pub nulls: RecordBatch,
}

/// Runs every check on a source.
pub async fn source(connection: &dyn Connection, case: &SourceCase) -> Result<()> {
    let source = connection
        .source()
        .ok_or_else(|| Error::new(ErrorKind::CheckFailed, "the connection has no reading side"))?;
    whole(source, case).await?;
    splits(source, case).await?;
    projection(source, case).await?;
    limit(source, case).await?;
    predicate(source, case).await?;
    dropped(source, case).await?;
    unknown(source, case).await?;
    match &case.window {
        Some(window) => windows(source, case, window).await,
        None => Ok(()),
    }
}

async fn rows(source: &dyn Source, read: &Read) -> Result<Rows> {
    Rows::scanned(&*source.scan(read).await?).await
}

fn equal(got: &Rows, expected: &RecordBatch, what: &'static str) -> Result<()> {
    let expected = Rows::of(expected)?;
    promise(*got == expected, what, || {
        format!("{got:?} instead of {expected:?}")
    })
}

async fn whole(source: &dyn Source, case: &SourceCase) -> Result<()> {
    let scan = source.scan(&case.read).await?;
    let names = |fields: &arrow::datatypes::Fields| {
        fields
            .iter()
            .map(|field| field.name().clone())
            .collect::<Vec<_>>()
    };
    let (got, expected) = (
        names(scan.schema().fields()),
        names(case.rows.schema().fields()),
    );
    promise(
        got == expected,
        "a scan has the columns of the table, in order",
        || format!("{got:?}"),
    )?;
    promise(
        !scan.describe().contains('\n'),
        "a description is one line",
        || scan.describe(),
    )?;
    equal(
        &Rows::scanned(&*scan).await?,
        &case.rows,
        "a scan holds every row exactly once",
    )
}

async fn splits(source: &dyn Source, case: &SourceCase) -> Result<()> {
    let scan = source.scan(&case.read).await?;
    let names: BTreeSet<&str> = scan
        .splits()
        .iter()
        .map(|split| split.name.as_str())
        .collect();
    promise(
        names.len() == scan.splits().len(),
        "the names of splits are unique",
        || format!("{names:?}"),
    )?;
    let mut backwards = Rows::default();
    for split in scan.splits().iter().rev() {
        let first = Rows::of_split(&*scan, split).await?;
        let again = Rows::of_split(&*scan, split).await?;
        promise(
            first == again,
            "a split can be read again with the same rows",
            || split.name.clone(),
        )?;
        backwards = backwards.and(&first);
    }
    equal(&backwards, &case.rows, "splits can be read in any order")?;
    let together = futures::future::try_join_all(
        scan.splits()
            .iter()
            .map(|split| Rows::of_split(&*scan, split)),
    );
    let together = together.await?.iter().fold(Rows::default(), Rows::and);
    equal(&together, &case.rows, "splits can be read at the same time")
}

async fn projection(source: &dyn Source, case: &SourceCase) -> Result<()> {
    let schema = case.rows.schema();
    let backwards: Vec<usize> = (0..schema.fields().len()).rev().collect();
    let expected = case.rows.project(&backwards)?;
    let names = expected
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let read = Read {
        columns: Some(names),
        ..case.read.clone()
    };
    equal(
        &rows(source, &read).await?,
        &expected,
        "columns come in the order they were asked for",
    )?;
    let read = Read {
        columns: Some(Vec::new()),
        ..case.read.clone()
    };
    let got = rows(source, &read).await?;
    promise(
        got.len() == case.rows.num_rows(),
        "a read of no columns still has every row",
        || format!("{got:?}"),
    )?;
    let read = Read {
        columns: Some(vec!["no such column".to_owned()]),
        ..case.read.clone()
    };
    let kind = failure_of(source, &read).await;
    promise(
        kind == Some(ErrorKind::NotFound),
        "a column that is not there is `not-found`",
        || format!("{kind:?}"),
    )
}

async fn limit(source: &dyn Source, case: &SourceCase) -> Result<()> {
    let all = Rows::of(&case.rows)?;
    let read = Read {
        limit: Some(2),
        ..case.read.clone()
    };
    let got = rows(source, &read).await?;
    promise(
        got.len() >= 2,
        "a limit leaves at least so many rows",
        || format!("{got:?}"),
    )?;
    promise(all.holds(&got), "a limit gives rows of the table", || {
        format!("{got:?}")
    })
}

async fn predicate(source: &dyn Source, case: &SourceCase) -> Result<()> {
    let Some((predicate, matching)) = &case.predicate else {
        return Ok(());
    };
    let read = Read {
        predicate: Some(predicate.clone()),
        ..case.read.clone()
    };
    let got = rows(source, &read).await?;
    promise(
        got.holds(&Rows::of(matching)?),
        "a predicate loses no row it is true for",
        || format!("{got:?}"),
    )?;
    promise(
        Rows::of(&case.rows)?.holds(&got),
        "a predicate adds no row",
        || format!("{got:?}"),
    )
}

async fn dropped(source: &dyn Source, case: &SourceCase) -> Result<()> {
    let scan = source.scan(&case.read).await?;
    if let Some(split) = scan.splits().first() {
        let mut batches = scan.read(split).await?;
        batches.next().await.transpose()?;
        drop(batches);
        drop(scan.read(split).await?);
    }
    equal(
        &Rows::scanned(&*scan).await?,
        &case.rows,
        "a read that was dropped disturbs no other",
    )
}

async fn unknown(source: &dyn Source, case: &SourceCase) -> Result<()> {
    let read = Read {
        from: From::Table(case.unknown.clone()),
        ..case.read.clone()
    };
    let kind = failure_of(source, &read).await;
    promise(
        kind == Some(ErrorKind::NotFound),
        "a table that is not there is `not-found`",
        || format!("{kind:?}"),
    )
}

async fn failure_of(source: &dyn Source, read: &Read) -> Option<ErrorKind> {
    source.scan(read).await.err().map(|error| error.kind())
}

async fn windows(source: &dyn Source, case: &SourceCase, known: &WindowCase) -> Result<()> {
    let window = |inclusive, nulls| Window {
        changes: false,
        column: Some(known.column.clone()),
        after: Some(known.after.clone()),
        inclusive,
        until: Some(known.until.clone()),
        nulls,
    };
    let read = |window| Read {
        window: Some(window),
        ..case.read.clone()
    };
    let highest = source.highest(&read(window(false, Nulls::Skip))).await?;
    let right = highest.as_ref() == Some(&known.highest);
    promise(right, "the highest watermark ignores the window", || {
        format!("{highest:?}")
    })?;

    let (between, ties, nulls) = (
        Rows::of(&known.between)?,
        Rows::of(&known.equal)?,
        Rows::of(&known.nulls)?,
    );
    let cases = [
        (
            false,
            Nulls::Skip,
            between.clone(),
            "a window holds `after < watermark <= until`",
        ),
        (
            true,
            Nulls::Skip,
            between.clone().and(&ties),
            "an inclusive window holds `after <= watermark <= until`",
        ),
        (
            false,
            Nulls::Read,
            between.and(&nulls),
            "`nulls: read` adds the rows whose watermark is NULL",
        ),
    ];
    for (inclusive, nulls, expected, what) in cases {
        let got = rows(source, &read(window(inclusive, nulls))).await?;
        promise(got == expected, what, || {
            format!("{got:?} instead of {expected:?}")
        })?;
    }
    let refused = match source.scan(&read(window(false, Nulls::Fail))).await {
        Ok(scan) => Rows::scanned(&*scan).await.err(),
        Err(error) => Some(error),
    };
    let named = refused.is_some_and(|error| error.message().contains(&known.column));
    promise(
        named,
        "`nulls: fail` fails and names the column",
        String::new,
    )
}
