//! How far the log of a run has come: enough to judge its next event without reading those before it.
//!
//! Knows nothing of databases.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Result};

use super::status::{self, IllegalTransition};
use super::{Event, RunEvent, RunId, RunStatus, record};

/// The end of a log.
pub(super) struct Head {
    sequence: u32,
    status: RunStatus,
}

impl Head {
    /// The end of a log that was read; `None` where there is none yet.
    pub(super) fn of(events: &[Event], run: RunId) -> Result<Option<Self>> {
        let Some(last) = events.last() else {
            return Ok(None);
        };
        let status = status::of(events).map_err(|illegal| record::impossible(run, illegal))?;
        Ok(Some(Self {
            sequence: last.sequence,
            status,
        }))
    }

    /// The event that follows in the log, and the log's end once it is written.
    pub(super) fn followed_by(
        head: Option<Self>,
        run: RunId,
        event: RunEvent,
        now: DateTime<Utc>,
    ) -> Result<(Event, Self)> {
        let event = Event {
            sequence: head
                .as_ref()
                .map_or(1, |head| head.sequence.saturating_add(1)),
            at: now,
            event,
        };
        let status = match head {
            None => RunStatus::begin(&event),
            Some(Self { mut status, .. }) => status.follow(&event).map(|()| status),
        };
        let status = status.map_err(|illegal| refused(run, &event.event, illegal))?;
        let sequence = event.sequence;
        Ok((event, Self { sequence, status }))
    }
}

/// The heads of the logs that this process writes. They are worth keeping because nobody else writes to these logs;
/// should somebody do so all the same, the key of run and sequence lets one of the two in. A head is of no use under
/// another token: somebody else may have been at the run in between.
#[derive(Default)]
pub(super) struct Heads(Mutex<BTreeMap<RunId, (i64, Head)>>);

impl Heads {
    /// Takes out the head of a log. Who has written the next event puts the new one in; who could not leaves none, and
    /// the log is read again.
    pub(super) fn take(&self, run: RunId, token: i64) -> Option<Head> {
        let (under, head) = self.heads().remove(&run)?;
        (under == token).then_some(head)
    }

    /// Keeps the head of a log, for as long as something can follow.
    pub(super) fn put(&self, run: RunId, token: i64, head: Head) {
        if !head.status.has_ended() {
            self.heads().insert(run, (token, head));
        }
    }

    fn heads(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunId, (i64, Head)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(run: RunId, event: &RunEvent, illegal: IllegalTransition) -> Error {
    // A run that has ended was ended by somebody else, and this process does not know yet.
    let kind = match illegal {
        IllegalTransition::AfterEnd { .. } => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    };
    let message = format!("the log of run `{run}` does not take `{}`", event.kind());
    Error::new(kind, message).caused_by(illegal).retry(false)
}
