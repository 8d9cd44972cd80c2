//! Makes staged files visible, exactly once.
//!
//! The loop around the one step of the catalog: look whether the run is there already, build a snapshot on what the
//! table is now, try, and on a lost reply look again before anything else is said. Knows nothing of how files were
//! written.

mod apart;
mod snapshot;
mod summary;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use iceberg::io::FileIO;
use iceberg::spec::SnapshotRef;
use iceberg::table::Table;
use uuid::Uuid;

pub(super) use self::snapshot::{
    AddedDelete, ConflictPolicy, Removal, RemovedFiles, SnapshotOp, require_format,
};
pub(super) use self::target::Target;
use super::catalog::{Catalog, Change, CommitError};
use super::history;
use crate::failpoint::{self, Point};

/// Tries of one commit.
const ATTEMPTS: u32 = 20;
/// The pause after the first lost try; it doubles, with a random part so that writers fall out of step.
const FIRST_PAUSE_MS: u64 = 10;
/// The longest pause.
const LONGEST_PAUSE_MS: u64 = 1_000;

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot.
    pub snapshot_id: i64,
    /// Rows it added; rows it changed, for a merge.
    pub rows: u64,
    /// Files it added.
    pub files: u64,
    /// Whether an earlier attempt of the same run had made it.
    pub already: bool,
}

impl Committed {
    fn of(snapshot: &SnapshotRef, already: bool) -> Self {
        Self {
            snapshot_id: snapshot.snapshot_id(),
            rows: history::changed(snapshot)
                .unwrap_or_else(|| history::count(snapshot, "added-records")),
            files: history::count(snapshot, "added-data-files"),
            already,
        }
    }
}

/// Why nothing was committed, and whether the data files may be removed.
pub(super) struct NotCommitted {
    /// What went wrong.
    pub(super) error: Error,
    /// No attempt can still become visible.
    pub(super) certain: bool,
}

/// The loop's memory between tries.
#[derive(Default)]
struct Tries {
    /// Snapshots whose commit may have happened.
    unknown: Vec<i64>,
    last: Option<Error>,
}

impl Tries {
    /// The end without success. A lost reply outweighs whatever went wrong later.
    fn end(self, error: Error) -> NotCommitted {
        if self.unknown.is_empty() {
            return NotCommitted {
                error,
                certain: true,
            };
        }
        let error = Error::new(ErrorKind::CommitUnknown, "the reply to a commit was lost")
            .help("run the pipeline again: it looks for this run in the table before it writes")
            .caused_by(error);
        NotCommitted {
            error,
            certain: false,
        }
    }
}

/// Commits an operation on behalf of a run.
pub(super) async fn commit(
    catalog: &dyn Catalog,
    mut target: Target,
    op: &SnapshotOp,
    run: &str,
) -> Result<Committed, NotCommitted> {
    let mut tries = Tries::default();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(pause(attempt)).await;
        }
        let now = match catalog.load(target.id()).await {
            Ok(now) => now,
            Err(error) => return Err(tries.end(error)),
        };
        let found = now
            .as_ref()
            .and_then(|table| history::committed(table.metadata(), run));
        if let Some(snapshot) = found {
            let ours = tries.unknown.contains(&snapshot.snapshot_id());
            return Ok(Committed::of(snapshot, !ours));
        }
        if let (Some(now), ConflictPolicy::KeysApart(keys)) = (&now, &op.policy) {
            match apart::apart(target.base(), now, keys).await {
                Ok(true) => {}
                Ok(false) => {
                    let moved = "the table was changed by somebody else";
                    return Err(tries.end(target.moved(moved)));
                }
                Err(error) => return Err(tries.end(error)),
            }
        }
        target = match target.rebased(now, &op.policy) {
            Ok(target) => target,
            Err(error) => return Err(tries.end(error)),
        };
        match attempt_once(catalog, &target, op, &mut tries).await {
            Ok(Some(committed)) => return Ok(committed),
            Ok(None) => {}
            Err(error) => return Err(tries.end(error)),
        }
    }
    let last = tries.last.take().unwrap_or_else(|| exhausted(&target));
    Err(tries.end(last))
}

/// One try; `None` when another may succeed.
async fn attempt_once(
    catalog: &dyn Catalog,
    target: &Target,
    op: &SnapshotOp,
    tries: &mut Tries,
) -> Result<Option<Committed>> {
    let produced = snapshot::produce(target, op).await?;
    let snapshot = SnapshotRef::new(produced.snapshot.clone());
    let change = Change {
        id: target.id(),
        base: target.base(),
        initial: target.initial(),
        initial_updates: target.initial_updates(),
        file_io: target.file_io(),
        requirements: target.requirements(),
        updates: target.updates(produced.snapshot),
    };
    match catalog.commit(change).await {
        Ok(()) => Ok(Some(Committed::of(&snapshot, false))),
        Err(CommitError::Conflict(error)) => {
            remove(target.file_io(), &produced.written).await;
            tries.last = Some(error);
            Ok(None)
        }
        Err(CommitError::Unknown(error)) => {
            tries.unknown.push(snapshot.snapshot_id());
            tries.last = Some(error);
            Ok(None)
        }
        Err(CommitError::Failed(error)) => {
            remove(target.file_io(), &produced.written).await;
            Err(error)
        }
    }
}

fn exhausted(target: &Target) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "the table changes too fast to commit to it",
    )
    .with("table", target.id())
}

/// Removes files that nothing refers to. What stays behind is maintenance's to remove.
pub(super) async fn remove(file_io: &FileIO, files: &[String]) {
    failpoint::passing(Point::CleanFiles);
    for file in files {
        if let Err(error) = file_io.delete(file).await {
            tracing::debug!(file, %error, "an unused file stays behind");
        }
    }
    failpoint::passed(Point::CleanFiles);
}

/// How long to wait before a try.
fn pause(attempt: u32) -> Duration {
    let doubled = FIRST_PAUSE_MS
        .saturating_mul(1 << attempt.min(10))
        .min(LONGEST_PAUSE_MS);
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Duration::from_millis(doubled / 2 + random % doubled)
}

/// The current snapshot of a table that may not be there.
pub(super) fn current(table: Option<&Table>) -> Option<i64> {
    table.and_then(|table| table.metadata().current_snapshot_id())
}
