//! Lines with the time since the start, for files and pipes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use run::{Progress, ProgressEvent};
use spec::model::StepName;

use super::tally::{Tally, sentence};
use crate::screen;

/// How often a step that goes on says how far it is.
const EVERY: Duration = Duration::from_secs(5);

/// A line for what begins, ends, and goes on for long.
pub(super) struct Lines {
    started: Instant,
    steps: Mutex<BTreeMap<StepName, (Tally, Instant)>>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            steps: Mutex::new(BTreeMap::new()),
        }
    }

    fn say(&self, text: &str) {
        screen::remark(&format!(
            "[{:>7.1} s] {text}",
            self.started.elapsed().as_secs_f64()
        ));
    }

    fn line(&self, event: &ProgressEvent) -> Option<String> {
        // A panic elsewhere leaves numbers behind that are still good enough to look at.
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            ProgressEvent::StepStarted { step } => {
                steps.insert(step.clone(), (Tally::start(), Instant::now()));
                Some(format!("{step}: started"))
            }
            ProgressEvent::Read { step, rows, bytes }
            | ProgressEvent::Wrote { step, rows, bytes } => {
                let (tally, said) = steps.get_mut(step)?;
                tally.add(*rows, *bytes);
                if said.elapsed() < EVERY {
                    return None;
                }
                *said = Instant::now();
                Some(format!("{step}: {}", tally.text()))
            }
            ProgressEvent::StepFinished { step, rows } => {
                let ended = steps
                    .get(step)
                    .map_or_else(String::new, |(tally, _)| tally.ended(*rows));
                Some(format!("{step}: {ended}"))
            }
            other => sentence(other),
        }
    }
}

impl Progress for Lines {
    fn event(&self, event: ProgressEvent) {
        if let Some(line) = self.line(&event) {
            self.say(&line);
        }
    }
}
