//! What a daemon tells of itself.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use connectors::{Error, Result};
use spec::Diagnostics;
use spec::model::PipelineId;

use crate::engine::RunReport;
use crate::progress::{Progress, Silent};
use crate::scheduler::Decision;

/// Hears what a daemon does. Called from many tasks at once and must be quick.
pub trait Watch: Send + Sync {
    /// Something happened.
    fn news(&self, news: &News<'_>);

    /// Who hears what a run of the pipeline does.
    fn progress(&self, pipeline: &PipelineId) -> Arc<dyn Progress> {
        let _ = pipeline;
        Arc::new(Silent)
    }
}

/// Something that happened in a daemon.
#[derive(Debug)]
pub enum News<'a> {
    /// A version of the project is in force.
    InForce {
        /// The fingerprint of its files.
        version: &'a str,
        /// How many pipelines it has.
        pipelines: usize,
        /// How many of these have a schedule.
        scheduled: usize,
    },
    /// A version of the project has errors: the one before stays in force.
    Refused {
        /// The fingerprint of its files.
        version: &'a str,
        /// What is wrong.
        findings: &'a Diagnostics,
    },
    /// Whether this daemon is the one that decides.
    Leads(bool),
    /// Something was decided.
    Decided(&'a Decision),
    /// A run begins.
    Began {
        /// The pipeline.
        pipeline: &'a PipelineId,
        /// The time that it is about.
        due: DateTime<Utc>,
        /// Why, for people.
        cause: &'a str,
    },
    /// A run ended; without a report where it had ended before.
    Ended {
        /// The pipeline.
        pipeline: &'a PipelineId,
        /// How.
        outcome: &'a Result<Option<RunReport>>,
    },
    /// This daemon stood still for longer than its lease, and another one goes on with its run.
    TakenOver {
        /// The pipeline.
        pipeline: &'a PipelineId,
    },
    /// The daemon was asked to stop, and so many runs have not ended.
    Stopping {
        /// The runs.
        runs: usize,
    },
    /// So many runs were left in the middle.
    Left {
        /// The runs.
        runs: usize,
    },
    /// Something did not work, and is tried again.
    Trouble(Error),
}
