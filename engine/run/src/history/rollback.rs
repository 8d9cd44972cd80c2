//! Takes a table back to an earlier snapshot, so that its pipelines neither lose nor double a row afterwards.
//!
//! What a pipeline has read stands in the lineage of the table, and goes back with it: the next run reads again what the
//! snapshots that were left had brought. A run has planned what it reads on what the table was then: none may be going
//! on while the table goes back, and one that was left half done only if it goes on from the very place where the table
//! goes back to.

use std::collections::BTreeSet;

use connectors::{Error, ErrorKind, Fence, Result};
use spec::model::{PipelineId, StepKind, Target};
use spec::plan::Action;

use super::Engine;
use super::next_run::{Ahead, Effect, NextRead};
use crate::engine::planned;
use crate::lake::{At, LakeTable, SnapshotInfo, TableId};
use crate::last_read::kept_until;
use crate::open::table_id;
use crate::state::{Lease, RunRecord};
use crate::watermark;

/// What a rollback did, or would do.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// The snapshot that `main` was at.
    pub from: SnapshotInfo,
    /// The snapshot that it goes back to.
    pub to: SnapshotInfo,
    /// The snapshots that are not part of the table afterwards, the newest first.
    pub left: Vec<i64>,
    /// Whether the table's columns have changed since; it keeps them.
    pub columns_differ: bool,
    /// From where the pipelines that load the table read next.
    pub next: Vec<NextRead>,
    /// Other tables of the same pipelines that do not go back with it.
    pub ahead: Vec<Ahead>,
}

impl Engine {
    /// Takes a table back to the snapshot of its lineage that `to` means, or with `dry_run` says what that would do.
    ///
    /// # Errors
    /// `Conflict` when a pipeline that loads the table is running or has a run to finish elsewhere, or when somebody else changed
    /// the table at the same time: then nothing has happened.
    pub async fn roll_back(&self, table: &TableId, to: &At, dry_run: bool) -> Result<Rollback> {
        let pipelines = self.writers_of(table);
        let mut leases = Vec::new();
        if !dry_run {
            self.lake_table(table).await?;
            for pipeline in &pipelines {
                leases.push(self.state().await?.lock(pipeline).await?);
            }
        }
        let fences: Vec<Fence> = leases.iter().map(|lease| lease.fence().clone()).collect();
        let done = self
            .roll_back_alone(table, to, &pipelines, (!dry_run).then_some(&fences))
            .await;
        release(leases).await;
        done
    }

    /// The same, while none of these pipelines can start; without fences, nothing is done.
    async fn roll_back_alone(
        &self,
        table: &TableId,
        to: &At,
        pipelines: &BTreeSet<PipelineId>,
        fences: Option<&Vec<Fence>>,
    ) -> Result<Rollback> {
        if let Some(fences) = fences {
            // Whoever was at a run of them may only have stood still.
            self.lake().await?.raise(fences).await?;
        }
        let found = self.lake_table(table).await?;
        let rollback = self.rollback_of(&found, to).await?;
        for pipeline in pipelines {
            if let Some(open) = self.state().await?.unfinished(pipeline).await?
                && !goes_on_from(&found, rollback.to.id, &open)?
            {
                return Err(unfinished(pipeline, open.run));
            }
        }
        if let Some(fences) = fences {
            let (from, to) = (rollback.from.id, rollback.to.id);
            self.lake()
                .await?
                .roll_back(table, from, to, fences)
                .await?;
        }
        Ok(rollback)
    }

    /// What a rollback means.
    async fn rollback_of(&self, table: &LakeTable, to: &At) -> Result<Rollback> {
        let wanted = table.moment(to)?.snapshot;
        let lineage: Vec<SnapshotInfo> = table
            .snapshots()
            .into_iter()
            .filter(|found| found.in_lineage)
            .collect();
        let left: Vec<i64> = lineage
            .iter()
            .map(|found| found.id)
            .take_while(|id| *id != wanted)
            .collect();
        let to = lineage.iter().find(|found| found.id == wanted).cloned();
        let (Some(from), Some(to)) = (lineage.into_iter().next(), to) else {
            return Err(not_an_ancestor(table.id(), wanted));
        };
        let (mut next, mut ahead) = (Vec::new(), Vec::new());
        for (pipeline, step, _) in self.loads_of(table.id()) {
            let effect = Effect {
                engine: self,
                pipeline,
                table,
                to: wanted,
            };
            next.extend(effect.next_reads(&step.name)?);
            ahead.extend(effect.ahead(&step.name).await?);
        }
        Ok(Rollback {
            from,
            to,
            left,
            columns_differ: !table.has_columns_of(wanted),
            next,
            ahead,
        })
    }

    /// The pipelines of the project that write a table: by a load, or rows that a check sets aside.
    fn writers_of(&self, table: &TableId) -> BTreeSet<PipelineId> {
        let loads = self.loads_of(table).map(|(pipeline, _, _)| pipeline);
        let checks = self.project().pipelines.values().filter(|pipeline| {
            pipeline.steps.iter().any(|step| {
                matches!(&step.kind, StepKind::Check(check)
                    if check.quarantine.as_ref().is_some_and(|aside| table_id(aside) == *table))
            })
        });
        loads
            .chain(checks)
            .map(|pipeline| pipeline.id.clone())
            .collect()
    }
}

/// Whether a run that was interrupted reads on from where the table stood at a snapshot. Then it loses nothing by a
/// rollback to it, and makes the table whole again when it is finished.
fn goes_on_from(table: &LakeTable, snapshot: i64, open: &RunRecord) -> Result<bool> {
    let Some(plan) = planned(open) else {
        return Ok(false);
    };
    let pipeline = plan.pipeline.to_string();
    for step in &plan.steps {
        let Action::Load(load) = &step.action else {
            continue;
        };
        if !matches!(&load.target, Target::Lake(target) if table_id(target) == *table.id()) {
            continue;
        }
        for extract in &load.watermarks_of {
            let Some(Action::Extract(read)) = plan.step(extract).map(|step| &step.action) else {
                continue;
            };
            let from = read.window.as_ref().and_then(|window| window.last.clone());
            let stood = match table.watermark_at(snapshot, &pipeline, extract.as_str()) {
                Some(text) => Some(watermark::to_json(&kept_until(&text, table.id())?)?),
                None => None,
            };
            if from != stood {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn release(leases: Vec<Lease>) {
    for lease in leases {
        if let Err(error) = lease.release().await {
            // It goes with the process at the latest; the rollback itself is over.
            tracing::warn!(%error, "a pipeline's lock could not be given back");
        }
    }
}

fn unfinished(pipeline: &PipelineId, run: impl std::fmt::Display) -> Error {
    let message = format!(
        "run {run} of `{pipeline}` was interrupted, and would go on from another place than the table goes back to"
    );
    Error::new(ErrorKind::Conflict, message)
        .help(format!(
            "finish it first with `lakewright run {pipeline}`, or give it up with `lakewright runs abandon {run}`"
        ))
        .retry(false)
}

fn not_an_ancestor(table: &TableId, snapshot: i64) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("`{table}` as it is now was not made on snapshot {snapshot}"),
    )
    .help(format!(
        "`lakewright history {table}` shows the snapshots that it was made on; `query --at {snapshot}` reads this one"
    ))
}
