//! Giving up a run that was left behind and can never be finished.
//!
//! Nothing is written but the end of its log. What the run had committed stays; what it had not is read again by the next
//! run, which goes on from where the tables say they stand. Loads of one extract have one window: where a run has moved
//! some of them and not the others, the next run serves those that are behind alone, up to where the others stand. Only
//! where nobody can tell which of two places is further, the run is not given up.

use connectors::{Error, ErrorKind, Result};
use spec::model::{LoadMode, PipelineId, StepName, Target};
use spec::plan::{Action, Plan, PlannedStep};

use crate::engine::{Engine, loads, planned};
use crate::execute::{Committed, committed_before, hold_off};
use crate::state::{Lease, RunEvent, RunId, RunRecord};
use crate::watermark::{from_json, is_before};

/// A run that was given up.
#[derive(Clone, Debug)]
pub struct AbandonedRun {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// What it was to write.
    pub tables: Vec<AbandonedTable>,
}

/// What a run that was given up was to write, and what becomes of it.
#[derive(Clone, Debug)]
pub struct AbandonedTable {
    /// The load; the check, for a table of quarantined rows.
    pub step: StepName,
    /// Where.
    pub target: String,
    /// Whether the rows of the run are visible there. Then they stay.
    pub committed: bool,
    /// The Iceberg snapshot that made them visible.
    pub snapshot: Option<i64>,
    /// What later runs do there.
    pub next: NextRun,
}

/// What later runs do to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRun {
    /// They bring the rows that it does not have, from where it stands.
    GoesOn,
    /// They replace all it has.
    Replaces,
    /// They update by key.
    Merges,
    /// They add the rows that it does not have then, known by their key.
    AddsNew,
    /// They make it where it is not there, and leave it as it is where it is.
    Makes,
    /// They append everything that the source has then, to whatever is there.
    AppendsAll,
    /// They set aside the rows that fail then, beside those that are there.
    SetsAside,
}

impl Engine {
    /// Gives up a run that has not ended and that nobody is at.
    ///
    /// # Errors
    /// `NotFound` where there is no such run; `Conflict` where somebody is at it; `InvalidInput` where it has ended, or
    /// has committed everything; `Unsupported` where no later run could make the tables whole.
    pub async fn abandon(&self, run: RunId) -> Result<AbandonedRun> {
        let state = self.state().await?;
        let plan = self.open_plan(run).await?;
        let pipeline = plan.pipeline.clone();
        let lease = state.lock(&pipeline).await?;
        let done = self.give_up(run, &plan, &lease).await;
        if let Err(error) = lease.release().await {
            tracing::warn!(%error, %pipeline, "the pipeline's lock could not be given back");
        }
        Ok(AbandonedRun {
            run,
            pipeline,
            tables: done?,
        })
    }

    /// The plan of a run that has not ended.
    async fn open_plan(&self, run: RunId) -> Result<Plan> {
        let events = self.state().await?.events(run).await?;
        let started = events.first().and_then(|first| match &first.event {
            RunEvent::Started { plan, .. } => Some(plan.pipeline.clone()),
            _ => None,
        });
        let Some(pipeline) = started else {
            return Err(
                Error::new(ErrorKind::NotFound, format!("there is no run `{run}`"))
                    .help("`lakewright runs` lists them"),
            );
        };
        let record = RunRecord {
            run,
            pipeline,
            events,
        };
        let status = record.status()?;
        if status.has_ended() {
            let phase = status.phase.as_str();
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("run `{run}` has ended: {phase}"),
            )
            .help("only a run that was interrupted can be given up"));
        }
        planned(&record).ok_or_else(|| {
            Error::new(ErrorKind::InvalidData, "the run has no plan").with("run", run)
        })
    }

    /// Under the lock of the pipeline.
    async fn give_up(&self, run: RunId, plan: &Plan, lease: &Lease) -> Result<Vec<AbandonedTable>> {
        // Again, since somebody may have ended it until the lock was free.
        self.open_plan(run).await?;
        hold_off(self, plan, lease.fence()).await?;
        let before = committed_before(self, plan, &run.to_string()).await?;
        let is_done = |load: &StepName| before.iter().any(|done| done.step == *load);
        if loads(plan).all(is_done) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("run `{run}` has committed everything"),
            )
            .help(format!(
                "`lakewright run {}` finds that out and ends it well",
                plan.pipeline
            )));
        }
        one_window_for_all(run, plan, &is_done)?;
        let tables: Vec<AbandonedTable> = plan
            .steps
            .iter()
            .filter_map(|step| table(step, &before))
            .collect();
        let why = why(&tables);
        let event = RunEvent::Abandoned { why };
        let state = self.state().await?;
        state.append(lease, run, event, self.now()).await?;
        Ok(tables)
    }
}

/// Refuses where loads of one incremental extract would stand at different places from now on, and nobody could tell
/// which of them is behind.
fn one_window_for_all(run: RunId, plan: &Plan, is_done: &dyn Fn(&StepName) -> bool) -> Result<()> {
    for extract in &plan.steps {
        let Action::Extract(planned) = &extract.action else {
            continue;
        };
        let Some(window) = &planned.window else {
            continue;
        };
        let place = |json: &Option<serde_json::Value>| json.as_ref().map(from_json).transpose();
        let (last, until) = (place(&window.last)?, place(&window.until)?);
        if last == until || is_before(last.as_ref(), until.as_ref()) {
            continue;
        }
        let reading = plan.steps.iter().filter(|step| {
            matches!(&step.action, Action::Load(load) if load.watermarks_of.contains(&extract.name))
        });
        let (ahead, behind): (Vec<_>, Vec<_>) = reading
            .map(|step| &step.name)
            .partition(|load| is_done(load));
        if !ahead.is_empty() && !behind.is_empty() {
            return Err(parted(run, &extract.name, &ahead, &behind));
        }
    }
    Ok(())
}

fn parted(run: RunId, extract: &StepName, ahead: &[&StepName], behind: &[&StepName]) -> Error {
    let listed = |names: &[&StepName]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    Error::new(
        ErrorKind::Unsupported,
        format!("loads of `{extract}` would stand at different places, and nobody could tell which is further"),
    )
    .with("run", run)
    .with("committed", listed(ahead))
    .with("not committed", listed(behind))
    .help(
        "make the source what it was and run the pipeline again; or roll the tables of the committed loads back to \
         the snapshot before this run's, after which the run has committed nothing of them",
    )
}

/// What a step was to write; a table of quarantined rows counts only where there is something in it.
fn table(step: &PlannedStep, before: &[Committed]) -> Option<AbandonedTable> {
    let done = before.iter().find(|done| done.step == step.name);
    let (target, next) = match &step.action {
        Action::Load(load) if load.change.is_idle() => return None,
        Action::Load(load) => {
            let next = match &load.mode {
                LoadMode::Replace | LoadMode::ReplaceWhere(_) | LoadMode::ReplacePartitions => {
                    NextRun::Replaces
                }
                _ if !load.watermarks_of.is_empty() => NextRun::GoesOn,
                LoadMode::Merge(_) => NextRun::Merges,
                LoadMode::AppendNew(_) => NextRun::AddsNew,
                LoadMode::CreateOnly => NextRun::Makes,
                LoadMode::Append => NextRun::AppendsAll,
            };
            let target = match &load.target {
                Target::Lake(table) => table.to_string(),
                Target::Connection { connection, table } => format!("{connection}: {table}"),
            };
            (target, next)
        }
        Action::Check(check) if done.is_some() => {
            (check.quarantine.as_ref()?.to_string(), NextRun::SetsAside)
        }
        Action::Extract(_) | Action::Transform(_) | Action::Check(_) => return None,
    };
    Some(AbandonedTable {
        step: step.name.clone(),
        target,
        committed: done.is_some(),
        snapshot: done.and_then(|done| done.snapshot),
        next,
    })
}

/// For whoever reads the log later.
fn why(tables: &[AbandonedTable]) -> String {
    let names = |committed: bool| {
        let of = tables.iter().filter(|table| table.committed == committed);
        let names: Vec<String> = of.map(|table| format!("`{}`", table.step)).collect();
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    format!(
        "given up by hand; committed: {}; not committed: {}",
        names(true),
        names(false)
    )
}
