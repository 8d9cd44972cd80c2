//! How far an extract has been read: what the targets of its rows say, each of which remembers it in the commit of the
//! rows themselves.
//!
//! Knows what a lake's table and what another system's remembers. Asks the log only about tables that were last loaded
//! before other systems remembered more than runs.

use std::fmt::Display;

use connectors::{Error, ErrorKind, Remembered, Result, Stamp, Watermark, registry};
use serde::{Deserialize, Serialize};
use spec::graph::Graph;
use spec::model::{
    ConnectionName, Extract, ExtractMode, From, Load, Pipeline, PipelineId, Step, StepKind,
    StepName, TableRef, Target,
};
use spec::plan::{Action, Plan, PlannedExtract, PlannedLoad, PlannedStep};

use crate::engine::Engine;
use crate::open::table_id;
use crate::watermark::{self, is_before};

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

impl Kept {
    fn read(text: &str, table: impl Display) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::new(
                ErrorKind::InvalidData,
                "a watermark that a table remembers cannot be read",
            )
            .with("table", table)
            .caused_by(error)
        })
    }
}

impl Origin {
    fn of(extract: &Extract) -> Self {
        let column = match &extract.mode {
            ExtractMode::Incremental(by) => by.column.as_ref(),
            ExtractMode::Full => None,
        };
        Self::new(&extract.connection, &extract.from, column)
    }

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

/// How far the extract had been read, of which a commit keeps this.
pub(crate) fn kept_until(text: &str, table: impl Display) -> Result<Watermark> {
    watermark::from_json(&Kept::read(text, table)?.until)
}

/// How far an extract has been read.
pub(crate) struct LastRead {
    /// From where it is read on.
    pub(crate) from: Option<Watermark>,
    /// Where it ends, where some of its loads stand there already.
    pub(crate) to: Option<Watermark>,
    /// The loads that stand further on than `from`.
    pub(crate) ahead: Vec<StepName>,
}

impl LastRead {
    /// One window has to serve all loads that take part. Where they stand at different places, those that have come least
    /// far are served alone, up to where the next of the others stands.
    fn of(said: &[(StepName, Option<Watermark>)]) -> Result<Self> {
        let Some((_, first)) = said.first() else {
            return Ok(Self {
                from: None,
                to: None,
                ahead: Vec::new(),
            });
        };
        let least = |one: Option<Watermark>, other: &Option<Watermark>| {
            if is_before(other.as_ref(), one.as_ref()) {
                other.clone()
            } else {
                one
            }
        };
        let places = || said.iter().map(|(_, place)| place);
        let from = places().fold(first.clone(), least);
        let mut further = places().filter(|place| **place != from);
        let to = match further.next() {
            Some(next) => further.fold(next.clone(), least),
            None => None,
        };
        let ahead = said.iter().filter(|(_, place)| *place != from);
        for (name, place) in ahead.clone() {
            // Where nobody can tell which is further, no window would surely be right.
            let surely = *place == to || is_before(to.as_ref(), place.as_ref());
            if !surely || !is_before(from.as_ref(), place.as_ref()) {
                let behind = said.iter().find(|(_, place)| *place == from);
                return Err(disagree(behind.map_or(name, |(name, _)| name), name));
            }
        }
        let ahead = ahead.map(|(name, _)| name.clone()).collect();
        Ok(Self { from, to, ahead })
    }
}

/// How far an extract has been read, by what the targets say that its rows reach.
pub(crate) async fn last_read(
    engine: &Engine,
    graph: &Graph,
    pipeline: &Pipeline,
    step: &Step,
) -> Result<LastRead> {
    let mut said = Vec::new();
    for reader in &pipeline.steps {
        let StepKind::Load(load) = &reader.kind else {
            continue;
        };
        let extracts = graph.extracts_of(pipeline, &reader.name);
        if !extracts.contains(&step.name) {
            continue;
        }
        let here = said_by(engine, pipeline, (&reader.name, load), step).await?;
        said.push((reader.name.clone(), here));
    }
    LastRead::of(&said)
}

async fn said_by(
    engine: &Engine,
    pipeline: &Pipeline,
    (name, load): (&StepName, &Load),
    step: &Step,
) -> Result<Option<Watermark>> {
    let StepKind::Extract(extract) = &step.kind else {
        return Ok(None);
    };
    match &load.target {
        Target::Lake(table) => said_by_table(engine, pipeline, table, step, extract).await,
        Target::Connection { connection, table } => {
            let remembered = remembered(engine, connection, table).await?;
            let asked = Asked {
                pipeline,
                load: name,
                table,
                step,
                extract,
            };
            asked.said_by_connection(engine, &remembered).await
        }
    }
}

/// What another system remembers of a table.
async fn remembered(
    engine: &Engine,
    name: &ConnectionName,
    table: &str,
) -> Result<Vec<Remembered>> {
    let spec = engine.project().connections.get(name);
    let capability = spec.and_then(|spec| Some(registry::find(&spec.connector)?.capability()));
    let remembers = capability.and_then(|capability| capability.sink);
    if !remembers.is_some_and(|sink| sink.remembers) {
        return Err(forgets(name, table));
    }
    let connection = engine.connection(name).await?;
    match connection.sink() {
        Some(sink) => sink.remembered(table).await,
        None => Ok(Vec::new()),
    }
}

/// A question to a table of another system: how far this load has read this extract.
struct Asked<'a> {
    pipeline: &'a Pipeline,
    load: &'a StepName,
    table: &'a str,
    step: &'a Step,
    extract: &'a Extract,
}

impl Asked<'_> {
    async fn said_by_connection(
        &self,
        engine: &Engine,
        remembered: &[Remembered],
    ) -> Result<Option<Watermark>> {
        let newest = of_load(remembered, &self.pipeline.id, self.load).next();
        let step = self.step.name.as_str();
        if let Some(text) = newest.and_then(|(_, stamp)| stamp.watermarks.get(step)) {
            let kept = Kept::read(text, self.table)?;
            same_origin(&kept.of, self.extract, &self.step.name)?;
            return watermark::from_json(&kept.until).map(Some);
        }
        // Others may load the same table; what reads the same thing under another name is this load, renamed.
        let origin = Origin::of(self.extract);
        for stamp in remembered.iter().filter_map(|commit| commit.stamp.as_ref()) {
            for text in stamp.watermarks.values() {
                if Kept::read(text, self.table)?.of == origin {
                    let by = format!("{} of {}", stamp.load, stamp.pipeline);
                    return Err(renamed(self.table, self.step, &by));
                }
            }
        }
        if !remembered
            .iter()
            .any(|commit| by_run_only(commit, self.load))
        {
            return Ok(None);
        }
        let Some(plan) = engine.last_success(&self.pipeline.id).await? else {
            return Err(unknown(self.table));
        };
        self.said_by_plan(&plan)
    }

    /// What a run of the log read, for tables that were loaded before they remembered watermarks.
    fn said_by_plan(&self, plan: &Plan) -> Result<Option<Watermark>> {
        let planned = plan.step(&self.step.name).map(|step| &step.action);
        let Some(Action::Extract(planned)) = planned else {
            return Ok(None);
        };
        let Some(window) = &planned.window else {
            return Ok(None);
        };
        let of = Origin::new(&planned.connection, &planned.from, window.column.as_ref());
        same_origin(&of, self.extract, &self.step.name)?;
        window.until.as_ref().map(watermark::from_json).transpose()
    }
}

/// The commits of a load and their stamps, the newest first.
fn of_load<'a>(
    remembered: &'a [Remembered],
    pipeline: &PipelineId,
    load: &StepName,
) -> impl Iterator<Item = (&'a Remembered, &'a Stamp)> {
    let pipeline = pipeline.to_string();
    remembered.iter().filter_map(move |commit| {
        let stamp = commit.stamp.as_ref()?;
        let mine = stamp.pipeline == pipeline && stamp.load == load.as_str();
        mine.then_some((commit, stamp))
    })
}

/// Whether a commit is of this load, by the name of its run alone.
fn by_run_only(commit: &Remembered, load: &StepName) -> bool {
    commit.stamp.is_none() && commit.run.ends_with(&format!("-{load}"))
}

/// The commit that a load's rows go on from: the newest that its table remembers. Refuses where that is not the one that
/// the plan was made on, as when two machines without a common state run the same pipeline.
pub(crate) fn goes_on_from(
    plan: &Plan,
    step: &PlannedStep,
    load: &PlannedLoad,
    remembered: &[Remembered],
) -> Result<Option<i64>> {
    let newest = of_load(remembered, &plan.pipeline, &step.name).next();
    for name in &load.watermarks_of {
        let Some(Action::Extract(extract)) = plan.step(name).map(|step| &step.action) else {
            continue;
        };
        let planned = extract
            .window
            .as_ref()
            .and_then(|window| window.last.as_ref());
        let text = newest.and_then(|(_, stamp)| stamp.watermarks.get(name.as_str()));
        if text.is_none()
            && remembered
                .iter()
                .any(|commit| by_run_only(commit, &step.name))
        {
            continue;
        }
        let now = match text {
            Some(text) => Some(Kept::read(text, name)?.until),
            None => None,
        };
        if planned != now.as_ref() {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the table has been loaded further since the plan was made",
            )
            .with("extract", name)
            .help("run the pipeline again: it goes on from there")
            .retry(false));
        }
    }
    Ok(newest.map(|(commit, _)| commit.position))
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
    let kept = Kept::read(&text, table)?;
    same_origin(&kept.of, extract, &step.name)?;
    watermark::from_json(&kept.until).map(Some)
}

fn same_origin(of: &Origin, extract: &Extract, step: &StepName) -> Result<()> {
    if *of == Origin::of(extract) {
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

fn renamed(table: impl Display, step: &Step, pipeline: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("`{table}` has rows of another incremental extract, and `{}` would read everything again", step.name),
    )
    .with("loaded by", pipeline)
    .help("keep the names of the pipeline and the extract, or load into a new table")
    .retry(false)
}

pub(crate) fn disagree(one: &StepName, other: &StepName) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("the loads `{one}` and `{other}` have read to different places, and nobody can tell which is further"),
    )
    .help("roll the table of one back to where the other stands, or start both anew with new tables")
    .retry(false)
}

fn forgets(connection: &ConnectionName, table: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("`{table}` in {connection} cannot remember how far its rows have been read"),
    )
    .help("load rows of an incremental extract into a table of the lake or a database, or read with `mode: full`")
}

fn unknown(table: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("`{table}` was loaded by an earlier version, and no run on record says how far"),
    )
    .help("bring the state of that version back for one run, or load into a new table")
    .retry(false)
}
