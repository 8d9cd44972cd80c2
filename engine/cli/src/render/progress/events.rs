//! One log event for what begins, ends and is decided, for machines.

use run::{Progress, ProgressEvent};
use tracing::info;

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
                info!(event = "planned", steps, "planned");
            }
            ProgressEvent::StepStarted { step } => {
                info!(event = "step_started", %step, "step started");
            }
            ProgressEvent::StepFinished { step, rows } => {
                info!(event = "step_finished", %step, rows, "step finished");
            }
            ProgressEvent::Check {
                step,
                rule,
                failed,
                otherwise,
            } => {
                info!(event = "checked", %step, rule, failed, ?otherwise, "checked");
            }
            ProgressEvent::Committed {
                step,
                target,
                rows,
                snapshot,
                already,
            } => {
                info!(event = "committed", %step, target, rows, snapshot, already, "committed");
            }
            ProgressEvent::Note { text } => info!(event = "note", "{text}"),
            ProgressEvent::Read { .. } | ProgressEvent::Wrote { .. } => {}
        }
    }
}
