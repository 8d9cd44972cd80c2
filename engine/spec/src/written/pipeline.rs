//! `kind: Pipeline`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{RetrySpec, StepSpec};
use crate::read::At;

/// The word in `kind:`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum PipelineKind {
    /// A named graph of steps that runs as one.
    Pipeline,
}

/// A Pipeline: a named graph of steps that runs as one and publishes tables.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineSpec {
    /// What this file describes.
    #[expect(dead_code, reason = "it chose this type before it was read")]
    pub(crate) kind: PipelineKind,
    /// Its name, unique in its domain.
    pub(crate) name: At<String>,
    /// The domain that owns it.
    pub(crate) domain: At<String>,
    /// What it is for.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// When it runs by itself. Left out: only when asked.
    #[serde(default)]
    pub(crate) schedule: Option<ScheduleSpec>,
    /// Where there is no room for all that is due, the higher begins first: from -100 to 100, 0 when left out.
    #[serde(default)]
    pub(crate) priority: Option<At<i32>>,
    /// What happens when an attempt fails for a reason that may pass.
    #[serde(default)]
    pub(crate) retry: Option<RetrySpec>,
    /// How the tables of a run become visible.
    #[serde(default)]
    pub(crate) publish: Option<PublishSpec>,
    /// The steps. Their order follows from what they read.
    pub(crate) steps: At<Vec<StepSpec>>,
}

/// How the tables of a run become visible.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishSpec {
    /// Whether rows become visible once they are written, or once the `audit` of the loads holds. `direct` when left out.
    #[serde(default)]
    pub(crate) mode: Option<At<PublishModeSpec>>,
    /// Whether tables of the lake become visible in one step. `together` when left out.
    #[serde(default)]
    pub(crate) tables: PublishTablesSpec,
}

/// When tables of the lake become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PublishModeSpec {
    /// Once they are written.
    Direct,
    /// Once they are written to a branch, and what the `audit` of each load expects of its table holds there.
    Audit,
}

/// Whether tables of the lake become visible in one step.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PublishTablesSpec {
    /// All or none of them where the catalog can do that, else one after the other: the plan says which.
    #[default]
    Together,
    /// One after the other, in the order of the steps. A run that is interrupted in between is finished by the next command.
    OneByOne,
}

/// When a pipeline runs by itself. It says `cron`, `after`, or both.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleSpec {
    /// Five fields (minute, hour, day, month, weekday), or six with seconds first: `"15 5 * * MON-FRI"`.
    #[serde(default)]
    pub(crate) cron: Option<At<String>>,
    /// Whose clock, as an IANA name: `Europe/Moscow`. Left out: UTC.
    #[serde(default)]
    pub(crate) timezone: Option<At<String>>,
    /// What happens when it is due and still running.
    #[serde(default)]
    pub(crate) overlap: OverlapSpec,
    /// What happens with times that were missed.
    #[serde(default)]
    pub(crate) catchup: CatchupSpec,
    /// Pipelines, `domain/name`, that must have published anew; with `cron`, both must hold.
    #[serde(default)]
    pub(crate) after: Vec<At<String>>,
    /// How long it waits for `after` once `cron` has come true, then that time is given up: `2h`. Left out: for ever.
    #[serde(default)]
    pub(crate) max_wait: Option<At<String>>,
    /// Starts up to so much later than `cron` says, so that not all start at once: `5m`. One pipeline always as much.
    #[serde(default)]
    pub(crate) jitter: Option<At<String>>,
}

/// What happens when a pipeline is due and still running.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OverlapSpec {
    /// The new run is left out.
    #[default]
    Skip,
    /// The new run waits.
    Queue,
    /// Any number of waiting runs become one.
    Coalesce,
}

/// What happens with times that were missed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CatchupSpec {
    /// Nothing.
    None,
    /// One run for all of them.
    #[default]
    Last,
    /// One run for each.
    All,
}
