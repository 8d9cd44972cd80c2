//! How far an extract has been read: what the targets of its rows say.

use connectors::{Error, ErrorKind, Result, Watermark};
use serde::{Deserialize, Serialize};
use spec::graph::Graph;
use spec::model::{
    ConnectionName, Extract, ExtractMode, From, Load, LoadMode, Pipeline, Step, StepKind, StepName,
    TableRef, Target,
};
use spec::plan::{Action, PlannedExtract};

use crate::engine::Engine;
use crate::open::table_id;
use crate::watermark;

/// A watermark as a commit keeps it: with what it is a watermark of.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    of: Origin,
    until: serde_json::Value,
}

/// What a watermark is a watermark of. The text of a query may change; what it reads may not.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    connection: ConnectionName,
    table: Option<String>,
    column: Option<String>,
}

impl Origin {
    fn new(connection: &ConnectionName, from: &From, column: Option<&String>) -> Self {
        let table = match from {
            From::Table(table) => Some(table.clone()),
            From::Query(_) => None,
        };
        Self {
            connection: connection.clone(),
            table,
            column: column.cloned(),
        }
    }
}

/// What a commit keeps of an extract: nothing, where it reads everything or there was nothing to read.
pub(crate) fn kept(extract: &PlannedExtract) -> Option<String> {
    let window = extract.window.as_ref()?;
    let kept = Kept {
        of: Origin::new(&extract.connection, &extract.from, window.column.as_ref()),
        until: window.until.clone()?,
    };
    serde_json::to_string(&kept).ok()
}

/// How far an extract has been read. All targets that its rows reach must agree, since one window has to serve them all.
pub(crate) async fn last_read(
    engine: &Engine,
    graph: &Graph,
    pipeline: &Pipeline,
    step: &Step,
) -> Result<Option<Watermark>> {
    let mut said: Option<(&StepName, Option<Watermark>)> = None;
    for reader in &pipeline.steps {
        let StepKind::Load(load) = &reader.kind else {
            continue;
        };
        let extracts = graph.extracts_of(pipeline, &reader.name);
        if !extracts.contains(&step.name) {
            continue;
        }
        one_window(pipeline, load, &extracts)?;
        let here = said_by(engine, pipeline, load, step).await?;
        match &said {
            Some((other, there)) if *there != here => return Err(disagree(other, &reader.name)),
            _ => said = Some((&reader.name, here)),
        }
    }
    Ok(said.and_then(|(_, watermark)| watermark))
}

/// Rows that are read again are known by the key of their window: an append can know the rows of one.
fn one_window(pipeline: &Pipeline, load: &Load, extracts: &[StepName]) -> Result<()> {
    let incremental = pipeline.steps.iter().filter(|step| {
        extracts.contains(&step.name)
            && matches!(&step.kind, StepKind::Extract(extract) if extract.mode != ExtractMode::Full)
    });
    if load.mode == LoadMode::Append && incremental.count() > 1 {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "an append has the rows of more than one incremental extract",
        )
        .help("load each of them into a table of its own, and read those tables together"));
    }
    Ok(())
}

async fn said_by(
    engine: &Engine,
    pipeline: &Pipeline,
    load: &Load,
    step: &Step,
) -> Result<Option<Watermark>> {
    let StepKind::Extract(extract) = &step.kind else {
        return Ok(None);
    };
    match &load.target {
        Target::Lake(table) => said_by_table(engine, pipeline, table, step, extract).await,
        // Other systems keep no watermarks of ours: the last run that succeeded says what it read.
        Target::Connection { .. } => {
            let Some(plan) = engine.last_success(&pipeline.id).await? else {
                return Ok(None);
            };
            let planned = plan.step(&step.name).map(|step| &step.action);
            let Some(Action::Extract(planned)) = planned else {
                return Ok(None);
            };
            let Some(window) = &planned.window else {
                return Ok(None);
            };
            let of = Origin::new(&planned.connection, &planned.from, window.column.as_ref());
            same_origin(&of, extract, &step.name)?;
            window.until.as_ref().map(watermark::from_json).transpose()
        }
    }
}

async fn said_by_table(
    engine: &Engine,
    pipeline: &Pipeline,
    table: &TableRef,
    step: &Step,
    extract: &Extract,
) -> Result<Option<Watermark>> {
    let Some(found) = engine.lake().await?.table(&table_id(table)).await? else {
        return Ok(None);
    };
    let Some(text) = found.watermark(&pipeline.id.to_string(), step.name.as_str()) else {
        return match found.last_run() {
            Some(last) if !last.watermarks.is_empty() => Err(renamed(table, step, &last.pipeline)),
            _ => Ok(None),
        };
    };
    let kept: Kept = serde_json::from_str(&text).map_err(|error| {
        Error::new(
            ErrorKind::InvalidData,
            "a watermark in a snapshot cannot be read",
        )
        .with("table", table)
        .caused_by(error)
    })?;
    same_origin(&kept.of, extract, &step.name)?;
    watermark::from_json(&kept.until).map(Some)
}

fn same_origin(of: &Origin, extract: &Extract, step: &StepName) -> Result<()> {
    let column = match &extract.mode {
        ExtractMode::Incremental(by) => by.column.as_ref(),
        ExtractMode::Full => None,
    };
    if *of == Origin::new(&extract.connection, &extract.from, column) {
        return Ok(());
    }
    let read = of.table.as_deref().unwrap_or("a query");
    Err(Error::new(
        ErrorKind::Conflict,
        format!("`{step}` has read something else so far, and its watermark does not fit"),
    )
    .with("read so far", format!("{read} in {}", of.connection))
    .help("give the changed extract another name and load it into a new table")
    .retry(false))
}

fn renamed(table: &TableRef, step: &Step, pipeline: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("`{table}` has rows of another incremental extract, and `{}` would read everything again", step.name),
    )
    .with("loaded by", pipeline)
    .help("keep the names of the pipeline and the extract, or load into a new table")
    .retry(false)
}

fn disagree(one: &StepName, other: &StepName) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("the loads `{one}` and `{other}` have read to different places"),
    )
    .help("give the new load a pipeline of its own, or start both anew with new tables")
    .retry(false)
}
