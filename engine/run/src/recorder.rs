//! Writes down what a run tells of itself, while it is told to whoever watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use spec::model::StepName;

use crate::progress::{Progress, ProgressEvent};
use crate::state::RunEvent;

/// Passes every event on, and keeps those that belong into the log.
pub(crate) struct Recorder {
    watcher: Arc<dyn Progress>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    started: BTreeMap<StepName, Instant>,
    events: Vec<RunEvent>,
}

impl Recorder {
    /// A recorder in front of whoever watches.
    pub(crate) fn new(watcher: Arc<dyn Progress>) -> Self {
        Self {
            watcher,
            kept: Mutex::default(),
        }
    }

    /// What there is to write down since this was last asked.
    pub(crate) fn take(&self) -> Vec<RunEvent> {
        std::mem::take(
            &mut self
                .kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .events,
        )
    }
}

impl Progress for Recorder {
    fn event(&self, event: ProgressEvent) {
        // Rows on their way come often and belong into no log: they do not even take the lock.
        if !matches!(
            event,
            ProgressEvent::Read { .. } | ProgressEvent::Wrote { .. }
        ) {
            self.kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .hear(&event);
        }
        self.watcher.event(event);
    }
}

impl Kept {
    fn hear(&mut self, event: &ProgressEvent) {
        match event {
            ProgressEvent::StepStarted { step } => {
                self.started.insert(step.clone(), Instant::now());
            }
            ProgressEvent::StepFinished { step, rows } => {
                let took = self.started.get(step).map(Instant::elapsed);
                let millis = took.and_then(|took| u64::try_from(took.as_millis()).ok());
                self.events.push(RunEvent::StepFinished {
                    step: step.clone(),
                    rows: *rows,
                    bytes: None,
                    millis: millis.unwrap_or(0),
                });
            }
            ProgressEvent::Check {
                step,
                rule,
                failed,
                otherwise,
            } => self.events.push(RunEvent::CheckResult {
                step: step.clone(),
                rule: rule.clone(),
                failed: *failed,
                otherwise: *otherwise,
            }),
            _ => {}
        }
    }
}
