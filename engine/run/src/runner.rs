//! One run from start to end: which run it is, its attempts, its record.
//!
//! A run whose process died is gone on with under its own id and its own plan, so that what it had committed is known
//! again. A run that has committed a part of its loads stays open until it has committed all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use spec::model::{Pipeline, PipelineId, Retry, StepName};
use spec::plan::Plan;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, RunReport, loads, planned};
use crate::execute::{Committed, Executor, cancelled, committed_before, hold_off};
use crate::progress::{Progress, ProgressEvent};
use crate::recorder::Recorder;
use crate::report::{kept, report};
use crate::scheduler::shares;
use crate::scratch::Scratch;
use crate::state::{Lease, OpenDecision, RunEvent, RunId, RunRecord, Take, running};

/// What is waited before an event is written again, each time it is.
const RECORD_PAUSES: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Why a run exists.
#[derive(Clone, Debug)]
struct Cause {
    /// For people.
    trigger: String,
    /// The decision that it came of.
    decision: Option<u32>,
}

/// What became of the run that was decided.
#[derive(Debug)]
pub enum Decided {
    /// It has run now, and ended well.
    Ran(RunReport),
    /// It had ended before.
    Before,
    /// Somebody else is at a run of the pipeline.
    Elsewhere,
    /// Others have all there is of something that it needs.
    Full,
    /// This process stood still for too long, and somebody else has taken the run over.
    TakenOver,
}

/// What a run is carried out under.
struct Terms<'a> {
    lease: &'a Lease,
    progress: &'a Arc<dyn Progress>,
    cancel: &'a CancellationToken,
}

/// The run that is to be carried out.
struct Chosen {
    run: RunId,
    cause: Cause,
    plan: Plan,
    attempt: u32,
    resumed: bool,
}

impl Engine {
    /// Runs a pipeline once: by `sealed` where one is given, by a plan made now where none is. A run that a dead process
    /// left behind is finished instead.
    ///
    /// # Errors
    /// `Conflict` when the pipeline is running already or the world is not the one of the sealed plan; `Cancelled` when
    /// `cancel` was called before anything was committed; else what went wrong.
    pub async fn run(
        &self,
        id: &PipelineId,
        sealed: Option<Plan>,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<RunReport> {
        let pipeline = self.pipeline(id)?;
        // Who runs it by hand waits for nobody, but others see what it takes.
        let mut shares = shares(self.project(), pipeline);
        for share in &mut shares {
            share.most = None;
        }
        let lease = match self.state().await?.take(id, &shares).await? {
            Take::Got(lease) => lease,
            Take::Running | Take::Full(_) => return Err(running(id)),
        };
        let terms = Terms {
            lease: &lease,
            progress: &progress,
            cancel: &cancel,
        };
        let cause = Cause {
            trigger: "manual".to_owned(),
            decision: None,
        };
        let work = async {
            let chosen = self.chosen(pipeline, sealed, &cause, &terms).await?;
            self.carry_out(pipeline, &chosen, &terms).await
        };
        let report = self.under(&lease, Box::pin(work)).await;
        release(lease, id).await;
        report
    }

    /// Does something for as long as a lease is in force. Where it is lost, the work is dropped as a crash would leave it:
    /// somebody else goes on with it.
    async fn under<T>(&self, lease: &Lease, work: impl Future<Output = Result<T>>) -> Result<T> {
        let done = tokio::select! {
            biased;
            done = work => done,
            () = lease.lost() => Err(lease.taken()),
        };
        if done.is_err() && !lease.is_lost() {
            // It may have gone wrong because of that.
            if let Err(error) = self.state().await?.renew(lease).await
                && lease.is_lost()
            {
                return Err(error);
            }
        }
        done
    }

    /// Carries out the run that was decided, unless that has been done; what another run has left half done is finished
    /// first. However this process ends, there is one run of the decision that ended, or it is still open.
    ///
    /// # Errors
    /// As for [`Engine::run`]. Where a run has committed a part, or was left behind, the decision stays open.
    pub async fn run_decided(
        &self,
        decision: &OpenDecision,
        progress: Arc<dyn Progress>,
        cancel: CancellationToken,
    ) -> Result<Decided> {
        let pipeline = self.pipeline(&decision.pipeline)?;
        let shares = shares(self.project(), pipeline);
        let lease = match self.state().await?.take(&pipeline.id, &shares).await? {
            Take::Got(lease) => lease,
            Take::Running => return Ok(Decided::Elsewhere),
            Take::Full(_) => return Ok(Decided::Full),
        };
        let terms = Terms {
            lease: &lease,
            progress: &progress,
            cancel: &cancel,
        };
        let work = Box::pin(self.decided(pipeline, decision, &terms));
        let done = self.under(&lease, work).await;
        let lost = lease.is_lost();
        release(lease, &pipeline.id).await;
        if lost && done.is_err() {
            return Ok(Decided::TakenOver);
        }
        done
    }

    async fn decided(
        &self,
        pipeline: &Pipeline,
        decision: &OpenDecision,
        terms: &Terms<'_>,
    ) -> Result<Decided> {
        let state = self.state().await?;
        let sequence = decision.sequence;
        let cause = Cause {
            trigger: decision.cause.clone(),
            decision: Some(sequence),
        };
        loop {
            if let Some(end) = state.end_of(&pipeline.id, sequence).await? {
                state
                    .close_decision(terms.lease, &pipeline.id, sequence, &end)
                    .await?;
                return Ok(Decided::Before);
            }
            let chosen = match self.chosen(pipeline, None, &cause, terms).await {
                Ok(chosen) => chosen,
                Err(error) => {
                    // Where nothing was left behind, nothing is in the log of runs that could tell of it.
                    if state.unfinished(&pipeline.id).await?.is_none() {
                        let what = format!("could not begin: {error}");
                        state
                            .close_decision(terms.lease, &pipeline.id, sequence, &what)
                            .await?;
                    }
                    return Err(error);
                }
            };
            let ours = chosen.cause.decision == Some(sequence);
            let done = Box::pin(self.carry_out(pipeline, &chosen, terms)).await;
            if ours && let Some(end) = state.end_of(&pipeline.id, sequence).await? {
                state
                    .close_decision(terms.lease, &pipeline.id, sequence, &end)
                    .await?;
            }
            let report = done?;
            if ours {
                return Ok(Decided::Ran(report));
            }
        }
    }

    /// Carries out a run.
    async fn carry_out(
        &self,
        pipeline: &Pipeline,
        chosen: &Chosen,
        terms: &Terms<'_>,
    ) -> Result<RunReport> {
        let steps = chosen
            .plan
            .steps
            .iter()
            .map(|step| step.name.clone())
            .collect();
        terms.progress.event(ProgressEvent::Planned { steps });
        let done = Box::pin(self.attempts(pipeline, chosen, terms)).await;
        self.conclude(chosen, done, terms).await
    }

    /// Looks which run it is, as often as the pipeline may be tried: nothing is recorded yet that could go on later.
    async fn chosen(
        &self,
        pipeline: &Pipeline,
        sealed: Option<Plan>,
        cause: &Cause,
        terms: &Terms<'_>,
    ) -> Result<Chosen> {
        let mut tried = 1;
        loop {
            let chosen = Box::pin(self.choose(pipeline, sealed.clone(), cause, terms)).await;
            let error = match chosen {
                Err(error) if tried < pipeline.retry.attempts && may_pass(&error) => error,
                done => return done,
            };
            let wait = backoff(&pipeline.retry, tried);
            let text = format!("{error}; looking again in {} s", wait.as_secs_f32());
            terms.progress.event(ProgressEvent::Note { text });
            tokio::select! {
                () = tokio::time::sleep(wait) => tried += 1,
                () = terms.cancel.cancelled() => return Err(cancelled()),
            }
        }
    }

    /// Goes on with a run that was left behind, or starts a new one.
    async fn choose(
        &self,
        pipeline: &Pipeline,
        sealed: Option<Plan>,
        cause: &Cause,
        terms: &Terms<'_>,
    ) -> Result<Chosen> {
        if let Some(left) = self.state().await?.unfinished(&pipeline.id).await?
            && let Some(resumed) = self.left_behind(pipeline, &left, terms).await?
        {
            return match sealed {
                Some(sealed) if sealed.fingerprint != resumed.plan.fingerprint => Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "run {} was interrupted and has to be finished first",
                        resumed.run
                    ),
                )
                .help("run the pipeline without `--plan`, then plan again")
                .retry(false)),
                _ => Ok(resumed),
            };
        }
        let fresh = self.plan(&pipeline.id).await?;
        let plan = match sealed {
            Some(sealed) if sealed.fingerprint != fresh.fingerprint => {
                return Err(moved(&sealed, &fresh));
            }
            Some(sealed) => sealed,
            None => fresh,
        };
        Ok(Chosen {
            run: RunId::new(self.now()),
            cause: cause.clone(),
            plan,
            attempt: 1,
            resumed: false,
        })
    }

    /// What becomes of a run that was left behind. The targets decide: what they have of it must become whole, by the
    /// plan it was started with, whatever the spec says now; where they have nothing and the spec is another, it is
    /// given up. `None` when there is nothing to go on with.
    async fn left_behind(
        &self,
        pipeline: &Pipeline,
        left: &RunRecord,
        terms: &Terms<'_>,
    ) -> Result<Option<Chosen>> {
        let note = |text: String| terms.progress.event(ProgressEvent::Note { text });
        let run = left.run;
        let attempts = left.events.iter();
        let attempts = attempts.filter(|event| matches!(event.event, RunEvent::Started { .. }));
        let attempt = u32::try_from(attempts.count())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let Some(plan) = planned(left) else {
            let why = "its plan cannot be read".to_owned();
            self.record(run, RunEvent::Abandoned { why }, terms.lease)
                .await?;
            Scratch::remove(&self.scratch(), &run.to_string());
            return Ok(None);
        };
        // Whoever was at it may not be dead.
        hold_off(self, &plan, terms.lease.fence()).await?;
        if plan.spec != Plan::spec_of(pipeline) {
            let before = committed_before(self, &plan, &run.to_string()).await?;
            if before.is_empty() {
                note(format!(
                    "run {run} was interrupted before it committed anything, and the spec has changed: giving it up"
                ));
                let why = "the pipeline's spec has changed since it was interrupted".to_owned();
                self.record(run, RunEvent::Abandoned { why }, terms.lease)
                    .await?;
                Scratch::remove(&self.scratch(), &run.to_string());
                return Ok(None);
            }
            note("the spec has changed: run again for what it says now".to_owned());
        }
        note(format!("going on with run {run}, which was interrupted"));
        Ok(Some(Chosen {
            run,
            cause: cause_of(left),
            plan,
            attempt,
            resumed: true,
        }))
    }

    /// Attempts until one succeeds or trying again cannot help.
    async fn attempts(
        &self,
        pipeline: &Pipeline,
        chosen: &Chosen,
        terms: &Terms<'_>,
    ) -> Result<(u32, Vec<Committed>)> {
        let started = std::time::Instant::now();
        let mut attempt = chosen.attempt;
        loop {
            let begun = RunEvent::Started {
                plan: Box::new(chosen.plan.clone()),
                attempt,
                trigger: chosen.cause.trigger.clone(),
                decision: chosen.cause.decision,
            };
            self.record(chosen.run, begun, terms.lease).await?;
            let result = self.attempt(chosen, terms).await;
            let error = match result {
                Ok(committed) => return Ok((attempt, committed)),
                Err(error) => error,
            };
            let tried = attempt - chosen.attempt + 1;
            let wait = backoff(&pipeline.retry, tried);
            let late = pipeline
                .retry
                .deadline
                .is_some_and(|deadline| started.elapsed() + wait > deadline);
            if !may_pass(&error) || tried >= pipeline.retry.attempts || late {
                return Err(error);
            }
            terms.progress.event(ProgressEvent::Note {
                text: format!(
                    "attempt {attempt} failed: {error}; trying again in {} s",
                    wait.as_secs_f32()
                ),
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => attempt += 1,
                () = terms.cancel.cancelled() => return Err(cancelled()),
            }
        }
    }

    /// One attempt. Until the first commit it can be dropped at any time; from there on it is carried through.
    async fn attempt(&self, chosen: &Chosen, terms: &Terms<'_>) -> Result<Vec<Committed>> {
        let (run, fence) = (chosen.run.to_string(), terms.lease.fence());
        let before = committed_before(self, &chosen.plan, &run).await?;
        let done: BTreeSet<StepName> = before.iter().map(|before| before.step.clone()).collect();
        if !before.is_empty() && loads(&chosen.plan).all(|load| done.contains(load)) {
            Scratch::remove(&self.scratch(), &run);
            return Ok(before);
        }
        let scratch = Scratch::create(&self.scratch(), &run, fence.token)?;
        let folder = scratch.path().to_owned();
        let recorder = Arc::new(Recorder::new(Arc::clone(terms.progress)));
        let watcher = Arc::clone(&recorder) as Arc<dyn Progress>;
        let mut executor = Executor::new(self, &chosen.plan, (&run, fence), watcher, done, folder)?;
        let staged = tokio::select! {
            staged = Box::pin(executor.stage()) => staged,
            () = terms.cancel.cancelled() => Err(cancelled()),
        };
        self.record_all(chosen, &recorder, terms.lease).await?;
        staged?;
        let is_load = |before: &Committed| loads(&chosen.plan).any(|load| *load == before.step);
        let mut committed: Vec<Committed> = before.into_iter().filter(is_load).collect();
        loop {
            if executor.commits_more() {
                // Not every target can tell who is late.
                self.state().await?.renew(terms.lease).await?;
            }
            let done = executor.commit_next(terms.cancel).await;
            // What an audit has found.
            self.record_all(chosen, &recorder, terms.lease).await?;
            let done = done?;
            if done.is_empty() {
                return Ok(committed);
            }
            for one in done {
                let event = RunEvent::Committed {
                    step: one.step.clone(),
                    target: one.target.clone(),
                    snapshot: one.snapshot,
                    rows: one.rows,
                };
                self.record(chosen.run, event, terms.lease).await?;
                committed.push(one);
            }
        }
    }

    /// Writes down what the run has told since the last time.
    async fn record_all(&self, chosen: &Chosen, recorder: &Recorder, lease: &Lease) -> Result<()> {
        for event in recorder.take() {
            self.record(chosen.run, event, lease).await?;
        }
        Ok(())
    }

    /// Writes down how the run ended, where it has.
    async fn conclude(
        &self,
        chosen: &Chosen,
        done: Result<(u32, Vec<Committed>)>,
        terms: &Terms<'_>,
    ) -> Result<RunReport> {
        let error = match done {
            Ok((attempt, committed)) => {
                self.record(chosen.run, RunEvent::Succeeded, terms.lease)
                    .await?;
                let loads = committed.into_iter().map(report);
                let loads = loads.chain(kept(&chosen.plan)).collect();
                let run = chosen.run.to_string();
                return Ok(RunReport {
                    run,
                    attempt,
                    resumed: chosen.resumed,
                    loads,
                });
            }
            Err(error) => error,
        };
        // A commit may have happened: the run stays open, and the next command goes on with it.
        let half = match committed_before(self, &chosen.plan, &chosen.run.to_string()).await {
            Ok(before) => !before.is_empty(),
            Err(_) => true,
        };
        if half || error.kind() == ErrorKind::CommitUnknown {
            return Err(open(chosen.run, error));
        }
        let event = if error.kind() == ErrorKind::Cancelled {
            RunEvent::Cancelled
        } else {
            RunEvent::failed(&error)
        };
        if let Err(unwritten) = self.record(chosen.run, event, terms.lease).await {
            // What went wrong first is what the user must hear of.
            tracing::warn!(error = %unwritten, run = %chosen.run, "the end of the run could not be recorded");
        }
        Err(error.with("run", chosen.run))
    }

    /// Writes an event down, again where that fails in a way that passes.
    async fn record(&self, run: RunId, event: RunEvent, lease: &Lease) -> Result<()> {
        let (state, now) = (self.state().await?, self.now());
        let mut pauses = RECORD_PAUSES.iter();
        loop {
            let Err(error) = state.append(lease, run, event.clone(), now).await else {
                return Ok(());
            };
            match pauses.next().filter(|_| error.is_retryable()) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(error),
            }
            // Only the reply may have been lost. A run never says the same thing twice in a row.
            let events = state.events(run).await.unwrap_or_default();
            if events.last().is_some_and(|last| last.event == event) {
                return Ok(());
            }
        }
    }
}

/// Why the run of this log exists.
fn cause_of(record: &RunRecord) -> Cause {
    let first = record.events.first().map(|event| &event.event);
    match first {
        Some(RunEvent::Started {
            trigger, decision, ..
        }) => Cause {
            trigger: trigger.clone(),
            decision: *decision,
        },
        _ => Cause {
            trigger: "manual".to_owned(),
            decision: None,
        },
    }
}

/// Gives a pipeline's lock back. It goes with the process at the latest; the run itself is over.
async fn release(lease: Lease, pipeline: &PipelineId) {
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, %pipeline, "the pipeline's lock could not be given back");
    }
}

/// Whether another attempt can help. Where it is not known whether a commit happened, the next attempt looks first.
fn may_pass(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Conflict => false,
        ErrorKind::CommitUnknown => true,
        _ => error.is_retryable(),
    }
}

/// What is said of a run that ended its process and not itself.
fn open(run: RunId, error: Error) -> Error {
    let stays = Error::new(
        error.kind(),
        "the run has committed a part of what it was to commit, and stays open",
    )
    .with("run", run);
    match error.kind() {
        ErrorKind::Cancelled => stays.help("run the pipeline again to finish it"),
        _ => stays.caused_by(error).help(format!(
            "run the pipeline again to finish it; where that can never be, `lakewright runs abandon {run}` gives it up \
             and says what that means"
        )),
    }
}

/// The wait after the `tried`th attempt.
fn backoff(retry: &Retry, tried: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(tried.saturating_sub(1).min(16));
    retry
        .backoff
        .initial
        .saturating_mul(doubled)
        .min(retry.backoff.max)
}

/// Says which steps are not what they were when the plan was made.
fn moved(sealed: &Plan, fresh: &Plan) -> Error {
    let changed: Vec<String> = fresh
        .steps
        .iter()
        .filter(|step| sealed.step(&step.name).is_none_or(|then| then != *step))
        .map(|step| format!("`{}`", step.name))
        .collect();
    Error::new(
        ErrorKind::Conflict,
        "the world has moved since the plan was made",
    )
    .with("steps", changed.join(", "))
    .with("planned", &sealed.fingerprint)
    .with("now", &fresh.fingerprint)
    .help("plan again, look at what changed, and run the new plan")
    .retry(false)
}
