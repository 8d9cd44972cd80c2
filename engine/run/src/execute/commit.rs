//! The point of no return: staged rows become visible.

use std::collections::BTreeMap;

use connectors::{Fence, Result};
use spec::model::{ConnectionName, LoadMode, StepName, Target};
use spec::plan::{Action, Change, Plan, PlannedCheck, PlannedLoad, PlannedStep};
use tokio_util::sync::CancellationToken;

use super::executor::{Attempt, Executor};
use super::load::{StagedLoad, Staging, write_of};
use crate::engine::Engine;
use crate::lake::Stamp;
use crate::last_read::kept;
use crate::open::table_id;
use crate::progress::ProgressEvent;

/// Rows that are visible.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) step: StepName,
    pub(crate) target: String,
    pub(crate) rows: u64,
    pub(crate) snapshot: Option<i64>,
    /// An earlier attempt of the same run had done it.
    pub(crate) already: bool,
}

impl Executor<'_> {
    /// Makes the next target's rows visible, with those of others where that is one step; nothing when all are. `cancel`
    /// ends an audit, before which nothing is visible.
    pub(crate) async fn commit_next(
        &mut self,
        cancel: &CancellationToken,
    ) -> Result<Vec<Committed>> {
        let loads = self.next_loads().await?;
        let done = self.attempt.commit(loads, cancel).await?;
        for committed in &done {
            self.attempt.progress.event(ProgressEvent::Committed {
                step: committed.step.clone(),
                target: committed.target.clone(),
                rows: committed.rows,
                snapshot: committed.snapshot,
                already: committed.already,
            });
        }
        Ok(done)
    }

    /// Whether there are rows left to commit.
    pub(crate) fn commits_more(&self) -> bool {
        !self.staged.is_empty()
    }

    /// The next loads that are committed at once.
    async fn next_loads(&mut self) -> Result<Vec<StagedLoad>> {
        if self.attempt.plan.audits {
            let of_lake = self.take_of_lake();
            if !of_lake.is_empty() {
                // Before all audits hold nothing is visible anywhere.
                return Ok(of_lake);
            }
        }
        let Some(load) = self.staged.pop_front() else {
            return Ok(Vec::new());
        };
        let mut loads = vec![load];
        let makes_tables = loads
            .iter()
            .chain(&self.staged)
            .any(StagedLoad::makes_table);
        let is_of_lake = loads.iter().all(StagedLoad::is_of_lake);
        if is_of_lake && self.attempt.goes_together(makes_tables).await? {
            loads.extend(self.take_of_lake());
        }
        Ok(loads)
    }

    /// Takes out the loads of the lake that are left.
    fn take_of_lake(&mut self) -> Vec<StagedLoad> {
        let staged = std::mem::take(&mut self.staged).into_iter();
        let (of_lake, others): (Vec<_>, Vec<_>) = staged.partition(StagedLoad::is_of_lake);
        self.staged = others.into();
        of_lake
    }
}

impl Attempt<'_> {
    /// Commits loads: all or none of those to the lake.
    async fn commit(
        &self,
        loads: Vec<StagedLoad>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Committed>> {
        let is_idle = |load: &StagedLoad| load.rows == 0 && self.changes_nothing(&load.step);
        let (idle, loads): (Vec<_>, Vec<_>) = loads.into_iter().partition(is_idle);
        let idle = idle.into_iter().map(|load| Committed {
            step: load.step,
            target: load.target,
            rows: 0,
            snapshot: None,
            already: false,
        });
        let mut done: Vec<Committed> = idle.collect();
        let (of_lake, others): (Vec<_>, Vec<_>) =
            loads.into_iter().partition(StagedLoad::is_of_lake);
        done.extend(if self.plan.audits {
            Box::pin(self.publish_audited(of_lake, cancel)).await?
        } else {
            self.publish(of_lake).await?
        });
        for load in others {
            let step = load.step.clone();
            let committed = self.commit_elsewhere(load).await;
            done.extend(committed.map_err(|error| error.with("step", &step))?);
        }
        Ok(done)
    }

    /// Commits a load to another system.
    async fn commit_elsewhere(&self, load: StagedLoad) -> Result<Option<Committed>> {
        let Staging::Connection {
            connection,
            write,
            staged,
        } = load.staging
        else {
            return Ok(None);
        };
        let connection = self.engine.connection(&connection).await?;
        let already = match connection.sink() {
            Some(sink) => sink.committed(&write).await?,
            None => false,
        };
        Ok(Some(Committed {
            step: load.step,
            target: load.target,
            rows: if already { 0 } else { staged.commit().await? },
            snapshot: None,
            already,
        }))
    }

    /// Whether changing no rows would only add an empty snapshot: the table is there, and no watermark moves.
    fn changes_nothing(&self, step: &StepName) -> bool {
        let Some(Action::Load(load)) = self.plan.step(step).map(|step| &step.action) else {
            return false;
        };
        let stands = |extract: &StepName| match self.plan.step(extract).map(|step| &step.action) {
            Some(Action::Extract(extract)) => extract
                .window
                .as_ref()
                .is_none_or(|window| window.last == window.until),
            _ => true,
        };
        load.mode != LoadMode::Replace
            && load.change == Change::Unchanged
            && load.watermarks_of.iter().all(stands)
    }

    /// What a table of the lake remembers of a load from its commit on.
    pub(super) fn lake_stamp(&self, extracts: &[StepName]) -> Stamp {
        Stamp {
            run: self.run.to_owned(),
            pipeline: self.plan.pipeline.to_string(),
            fingerprint: self.plan.fingerprint.to_string(),
            watermarks: self.watermarks(extracts),
            now_ms: self.engine.now().timestamp_millis(),
            fence: Some(self.fence.clone()),
        }
    }

    /// What another system remembers of a load from its commit on.
    pub(super) fn stamp(&self, load: &StepName, extracts: &[StepName]) -> connectors::Stamp {
        connectors::Stamp {
            pipeline: self.plan.pipeline.to_string(),
            load: load.to_string(),
            fingerprint: self.plan.fingerprint.to_string(),
            watermarks: self.watermarks(extracts),
        }
    }

    /// How far the extracts of a load have been read once it is committed.
    fn watermarks(&self, extracts: &[StepName]) -> BTreeMap<String, String> {
        let until = |name: &StepName| match &self.plan.step(name)?.action {
            Action::Extract(extract) => kept(extract),
            Action::Transform(_) | Action::Check(_) | Action::Load(_) => None,
        };
        let kept = extracts
            .iter()
            .filter_map(|name| Some((name.to_string(), until(name)?)));
        kept.collect()
    }
}

/// Sees to it that nobody with an older lease commits to the targets of a plan any more, as far as they can: whoever was
/// at the run may only have stood still. What was on its way is committed then, or never will be.
pub(crate) async fn hold_off(engine: &Engine, plan: &Plan, fence: &Fence) -> Result<()> {
    let mut lake = false;
    for step in &plan.steps {
        match &step.action {
            Action::Load(PlannedLoad {
                target: Target::Connection { connection, table },
                ..
            }) => {
                if let Some(sink) = engine.connection(connection).await?.sink() {
                    sink.raise(table, fence).await?;
                }
            }
            Action::Load(_) => lake = true,
            Action::Check(check) => lake = lake || check.quarantine.is_some(),
            Action::Extract(_) | Action::Transform(_) => {}
        }
    }
    if lake {
        let fences = std::slice::from_ref(fence);
        engine.lake().await?.raise(fences).await?;
    }
    Ok(())
}

/// What an earlier attempt of this run has committed, as the targets themselves say: loads, and tables of rows that
/// were set aside.
pub(crate) async fn committed_before(
    engine: &Engine,
    plan: &Plan,
    run: &str,
) -> Result<Vec<Committed>> {
    let mut all = Vec::new();
    for step in &plan.steps {
        let target = match &step.action {
            Action::Load(load) => load.target.clone(),
            Action::Check(PlannedCheck {
                quarantine: Some(table),
                ..
            }) => Target::Lake(table.clone()),
            Action::Extract(_) | Action::Transform(_) | Action::Check(_) => continue,
        };
        let (target, found) = match target {
            Target::Lake(table) => {
                let found = engine.lake().await?.table(&table_id(&table)).await?;
                let snapshot = found.and_then(|found| found.committed(run));
                (table.to_string(), snapshot.map(Some))
            }
            Target::Connection { connection, table } => {
                let done = remembers(engine, &connection, &table, step, run).await?;
                (format!("{connection}: {table}"), done.then_some(None))
            }
        };
        if let Some(snapshot) = found {
            all.push(Committed {
                step: step.name.clone(),
                target,
                rows: 0,
                snapshot,
                already: true,
            });
        }
    }
    Ok(all)
}

/// Whether another system remembers that a load of this run was committed.
async fn remembers(
    engine: &Engine,
    name: &ConnectionName,
    table: &str,
    step: &PlannedStep,
    run: &str,
) -> Result<bool> {
    let connection = engine.connection(name).await?;
    match (connection.sink(), &step.action) {
        (Some(sink), Action::Load(load)) => {
            sink.committed(&write_of(load, table, run, &step.name)?)
                .await
        }
        _ => Ok(false),
    }
}
