//! A pipeline: a named DAG of steps that runs as one.

use std::time::Duration;

use super::{PipelineId, Schedule, Step};

/// A named DAG of steps that runs as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// `domain/name`.
    pub id: PipelineId,
    /// What it is for.
    pub description: Option<String>,
    /// When it runs by itself; never when `None`.
    pub schedule: Option<Schedule>,
    /// Where there is no room for all that is due, the higher begins first.
    pub priority: i32,
    /// What happens when an attempt fails.
    pub retry: Retry,
    /// Whether the lake's tables of a run become visible in one step, where the catalog can do that.
    pub publishes_together: bool,
    /// Whether rows become visible only once the audits of the loads hold; some load has one then.
    pub audits: bool,
    /// The steps in the order they were written; they run in the order of the graph.
    pub steps: Vec<Step>,
}

/// What happens when an attempt fails for a reason that may pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// How many attempts there are in all; at least one.
    pub attempts: u32,
    /// How long to wait between them.
    pub backoff: Backoff,
    /// When to give up, counted from the start of the run.
    pub deadline: Option<Duration>,
}

/// Waits that double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            backoff: Backoff {
                initial: Duration::from_secs(1),
                max: Duration::from_mins(2),
            },
            deadline: None,
        }
    }
}
