//! The contract of a state store.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use connectors::Result;
use spec::model::PipelineId;

use super::{Event, Lease, OpenDecision, PastDecision, RunEvent, RunId, RunRecord, Take, lease};
use crate::scheduler::{Decision, Schedules, Share, Taken};

/// A log of run events, a lock for each pipeline, and what was decided about schedules.
///
/// An event is one row, written in one statement under the key of run and sequence: after a crash it is there whole or
/// not at all. Events of one run come from the process that holds its pipeline's lock. What is written under a lease is
/// written only while it is in force: who has lost it gets a `Conflict` and has written nothing. A store that does not exist yet reads as empty and is made by
/// the first write.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Adds an event to the log of a run of the pipeline that the lease is for, and answers what was written. An event that cannot follow what is there is
    /// refused with the name of the [`super::status::IllegalTransition`] as its cause.
    async fn append(
        &self,
        lease: &Lease,
        run: RunId,
        event: RunEvent,
        now: DateTime<Utc>,
    ) -> Result<Event>;

    /// All events of a run, the oldest first; none when the run is not known.
    async fn events(&self, run: RunId) -> Result<Vec<Event>>;

    /// The newest runs, of one pipeline or of all, the newest first, at most `limit`.
    async fn runs(&self, pipeline: Option<&PipelineId>, limit: u32) -> Result<Vec<RunRecord>>;

    /// The newest run of the pipeline that has not ended: it is running, or its process died.
    async fn unfinished(&self, pipeline: &PipelineId) -> Result<Option<RunRecord>>;

    /// Takes the pipeline's lock, or fails at once with `Conflict` when another run has it. It is free again when the
    /// lock is dropped or the process ends, however it ends, or has stood still for longer than a lease.
    async fn lock(&self, pipeline: &PipelineId) -> Result<Lease> {
        match self.take(pipeline, &[]).await? {
            Take::Got(lease) => Ok(lease),
            Take::Running | Take::Full(_) => Err(lease::running(pipeline)),
        }
    }

    /// The same with shares of what is for all, which are free again with the lock. Nothing is taken where one of them has
    /// as many takers as it may have.
    async fn take(&self, pipeline: &PipelineId, shares: &[Share]) -> Result<Take>;

    /// Who has shares of what.
    async fn taken(&self) -> Result<Taken>;

    /// Makes sure that a lease is in force, and for a whole while to come; `Conflict` where somebody else has the right.
    async fn renew(&self, lease: &Lease) -> Result<()>;

    /// Whether somebody has the pipeline's lock. To look keeps nobody from taking it.
    async fn is_locked(&self, pipeline: &PipelineId) -> Result<bool>;

    /// Writes decisions down, in the order given, and answers those that were. Where the place of one is taken, somebody else has
    /// decided meanwhile: that one and those after it about the same pipeline are left out. A daemon has the lease to
    /// decide; people need none.
    async fn decide<'a>(
        &self,
        lease: Option<&Lease>,
        decisions: &'a [Decision],
        now: DateTime<Utc>,
    ) -> Result<Vec<&'a Decision>>;

    /// What is known of all schedules, where these decisions are open; of publications, those of the pipelines in `after`.
    async fn schedules(
        &self,
        after: &BTreeSet<PipelineId>,
        open: &[OpenDecision],
    ) -> Result<Schedules>;

    /// The decisions whose runs are still to come or to end, the oldest first.
    async fn open_decisions(&self) -> Result<Vec<OpenDecision>>;

    /// How the run of a decision ended; `None` where it is still to come or to end.
    async fn end_of(&self, pipeline: &PipelineId, decision: u32) -> Result<Option<String>>;

    /// Says what came of a decision. Nothing more will.
    async fn close_decision(
        &self,
        lease: &Lease,
        pipeline: &PipelineId,
        decision: u32,
        what: &str,
    ) -> Result<()>;

    /// The newest decisions about a pipeline, the newest first, at most `limit`.
    async fn decisions(&self, pipeline: &PipelineId, limit: u32) -> Result<Vec<PastDecision>>;

    /// Takes the right to decide, which one process has at a time; `None` where another has it.
    async fn lead(&self) -> Result<Option<Lease>>;

    /// Closes what is open, so that nothing is left beside the store's own files. Nothing can be asked after it.
    async fn close(&self);
}
