//! What is told of the loads of a run once it has ended.

use spec::model::Target;
use spec::plan::{Action, Plan};

use crate::engine::LoadReport;
use crate::execute::{Committed, idle};

/// What a load has made visible.
pub(crate) fn report(done: Committed) -> LoadReport {
    LoadReport {
        step: done.step.to_string(),
        target: done.target,
        rows: done.rows,
        snapshot: done.snapshot,
        already: done.already,
        kept: None,
    }
}

/// The loads that leave their tables as they are.
pub(crate) fn kept(plan: &Plan) -> impl Iterator<Item = LoadReport> {
    plan.steps.iter().filter_map(|step| match &step.action {
        Action::Load(load) if load.change.is_idle() => Some(LoadReport {
            step: step.name.to_string(),
            target: match &load.target {
                Target::Lake(table) => table.to_string(),
                Target::Connection { connection, table } => format!("{connection}: {table}"),
            },
            rows: 0,
            snapshot: None,
            already: false,
            kept: Some(idle(&load.change)),
        }),
        _ => None,
    })
}
