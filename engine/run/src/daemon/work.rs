//! The runs that a daemon has begun: not more at once than it may, one of a pipeline, and each until it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use futures::FutureExt as _;
use spec::model::PipelineId;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::version::Version;
use super::{News, Watch};
use crate::runner::Decided;
use crate::scheduler::turns;
use crate::state::{Lease, OpenDecision};

/// How long a pipeline rests that somebody else is running.
const ELSEWHERE: Duration = Duration::from_secs(2);
/// How long one rests that found nothing left of what it needs: whose turn it is, is looked at again.
const FULL: Duration = Duration::from_millis(200);
/// How long a pipeline rests whose run could not end; twice as long each time.
const AGAIN: Duration = Duration::from_secs(15);
/// How long it rests at the most.
const AGAIN_AT_MOST: Duration = Duration::from_mins(10);

/// A pipeline that rests.
struct Rests {
    until: Instant,
    times: u32,
}

/// A run that has stopped going on.
struct Stopped {
    decision: OpenDecision,
    outcome: Result<Decided>,
}

/// The runs of a daemon.
pub(super) struct Work {
    at_once: usize,
    watch: Arc<dyn Watch>,
    tasks: JoinSet<Stopped>,
    busy: BTreeSet<PipelineId>,
    resting: BTreeMap<PipelineId, Rests>,
}

impl Work {
    pub(super) fn new(at_once: usize, watch: Arc<dyn Watch>) -> Self {
        Self {
            at_once,
            watch,
            tasks: JoinSet::new(),
            busy: BTreeSet::new(),
            resting: BTreeMap::new(),
        }
    }

    /// Begins the runs of these decisions, in their turn, as far as there is room. `leads` is the
    /// right to close what has no pipeline any more: another daemon may know a newer version.
    pub(super) async fn begin(
        &mut self,
        version: &Arc<Version>,
        open: Vec<OpenDecision>,
        leads: Option<&Lease>,
    ) -> Result<()> {
        let still: BTreeSet<&PipelineId> = open.iter().map(|decision| &decision.pipeline).collect();
        self.resting.retain(|id, _| still.contains(id));
        let project = version.engine().project();
        let known = |decision: &&OpenDecision| project.pipelines.contains_key(&decision.pipeline);
        let (known, gone): (Vec<_>, Vec<_>) = open.iter().partition(known);
        let waits = |decision: &&&OpenDecision| {
            !self.busy.contains(&decision.pipeline) && !self.rests(decision)
        };
        let waiting: Vec<&OpenDecision> = known.iter().filter(waits).copied().collect();
        if !waiting.is_empty() && self.tasks.len() < self.at_once {
            let taken = version.engine().state().await?.taken().await?;
            for turn in turns(version.engine().now(), project, waiting, &taken) {
                if self.tasks.len() >= self.at_once {
                    break;
                }
                if turn.waits_for.is_none() {
                    self.start(version, turn.decision.clone());
                }
            }
        }
        for decision in gone {
            if let Some(lease) = leads
                && version.is_settled()
            {
                let state = version.engine().state().await?;
                let why = "the project no longer has this pipeline";
                state
                    .close_decision(lease, &decision.pipeline, decision.sequence, why)
                    .await?;
            }
        }
        Ok(())
    }

    fn rests(&self, decision: &OpenDecision) -> bool {
        let rests = self.resting.get(&decision.pipeline);
        rests.is_some_and(|rests| rests.until > Instant::now())
    }

    fn start(&mut self, version: &Arc<Version>, decision: OpenDecision) {
        if !self.resting.contains_key(&decision.pipeline) {
            self.watch.news(&News::Began {
                pipeline: &decision.pipeline,
                due: decision.due,
                cause: &decision.cause,
            });
        }
        self.busy.insert(decision.pipeline.clone());
        let (version, progress) = (Arc::clone(version), self.watch.progress(&decision.pipeline));
        self.tasks.spawn(async move {
            // A daemon that stops leaves its runs for the next: they are dropped, and never cancelled.
            let run = version
                .engine()
                .run_decided(&decision, progress, CancellationToken::new());
            let outcome = AssertUnwindSafe(run)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    Err(Error::new(ErrorKind::Internal, "the run broke off")
                        .help("this is a defect of lakewright; please report it"))
                });
            Stopped { decision, outcome }
        });
    }

    /// Returns when a run has ended; never, where none goes on.
    pub(super) async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(stopped)) => self.stopped(stopped),
            Some(Err(error)) => tracing::error!(%error, "a task of the daemon broke off"),
            None => std::future::pending().await,
        }
    }

    fn stopped(&mut self, Stopped { decision, outcome }: Stopped) {
        let pipeline = decision.pipeline;
        self.busy.remove(&pipeline);
        let times = self.resting.get(&pipeline).map_or(0, |rests| rests.times);
        let outcome = match outcome {
            Ok(Decided::Elsewhere) => {
                self.rest(pipeline, ELSEWHERE, times);
                return;
            }
            Ok(Decided::Full) => {
                self.rest(pipeline, FULL, times);
                return;
            }
            Ok(Decided::TakenOver) => {
                self.watch.news(&News::TakenOver {
                    pipeline: &pipeline,
                });
                self.rest(pipeline, ELSEWHERE, times);
                return;
            }
            Ok(Decided::Ran(report)) => Ok(Some(report)),
            Ok(Decided::Before) => Ok(None),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            let rest = AGAIN.saturating_mul(1 << times.min(10)).min(AGAIN_AT_MOST);
            // Where nothing of it is open any more, the next look forgets it.
            self.rest(pipeline.clone(), rest, times.saturating_add(1));
        } else {
            self.resting.remove(&pipeline);
        }
        self.watch.news(&News::Ended {
            pipeline: &pipeline,
            outcome: &outcome,
        });
    }

    fn rest(&mut self, pipeline: PipelineId, time: Duration, times: u32) {
        let until = Instant::now() + time;
        self.resting.insert(pipeline, Rests { until, times });
    }

    /// Waits for what goes on to end, for a while; what has not by then is left in the middle, as a crash would leave it.
    pub(super) async fn leave(mut self, grace: Duration) {
        if self.tasks.is_empty() {
            return;
        }
        self.watch.news(&News::Stopping {
            runs: self.tasks.len(),
        });
        let all = async {
            while !self.tasks.is_empty() {
                self.one_ended().await;
            }
        };
        if tokio::time::timeout(grace, all).await.is_err() {
            self.watch.news(&News::Left {
                runs: self.tasks.len(),
            });
            self.tasks.shutdown().await;
        }
    }
}
