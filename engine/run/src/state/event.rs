//! What happens in a run, one event each.
//!
//! The JSON of an event is what the log keeps: a variant or field that was ever written stays readable. No event holds a
//! secret, because a plan holds none.

use chrono::{DateTime, Utc};
use connectors::Error;
use serde::{Deserialize, Serialize};
use spec::model::{Otherwise, StepName};
use spec::plan::Plan;

/// An event as the log has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the log of its run, from 1.
    pub sequence: u32,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// What happened.
    pub event: RunEvent,
}

/// What happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEvent {
    /// An attempt began.
    Started {
        /// What it will do.
        plan: Box<Plan>,
        /// The attempt, from 1.
        attempt: u32,
        /// Why the run exists, for people: `manual`, `schedule 15 5 * * *`.
        trigger: String,
        /// The place of the decision that it came of, where it came of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<u32>,
    },
    /// A step ended well.
    StepFinished {
        /// The step.
        step: StepName,
        /// The rows that came out of it.
        rows: u64,
        /// Their bytes, where somebody counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// How long it took.
        millis: u64,
    },
    /// A rule was held against the rows, all of them.
    CheckResult {
        /// The check.
        step: StepName,
        /// The rule's name.
        rule: String,
        /// The rows that failed it; for a rule on all rows together, 1 when it failed.
        failed: u64,
        /// What became of them.
        otherwise: Otherwise,
    },
    /// Rows became visible in a table.
    Committed {
        /// The load; the check, for a table of quarantined rows.
        step: StepName,
        /// The table.
        target: String,
        /// The Iceberg snapshot; `None` where the target has none.
        snapshot: Option<i64>,
        /// The rows written.
        rows: u64,
    },
    /// The run ended well.
    Succeeded,
    /// The run ended badly.
    Failed {
        /// The kind of error, [`connectors::ErrorKind::as_str`].
        kind: String,
        /// What went wrong.
        message: String,
    },
    /// The run was asked to stop, and did.
    Cancelled,
    /// The process that ran it died, and nobody will go on.
    Abandoned {
        /// How we know.
        why: String,
    },
}

/// An error and its causes in one line, for whoever reads the log later.
fn told(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    std::iter::once(error.to_string())
        .chain(causes.map(ToString::to_string))
        .collect::<Vec<_>>()
        .join(": ")
}

impl RunEvent {
    /// The end of a run that this error ended.
    pub fn failed(error: &Error) -> Self {
        Self::Failed {
            kind: error.kind().as_str().to_owned(),
            message: told(error),
        }
    }

    /// The place of the decision that the run came of.
    pub(super) const fn decision(&self) -> Option<u32> {
        match self {
            Self::Started { decision, .. } => *decision,
            _ => None,
        }
    }

    /// The word for it, as in its JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::StepFinished { .. } => "step_finished",
            Self::CheckResult { .. } => "check_result",
            Self::Committed { .. } => "committed",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// Whether nothing can follow it.
    pub const fn ends(&self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed { .. } | Self::Cancelled | Self::Abandoned { .. }
        )
    }
}
