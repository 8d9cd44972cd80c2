//! One log event for what begins, ends and is decided, for machines.

use run::{Progress, ProgressEvent};
use spec::model::Otherwise;
use tracing::info;

/// The name under which these events are filtered; it stands in `LAKEWRIGHT_LOG`.
const PROGRESS: &str = "lakewright::progress";

/// Everything but the increments, which would be a line for each batch of rows.
pub(super) struct Events;

impl Progress for Events {
    fn event(&self, event: ProgressEvent) {
        match event {
            ProgressEvent::Planned { steps } => {
                let steps = steps
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",");
                info!(target: PROGRESS, event = "planned", steps, "planned");
            }
            ProgressEvent::StepStarted { step } => {
                info!(target: PROGRESS, event = "step_started", %step, "step started");
            }
            ProgressEvent::StepFinished { step, rows } => {
                info!(target: PROGRESS, event = "step_finished", %step, rows, "step finished");
            }
            ProgressEvent::Check {
                step,
                rule,
                failed,
                otherwise,
            } => {
                info!(target: PROGRESS, event = "checked", %step, rule, failed, otherwise = word(otherwise), "checked");
            }
            ProgressEvent::Committed {
                step,
                target,
                rows,
                snapshot,
                already,
            } => {
                info!(target: PROGRESS, event = "committed", %step, table = target, rows, snapshot, already, "committed");
            }
            ProgressEvent::Note { text } => info!(target: PROGRESS, event = "note", "{text}"),
            ProgressEvent::Read { .. } | ProgressEvent::Wrote { .. } => {}
        }
    }
}

/// The word as specs write it.
const fn word(otherwise: Otherwise) -> &'static str {
    match otherwise {
        Otherwise::Warn => "warn",
        Otherwise::Drop => "drop",
        Otherwise::Quarantine => "quarantine",
        Otherwise::Fail => "fail",
    }
}
