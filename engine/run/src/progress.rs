//! What a run tells of itself while it runs.

use spec::model::{Otherwise, StepName};

/// Hears what a run does. Called from many tasks at once and must be quick.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: ProgressEvent);
}

/// Something that happened in a run.
#[derive(Clone, Debug)]
pub enum ProgressEvent {
    /// The run begins; these are its steps in order.
    Planned {
        /// The steps.
        steps: Vec<StepName>,
    },
    /// A step begins.
    StepStarted {
        /// The step.
        step: StepName,
    },
    /// An extract got more rows.
    Read {
        /// The step.
        step: StepName,
        /// How many more.
        rows: u64,
        /// Their size in memory.
        bytes: u64,
    },
    /// A load wrote more rows.
    Wrote {
        /// The step.
        step: StepName,
        /// How many more.
        rows: u64,
        /// Their size in memory.
        bytes: u64,
    },
    /// A step ended.
    StepFinished {
        /// The step.
        step: StepName,
        /// How many rows it produced or wrote.
        rows: u64,
    },
    /// A rule has been held against all rows.
    Check {
        /// The step.
        step: StepName,
        /// The rule.
        rule: String,
        /// How many rows failed it; 1 for a rule about all rows together.
        failed: u64,
        /// What became of them.
        otherwise: Otherwise,
    },
    /// Rows became visible.
    Committed {
        /// The load.
        step: StepName,
        /// Where.
        target: String,
        /// How many.
        rows: u64,
        /// The Iceberg snapshot, for a lake table.
        snapshot: Option<i64>,
        /// Whether an earlier attempt of the same run had done it.
        already: bool,
    },
    /// Something worth a line.
    Note {
        /// The line.
        text: String,
    },
}

/// Says nothing to nobody.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: ProgressEvent) {}
}
