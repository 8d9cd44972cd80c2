//! What a sink promises. What was written is read back through the same connection.

use arrow::array::RecordBatch;

use super::memory;
use super::promise;
use super::rows::Rows;
use crate::contract::{Connection, Read, Sink, Stage, Staged, Write, WriteMode};
use crate::error::{Error, ErrorKind, Result};

/// A place to write to, and two lots of rows.
#[derive(Clone, Debug)]
pub struct SinkCase {
    /// The table or path; nothing is there yet.
    pub table: String,
    /// How to write.
    pub mode: WriteMode,
    /// `options:` of the load.
    pub options: serde_json::Value,
    /// What the first run writes.
    pub first: RecordBatch,
    /// What the second run writes; the same columns.
    pub second: RecordBatch,
    /// What is there after both.
    pub both: RecordBatch,
    /// Whether the connector says that it [`remembers`](crate::SinkCapability::remembers).
    pub remembers: bool,
}

/// Runs every check on a sink.
pub async fn sink(connection: &dyn Connection, case: &SinkCase) -> Result<()> {
    let sink = connection
        .sink()
        .ok_or_else(|| Error::new(ErrorKind::CheckFailed, "the connection has no writing side"))?;
    let there = sink.table(&case.table).await?;
    promise(
        there.is_none(),
        "a table that is not there has no columns",
        || format!("{there:?}"),
    )?;
    promise(
        !sink.committed(&case.write("run-1")).await?,
        "a run that wrote nothing is not committed",
        String::new,
    )?;

    drop(case.stage(sink, "run-1", &case.first).await?);
    drop(case.finish(sink, "run-1", &case.first).await?);
    expect(
        connection,
        case,
        &Rows::default(),
        "a stage that is dropped leaves nothing",
    )
    .await?;

    let first = Rows::of(&case.first)?;
    let staged = case.finish(sink, "run-1", &case.first).await?;
    expect(
        connection,
        case,
        &Rows::default(),
        "staged rows are visible to nobody",
    )
    .await?;
    let count = staged.commit().await?;
    promise(
        count == first.len() as u64,
        "a commit says how many rows it brought",
        || count.to_string(),
    )?;
    expect(connection, case, &first, "committed rows are visible").await?;
    again(connection, sink, case, "run-1", &case.first, &first).await?;

    let both = Rows::of(&case.both)?;
    let staged = case.finish(sink, "run-2", &case.second).await?;
    expect(
        connection,
        case,
        &first,
        "staged rows do not disturb those that are there",
    )
    .await?;
    staged.commit().await?;
    expect(
        connection,
        case,
        &both,
        "the rows of both runs meet as the mode says",
    )
    .await?;
    again(connection, sink, case, "run-2", &case.second, &both).await?;

    let columns = sink.table(&case.table).await?;
    let same = columns
        .as_ref()
        .is_some_and(|columns| columns.fields().len() == case.first.num_columns());
    promise(same, "a table that was written has its columns", || {
        format!("{columns:?}")
    })?;
    memory::remembers(connection, sink, case, both).await
}

/// The same run writes once more: as an engine does that crashed after its commit, without asking first.
async fn again(
    connection: &dyn Connection,
    sink: &dyn Sink,
    case: &SinkCase,
    run: &str,
    rows: &RecordBatch,
    expected: &Rows,
) -> Result<()> {
    if case.mode != WriteMode::Replace {
        let committed = sink.committed(&case.write(run)).await?;
        promise(committed, "a committed run is known to be", || {
            run.to_owned()
        })?;
    }
    let count = case.finish(sink, run, rows).await?.commit().await?;
    if case.remembers {
        promise(
            count == 0,
            "a run that is committed already changes no rows",
            || count.to_string(),
        )?;
    }
    expect(connection, case, expected, "the same run doubles nothing").await
}

pub(super) async fn expect(
    connection: &dyn Connection,
    case: &SinkCase,
    rows: &Rows,
    what: &'static str,
) -> Result<()> {
    let got = visible(connection, case).await?;
    promise(got == *rows, what, || {
        format!("{got:?} instead of {rows:?}")
    })
}

async fn visible(connection: &dyn Connection, case: &SinkCase) -> Result<Rows> {
    let source = connection.source().ok_or_else(|| {
        Error::new(
            ErrorKind::CheckFailed,
            "what was written cannot be read back",
        )
    })?;
    match source.scan(&Read::table(&case.table)).await {
        Ok(scan) => Rows::scanned(&*scan).await,
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Rows::default()),
        Err(error) => Err(error),
    }
}

impl SinkCase {
    pub(super) fn write(&self, run: &str) -> Write {
        Write {
            options: self.options.clone(),
            ..Write::new(&self.table, self.mode.clone(), run)
        }
    }

    async fn stage(
        &self,
        sink: &dyn Sink,
        run: &str,
        rows: &RecordBatch,
    ) -> Result<Box<dyn Stage>> {
        stage(sink, &self.write(run), rows).await
    }

    async fn finish(
        &self,
        sink: &dyn Sink,
        run: &str,
        rows: &RecordBatch,
    ) -> Result<Box<dyn Staged>> {
        self.stage(sink, run, rows).await?.finish().await
    }
}

/// Stages the rows in two batches.
pub(super) async fn stage(
    sink: &dyn Sink,
    write: &Write,
    rows: &RecordBatch,
) -> Result<Box<dyn Stage>> {
    let mut stage = sink.stage(write, rows.schema()).await?;
    let half = rows.num_rows() / 2;
    stage.write(&rows.slice(0, half)).await?;
    stage
        .write(&rows.slice(half, rows.num_rows() - half))
        .await?;
    Ok(stage)
}
