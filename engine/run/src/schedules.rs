//! What people ask of schedules, and say to them: how they stand, run now, pause, resume.
//!
//! What is said is a decision like those of the daemon, written down in the same place; no daemon has to be there.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Result};
use serde::Serialize;
use spec::model::PipelineId;

use crate::engine::Engine;
use crate::scheduler::{Decision, Known, Verdict, next_from, turns};
use crate::state::{OpenDecision, PastDecision, StateStore};

/// How often a decision is tried whose place somebody else takes each time.
const TRIES: usize = 20;

/// How the schedule of a pipeline stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleStanding {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its rule; `None` where it runs only when it is asked to.
    pub rule: Option<String>,
    /// Whether it has been paused.
    pub paused: bool,
    /// When the clock makes it due next; `None` where the clock has no say, or it is paused.
    pub next: Option<DateTime<Utc>>,
    /// Runs that were decided and have not begun.
    pub waiting: usize,
    /// Runs that were decided, have begun and have not ended.
    pub running: usize,
    /// What a run that waits has to wait for, where that is what others have.
    pub waits_for: Option<String>,
    /// What was decided last.
    pub last: Option<ScheduleDecision>,
}

/// A decision, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleDecision {
    /// The time that it is about.
    pub due: DateTime<Utc>,
    /// What was to come of it.
    pub verdict: &'static str,
    /// Why.
    pub cause: String,
    /// What came of its run.
    pub outcome: Option<String>,
}

impl From<PastDecision> for ScheduleDecision {
    fn from(PastDecision { decision, closed }: PastDecision) -> Self {
        Self {
            due: decision.due,
            verdict: decision.verdict.as_str(),
            cause: decision.cause,
            outcome: closed,
        }
    }
}

impl Engine {
    /// How all schedules stand, and all pipelines that were asked to run.
    pub async fn schedules(&self) -> Result<Vec<ScheduleStanding>> {
        let state = self.state().await?;
        let open = state.open_decisions().await?;
        let schedules = state.schedules(&BTreeSet::new(), &open).await?;
        let waits_for = self.waits_for(state, &open).await?;
        let (mut standings, now, nothing) = (Vec::new(), self.now(), Known::default());
        for (id, pipeline) in &self.project().pipelines {
            let known = schedules.known.get(id);
            if known.is_none() && pipeline.schedule.is_none() {
                continue;
            }
            let known = known.unwrap_or(&nothing);
            let schedule = pipeline.schedule.as_ref().filter(|_| !known.paused);
            let decided = known.last.as_ref().map(|last| last.due);
            standings.push(ScheduleStanding {
                pipeline: id.clone(),
                rule: pipeline.schedule.as_ref().map(spec::model::Schedule::rule),
                paused: known.paused,
                next: schedule.and_then(|schedule| next_from(id, schedule, decided, now)),
                waiting: known.waiting,
                running: known.running,
                waits_for: waits_for.get(id).cloned(),
                last: state
                    .decisions(id, 1)
                    .await?
                    .pop()
                    .map(ScheduleDecision::from),
            });
        }
        Ok(standings)
    }

    /// What runs that wait have to wait for.
    async fn waits_for(
        &self,
        state: &dyn StateStore,
        open: &[OpenDecision],
    ) -> Result<BTreeMap<PipelineId, String>> {
        let waiting = open.iter().filter(|decision| !decision.begun);
        let taken = state.taken().await?;
        let turns = turns(self.now(), self.project(), waiting, &taken);
        let waits = turns.into_iter().filter_map(|turn| {
            let share = turn.waits_for?;
            let of = share.of.to_string();
            let has = taken.get(&of).map_or(0, BTreeSet::len);
            let most = share.most.unwrap_or(has);
            let what = format!("{of}: {has} of {most} runs");
            Some((turn.decision.pipeline.clone(), what))
        });
        Ok(waits.collect())
    }

    /// What was decided about a pipeline, the newest first, at most so many.
    pub async fn decisions(
        &self,
        pipeline: &PipelineId,
        limit: u32,
    ) -> Result<Vec<ScheduleDecision>> {
        let decisions = self.state().await?.decisions(pipeline, limit).await?;
        Ok(decisions.into_iter().map(ScheduleDecision::from).collect())
    }

    /// Asks for a run of a pipeline, which a daemon begins.
    ///
    /// # Errors
    /// `NotFound` where there is no such pipeline, and what keeps the state store from being written.
    pub async fn request(&self, pipeline: &PipelineId) -> Result<()> {
        self.say(pipeline, Verdict::Requested, "requested").await
    }

    /// Pauses the schedule of a pipeline: nothing is decided until it is resumed. A run that goes on ends.
    ///
    /// # Errors
    /// As for [`Engine::request`]; `InvalidInput` where the pipeline has no schedule.
    pub async fn pause(&self, pipeline: &PipelineId) -> Result<()> {
        self.require_schedule(pipeline)?;
        self.say(pipeline, Verdict::Paused, "paused").await
    }

    /// Resumes the schedule of a pipeline. What was missed meanwhile is for `catchup`.
    ///
    /// # Errors
    /// As for [`Engine::pause`].
    pub async fn resume(&self, pipeline: &PipelineId) -> Result<()> {
        self.require_schedule(pipeline)?;
        self.say(pipeline, Verdict::Resumed, "resumed").await
    }

    fn require_schedule(&self, id: &PipelineId) -> Result<()> {
        if self.pipeline(id)?.schedule.is_some() {
            return Ok(());
        }
        let message = format!("pipeline `{id}` has no schedule");
        Err(Error::new(ErrorKind::InvalidInput, message).help(
            "it runs only when it is asked to; `schedule:` in its spec says when it runs by itself",
        ))
    }

    /// Writes down what somebody said of a pipeline.
    async fn say(&self, id: &PipelineId, verdict: Verdict, cause: &str) -> Result<()> {
        let schedule = self.pipeline(id)?.schedule.as_ref();
        let rule = schedule
            .map(spec::model::Schedule::rule)
            .unwrap_or_default();
        let state = self.state().await?;
        for _ in 0..TRIES {
            let known = state.schedules(&BTreeSet::new(), &[]).await?.known;
            let decisions = known.get(id).map_or(0, |known| known.decisions);
            let now = self.now();
            let decision = Decision {
                pipeline: id.clone(),
                sequence: decisions.saturating_add(1),
                due: now,
                verdict,
                cause: cause.to_owned(),
                rule: rule.clone(),
                seen: BTreeMap::new(),
            };
            if !state.decide(None, &[decision], now).await?.is_empty() {
                return Ok(());
            }
        }
        let message = format!("the decisions about `{id}` do not hold still");
        Err(Error::new(ErrorKind::Conflict, message)
            .retry(true)
            .help("try again"))
    }
}
