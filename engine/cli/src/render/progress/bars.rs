//! A line for each step at the bottom of the terminal, with what is worth keeping above.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use run::{Progress, ProgressEvent};
use spec::model::StepName;

use super::tally::{Tally, sentence};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// One bar a step.
pub(super) struct Bars {
    screen: MultiProgress,
    steps: Mutex<BTreeMap<StepName, (ProgressBar, Tally)>>,
}

impl Bars {
    pub(super) fn new(screen: MultiProgress) -> Self {
        Self {
            screen,
            steps: Mutex::new(BTreeMap::new()),
        }
    }

    fn steps(&self) -> MutexGuard<'_, BTreeMap<StepName, (ProgressBar, Tally)>> {
        // A panic elsewhere leaves numbers behind that are still good enough to look at.
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the bars off the screen.
    pub(super) fn clear(&self) {
        for (_, (bar, _)) in std::mem::take(&mut *self.steps()) {
            bar.finish_and_clear();
        }
    }

    fn plan(&self, names: &[StepName]) {
        self.clear();
        let mut steps = self.steps();
        let width = names
            .iter()
            .map(|name| name.as_str().chars().count())
            .max()
            .unwrap_or(0);
        for name in names {
            let bar = self.screen.add(ProgressBar::new_spinner());
            bar.set_style(style("  {prefix:.dim}  {msg:.dim}"));
            bar.set_prefix(format!("{name:<width$}"));
            bar.set_message("waits");
            steps.insert(name.clone(), (bar, Tally::start()));
        }
    }

    fn start(&self, step: &StepName) {
        if let Some((bar, tally)) = self.steps().get_mut(step) {
            *tally = Tally::start();
            bar.set_style(style("{spinner:.cyan} {prefix:.bold}  {msg}"));
            bar.set_message(String::new());
            bar.enable_steady_tick(TICK);
        }
    }

    fn add(&self, step: &StepName, rows: u64, bytes: u64) {
        if let Some((bar, tally)) = self.steps().get_mut(step) {
            tally.add(rows, bytes);
            bar.set_message(tally.text());
        }
    }

    fn finish(&self, step: &StepName, rows: u64) {
        if let Some((bar, tally)) = self.steps().get(step) {
            bar.set_style(style("  {prefix:.green}  {msg}"));
            bar.finish_with_message(tally.ended(rows));
        }
    }
}

/// Our templates are constants that parse; were one broken, the default style would still show the step.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

impl Progress for Bars {
    fn event(&self, event: ProgressEvent) {
        if let Some(line) = sentence(&event) {
            // Without a terminal there is nothing to keep above, and `of` chose another form.
            drop(self.screen.println(line));
        }
        match event {
            ProgressEvent::Planned { steps } => self.plan(&steps),
            ProgressEvent::StepStarted { step } => self.start(&step),
            ProgressEvent::Read { step, rows, bytes }
            | ProgressEvent::Wrote { step, rows, bytes } => {
                self.add(&step, rows, bytes);
            }
            ProgressEvent::StepFinished { step, rows } => self.finish(&step, rows),
            ProgressEvent::Check { .. }
            | ProgressEvent::Committed { .. }
            | ProgressEvent::Note { .. } => {}
        }
    }
}
