//! The contract of a state store.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use connectors::Result;
use spec::model::PipelineId;

use super::{Event, PipelineLock, RunEvent, RunId, RunRecord};

/// A log of run events, and a lock for each pipeline.
///
/// An event is one row, written in one statement under the key of run and sequence: after a crash it is there whole or
/// not at all. Events of one run come from the process that holds its pipeline's lock; should two write all the same,
/// one of them gets a `Conflict` and has written nothing. A store that does not exist yet reads as empty and is made by
/// the first write.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Adds an event to the log of a run and answers what was written. An event that cannot follow what is there is
    /// refused with the name of the [`super::status::IllegalTransition`] as its cause.
    async fn append(
        &self,
        run: RunId,
        pipeline: &PipelineId,
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
    /// lock is dropped or the process ends, however it ends.
    async fn lock(&self, pipeline: &PipelineId) -> Result<PipelineLock>;

    /// Whether somebody has the pipeline's lock. To look keeps nobody from taking it.
    async fn is_locked(&self, pipeline: &PipelineId) -> Result<bool>;

    /// Closes what is open, so that nothing is left beside the store's own files. Nothing can be asked after it.
    async fn close(&self);
}
