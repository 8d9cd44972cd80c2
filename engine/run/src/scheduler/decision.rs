//! What is decided of a pipeline's schedule, and what has to be known to decide the next time.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use spec::model::PipelineId;

use crate::state::RunId;

/// The runs that were the last to succeed, by pipeline.
pub type Published = BTreeMap<PipelineId, RunId>;

/// One decision, which is written down before anything comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whose schedule.
    pub pipeline: PipelineId,
    /// Its place among the decisions about this pipeline, from 1. Two that decide from the same state want the same
    /// place, and one of them gets it.
    pub sequence: u32,
    /// The time that it is about: when the rule came true, not when that was noticed.
    pub due: DateTime<Utc>,
    /// What is to come of it.
    pub verdict: Verdict,
    /// Why, for people: `schedule 15 5 * * * Europe/Moscow`.
    pub cause: String,
    /// The rule that was in force, [`spec::model::Schedule::rule`].
    pub rule: String,
    /// What the pipelines that it waits for had published by then.
    pub seen: Published,
}

/// What comes of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule is in force from here on, and no time before it counts.
    Adopted,
    /// A run.
    Run,
    /// No run, because an earlier one has not ended.
    Skipped,
    /// No run, because the time was missed.
    Missed,
    /// A run that somebody asked for. It says nothing of the rule.
    Requested,
    /// No run until the schedule is resumed.
    Paused,
    /// Runs again.
    Resumed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Adopted,
        Self::Run,
        Self::Skipped,
        Self::Missed,
        Self::Requested,
        Self::Paused,
        Self::Resumed,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Run => "run",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Requested => "requested",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
        }
    }

    /// Whether a run is to come of it.
    pub const fn runs(self) -> bool {
        matches!(self, Self::Run | Self::Requested)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is none of [`Verdict::as_str`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoVerdict(String);

impl fmt::Display for NoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no decision", self.0)
    }
}

impl std::error::Error for NoVerdict {}

impl FromStr for Verdict {
    type Err = NoVerdict;

    fn from_str(text: &str) -> Result<Self, NoVerdict> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| NoVerdict(text.to_owned()))
    }
}

/// The last decision about the rule of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// The time that it was about. Everything before is decided.
    pub due: DateTime<Utc>,
    /// What came of it.
    pub verdict: Verdict,
    /// The rule that was in force.
    pub rule: String,
    /// What the pipelines that it waits for had published when it last ran, or when the rule came into force.
    pub seen: Published,
}

/// What is known of a pipeline's schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// How many decisions there are, of all kinds.
    pub decisions: u32,
    /// The last decision about its rule.
    pub last: Option<Last>,
    /// Whether somebody has paused it.
    pub paused: bool,
    /// Runs that were decided and have not begun.
    pub waiting: usize,
    /// Runs that were decided, have begun and have not ended.
    pub running: usize,
}

/// What is known of all schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    /// By pipeline; those of which nothing was ever decided are not there.
    pub known: BTreeMap<PipelineId, Known>,
    /// What has been published.
    pub published: Published,
}
