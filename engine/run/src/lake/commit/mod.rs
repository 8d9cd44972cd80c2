//! Makes staged files visible, exactly once.
//!
//! The loop around the one step of the catalog: look whether the run is there already, build a snapshot on what the
//! table is now, try, and on a lost reply look again before anything else is said. Knows nothing of how files were
//! written.

mod branch;
mod concerns;
mod manifests;
mod snapshot;
mod summary;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use iceberg::io::FileIO;
use iceberg::spec::{Snapshot, SnapshotRef};
use iceberg::table::Table;
use uuid::Uuid;

pub(super) use self::branch::{Branch, PREFIX as BRANCH_PREFIX, fast_forward};
pub(super) use self::manifests::{Merging, mergeable};
use self::snapshot::Produced;
pub(super) use self::snapshot::{
    AddedDelete, ConflictPolicy, Removal, RemovedFiles, SnapshotOp, lists_files, require_format,
};
pub(super) use self::target::Target;
use super::catalog::{Catalog, Change, CommitError};
use super::expired;
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

    /// Of a run whose snapshot has expired.
    const fn long_ago(snapshot_id: i64) -> Self {
        Self {
            snapshot_id,
            rows: 0,
            files: 0,
            already: true,
        }
    }
}

/// What is to be committed to one table.
pub(super) struct Part {
    /// The table.
    pub(super) target: Target,
    /// The change of its files.
    pub(super) op: SnapshotOp,
    /// The run on behalf of which it is done.
    pub(super) run: String,
    /// The branch that gets it; `main` when `None`.
    pub(super) branch: Option<Branch>,
    /// What became of it.
    pub(super) done: Option<Committed>,
}

impl Part {
    /// Something that is still to be committed.
    pub(super) const fn new(target: Target, op: SnapshotOp, run: String) -> Self {
        Self {
            target,
            op,
            run,
            branch: None,
            done: None,
        }
    }

    /// Looks at the table as it is now: whether the run is there already, and whether the change goes on top of it.
    async fn look(&mut self, catalog: &dyn Catalog, tries: &Tries) -> Result<()> {
        let now = catalog.load(self.target.id()).await?;
        if let Some(metadata) = now.as_ref().map(Table::metadata) {
            if let Some(snapshot) = history::committed(metadata, &self.run) {
                let id = snapshot.snapshot_id();
                let on_branch = self
                    .branch
                    .as_ref()
                    .is_some_and(|branch| branch.made.contains(&id));
                let ours = on_branch || tries.unknown.contains(&id);
                self.done = Some(Committed::of(snapshot, !ours));
                return Ok(());
            }
            if let Some(snapshot_id) = expired::committed(metadata, &self.run) {
                self.done = Some(Committed::long_ago(snapshot_id));
                return Ok(());
            }
            if let Some(branch) = &mut self.branch {
                branch.look(metadata)?;
                let stands = branch.stands(metadata, &tries.unknown);
                let stands = stands.and_then(|id| metadata.snapshot_by_id(id));
                let still = now.as_ref().is_some_and(|now| self.target.is_still(now));
                if let Some(snapshot) = stands.filter(|_| still) {
                    self.done = Some(Committed::of(snapshot, false));
                    return Ok(());
                }
            }
        }
        if !concerns::none(self.target.base(), now.as_ref(), &self.op).await? {
            return Err(self.target.moved("the table was changed by somebody else"));
        }
        if let Some(rebased) = self.target.rebased(now, &self.op.policy)? {
            self.target = rebased;
        }
        Ok(())
    }

    fn change(&self, snapshot: Snapshot) -> Change<'_> {
        let target = &self.target;
        let mut requirements = target.requirements();
        let updates = match &self.branch {
            Some(branch) => {
                requirements.extend(target.base().map(|_| branch.requirement()));
                branch.updates(target.leading(), snapshot)
            }
            None => target.updates(snapshot),
        };
        Change {
            id: target.id(),
            base: target.base(),
            initial: target.initial(),
            initial_updates: target.initial_updates(),
            file_io: target.file_io(),
            requirements,
            updates,
            fences: self.op.fence.as_slice(),
        }
    }
}

/// Why nothing was committed, and whether the data files may be removed.
pub(super) struct NotCommitted {
    /// What went wrong.
    pub(super) error: Error,
    /// No attempt can still become visible.
    pub(super) certain: bool,
    /// The part that it is about, where it is about one.
    pub(super) at: Option<usize>,
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
    fn end(self, error: Error, at: Option<usize>) -> NotCommitted {
        if self.unknown.is_empty() {
            return NotCommitted {
                error,
                certain: true,
                at,
            };
        }
        let error = Error::new(ErrorKind::CommitUnknown, "the reply to a commit was lost")
            .help("run the pipeline again: it looks for this run in the table before it writes")
            .caused_by(error);
        NotCommitted {
            error,
            certain: false,
            at,
        }
    }
}

/// Commits parts, each on behalf of its run: all or none of them, where the catalog can, which only one part does not
/// need. What was committed before is not committed again.
pub(super) async fn commit(
    catalog: &dyn Catalog,
    parts: &mut [Part],
) -> Result<Vec<Committed>, NotCommitted> {
    let mut tries = Tries::default();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(pause(attempt)).await;
        }
        for (at, part) in parts.iter_mut().enumerate() {
            if let Err(error) = part.look(catalog, &tries).await {
                return Err(tries.end(error, Some(at)));
            }
        }
        if let Err(error) = attempt_once(catalog, parts, &mut tries).await {
            return Err(tries.end(error, None));
        }
        let done: Option<Vec<Committed>> = parts.iter().map(|part| part.done).collect();
        if let Some(done) = done {
            return Ok(done);
        }
    }
    let last = tries.last.take().unwrap_or_else(|| exhausted(parts));
    Err(tries.end(last, None))
}

/// One try. Parts that it does not do may be done by another.
async fn attempt_once(catalog: &dyn Catalog, parts: &mut [Part], tries: &mut Tries) -> Result<()> {
    let mut produced = Vec::new();
    for part in parts.iter().filter(|part| part.done.is_none()) {
        match snapshot::produce(&part.target, &part.op).await {
            Ok(one) => produced.push((part, one)),
            Err(error) => {
                remove_all(&produced).await;
                return Err(error);
            }
        }
    }
    let mut changes: Vec<Change<'_>> = Vec::with_capacity(produced.len());
    for (part, one) in &produced {
        changes.push(part.change(one.snapshot.clone()));
    }
    let committed = match <[Change<'_>; 1]>::try_from(changes) {
        Ok([change]) => catalog.commit(change).await,
        Err(changes) if changes.is_empty() => return Ok(()),
        Err(changes) => catalog.commit_together(changes).await,
    };
    match committed {
        Ok(()) => {
            let snapshots = produced.into_iter().map(|(_, one)| one.snapshot);
            let snapshots: Vec<SnapshotRef> = snapshots.map(SnapshotRef::new).collect();
            let open = parts.iter_mut().filter(|part| part.done.is_none());
            for (part, snapshot) in open.zip(&snapshots) {
                part.done = Some(Committed::of(snapshot, false));
                if let Some(branch) = &mut part.branch {
                    branch.made.push(snapshot.snapshot_id());
                }
            }
            Ok(())
        }
        Err(CommitError::Conflict(error)) => {
            remove_all(&produced).await;
            tries.last = Some(error);
            Ok(())
        }
        Err(CommitError::Unknown(error)) => {
            let snapshots = produced.iter().map(|(_, one)| one.snapshot.snapshot_id());
            tries.unknown.extend(snapshots);
            tries.last = Some(error);
            Ok(())
        }
        Err(CommitError::Failed(error)) => {
            remove_all(&produced).await;
            Err(error)
        }
    }
}

/// Removes what was written for snapshots that no table will have.
async fn remove_all(produced: &[(&Part, Produced)]) {
    for (part, one) in produced {
        remove(part.target.file_io(), &one.written).await;
    }
}

fn exhausted(parts: &[Part]) -> Error {
    let tables: Vec<String> = parts
        .iter()
        .map(|part| part.target.id().to_string())
        .collect();
    Error::new(
        ErrorKind::Conflict,
        "the table changes too fast to commit to it",
    )
    .with("table", tables.join(", "))
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
