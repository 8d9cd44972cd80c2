//! Commits beside `main`: to the branch of a run, where an audit looks at the rows, and from there to `main`.
//!
//! What readers of `main` would see of a commit (the snapshot, columns, how the table is cut and sorted) waits until
//! `main` goes forward. A snapshot on a branch is no part of its lineage, so that a run is not taken for committed.

use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{
    MAIN_BRANCH, Snapshot, SnapshotRef, SnapshotReference, SnapshotRetention, TableMetadata,
};
use iceberg::table::Table;
use iceberg::{TableRequirement, TableUpdate};

use super::{ATTEMPTS, Committed, Part, current, pause};
use crate::lake::catalog::{Catalog, Change, CommitError};
use crate::lake::{history, refs};

/// How the names of these branches begin.
pub(in crate::lake) const PREFIX: &str = "audit-";
/// How old the snapshot of such a branch may get before an expiry takes it, in milliseconds: 7 days.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The branch of a run on one table.
pub(in crate::lake) struct Branch {
    name: String,
    pipeline: String,
    /// The snapshot that it is at.
    at: Option<i64>,
    /// Branches that earlier runs of the pipeline have left.
    left: Vec<String>,
    /// Snapshots of this process that it was at.
    pub(in crate::lake) made: Vec<i64>,
}

impl Branch {
    pub(in crate::lake) const fn new(name: String, pipeline: String) -> Self {
        Self {
            name,
            pipeline,
            at: None,
            left: Vec::new(),
            made: Vec::new(),
        }
    }

    /// Looks where it is, and which others are of no use any more.
    pub(super) fn look(&mut self, metadata: &TableMetadata) -> Result<()> {
        let references = refs::of(metadata)?;
        self.at = references.get(&self.name).map(|found| found.snapshot_id);
        let of_pipeline = |found: &SnapshotReference| {
            let snapshot = metadata.snapshot_by_id(found.snapshot_id);
            let by = snapshot.and_then(history::made_by);
            by.is_some_and(|(_, pipeline)| pipeline == self.pipeline)
        };
        let left = references.iter().filter(|(name, found)| {
            name.starts_with(PREFIX)
                && **name != self.name
                && found.is_branch()
                && of_pipeline(found)
        });
        self.left = left.map(|(name, _)| name.clone()).collect();
        Ok(())
    }

    /// The snapshot on it, where it is one of these and goes straight on top of `main`.
    pub(super) fn stands(&self, metadata: &TableMetadata, ours: &[i64]) -> Option<i64> {
        let id = self
            .at
            .filter(|at| ours.contains(at) || self.made.contains(at))?;
        let on = metadata.snapshot_by_id(id)?.parent_snapshot_id();
        (on == metadata.current_snapshot_id()).then_some(id)
    }

    /// What must hold for a commit to it, where the table is there.
    pub(super) fn requirement(&self) -> TableRequirement {
        TableRequirement::RefSnapshotIdMatch {
            r#ref: self.name.clone(),
            snapshot_id: self.at,
        }
    }

    /// The updates of a commit to it, after those that lead to the columns of the snapshot.
    pub(super) fn updates(&self, leading: &[TableUpdate], snapshot: Snapshot) -> Vec<TableUpdate> {
        let is_beside_main = |update: &&TableUpdate| {
            !matches!(
                update,
                TableUpdate::SetCurrentSchema { .. }
                    | TableUpdate::SetDefaultSpec { .. }
                    | TableUpdate::SetDefaultSortOrder { .. }
            )
        };
        let reference = SnapshotReference::new(
            snapshot.snapshot_id(),
            SnapshotRetention::branch(Some(1), None, Some(KEPT_MS)),
        );
        let mut updates: Vec<_> = leading.iter().filter(is_beside_main).cloned().collect();
        updates.push(TableUpdate::AddSnapshot { snapshot });
        updates.push(TableUpdate::SetSnapshotRef {
            ref_name: self.name.clone(),
            reference,
        });
        let left = self.left.iter().cloned();
        updates.extend(left.map(|ref_name| TableUpdate::RemoveSnapshotRef { ref_name }));
        updates
    }
}

/// Takes `main` forward to what the branches of these parts are at, in one step, where it is still where the branches
/// began. `Conflict` where it is not: the rows are to be committed anew then.
pub(in crate::lake) async fn fast_forward(catalog: &dyn Catalog, parts: &[&Part]) -> Result<()> {
    let (mut lost, mut refused) = (None, None);
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(pause(attempt)).await;
        }
        let mut left = Vec::new();
        for part in parts {
            match part.left_to_forward(catalog).await {
                Ok(None) => {}
                Ok(Some(now)) => left.push((*part, now)),
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
                Err(error) => return Err(lost.map_or(error, unknown)),
            }
        }
        let changes: Vec<Change<'_>> = left
            .iter()
            .filter_map(|(part, now)| part.forward(now))
            .collect();
        let committed = match <[Change<'_>; 1]>::try_from(changes) {
            Ok([change]) => catalog.commit(change).await,
            Err(changes) if changes.is_empty() => return Ok(()),
            Err(changes) => catalog.commit_together(changes).await,
        };
        match committed {
            Ok(()) => return Ok(()),
            Err(CommitError::Conflict(error)) => refused = Some(error),
            Err(CommitError::Unknown(error)) => lost = Some(error),
            Err(CommitError::Failed(error)) => return Err(lost.map_or(error, unknown)),
        }
    }
    let moved = || {
        Error::new(
            ErrorKind::Conflict,
            "the tables change too fast to audit them",
        )
    };
    Err(match lost {
        Some(error) => unknown(error),
        None => refused.unwrap_or_else(moved),
    })
}

impl Part {
    /// The table, where `main` is still to go forward; `None` where it has, or had before the branch was made.
    async fn left_to_forward(&self, catalog: &dyn Catalog) -> Result<Option<Table>> {
        let (Some(branch), Some(done)) = (&self.branch, self.done) else {
            return Ok(None);
        };
        if done.already {
            return Ok(None);
        }
        let moved = || {
            self.target
                .moved("the table was changed while it was audited")
        };
        let now = catalog.load(self.target.id()).await?.ok_or_else(moved)?;
        let metadata = now.metadata();
        let is_done = |snapshot: &SnapshotRef| snapshot.snapshot_id() == done.snapshot_id;
        if history::lineage(metadata).any(is_done) {
            return Ok(None);
        }
        let references = refs::of(metadata)?;
        let at = references.get(&branch.name).map(|found| found.snapshot_id);
        if at == Some(done.snapshot_id) && self.target.is_still(&now) {
            return Ok(Some(now));
        }
        Err(moved())
    }

    /// The step of `main`.
    fn forward<'a>(&'a self, now: &'a Table) -> Option<Change<'a>> {
        let (branch, Committed { snapshot_id, .. }) = (self.branch.as_ref()?, self.done?);
        let (is, will) = (now.metadata(), self.target.metadata());
        let at = |name: &str, snapshot_id| TableRequirement::RefSnapshotIdMatch {
            r#ref: name.to_owned(),
            snapshot_id,
        };
        let mut requirements = vec![
            TableRequirement::UuidMatch { uuid: is.uuid() },
            at(MAIN_BRANCH, current(Some(now))),
            at(&branch.name, Some(snapshot_id)),
        ];
        let mut updates = Vec::new();
        if is.current_schema_id() != will.current_schema_id() {
            requirements.push(TableRequirement::CurrentSchemaIdMatch {
                current_schema_id: is.current_schema_id(),
            });
            updates.push(TableUpdate::SetCurrentSchema {
                schema_id: will.current_schema_id(),
            });
        }
        if is.default_partition_spec_id() != will.default_partition_spec_id() {
            requirements.push(TableRequirement::DefaultSpecIdMatch {
                default_spec_id: is.default_partition_spec_id(),
            });
            updates.push(TableUpdate::SetDefaultSpec {
                spec_id: will.default_partition_spec_id(),
            });
        }
        if is.default_sort_order_id() != will.default_sort_order_id() {
            requirements.push(TableRequirement::DefaultSortOrderIdMatch {
                default_sort_order_id: is.default_sort_order_id(),
            });
            updates.push(TableUpdate::SetDefaultSortOrder {
                sort_order_id: will.default_sort_order_id(),
            });
        }
        updates.push(TableUpdate::SetSnapshotRef {
            ref_name: MAIN_BRANCH.to_owned(),
            reference: SnapshotReference::new(
                snapshot_id,
                SnapshotRetention::branch(None, None, None),
            ),
        });
        updates.push(TableUpdate::RemoveSnapshotRef {
            ref_name: branch.name.clone(),
        });
        Some(Change {
            id: self.target.id(),
            base: Some(now),
            initial: is,
            initial_updates: &[],
            file_io: now.file_io(),
            requirements,
            updates,
            fences: self.op.fence.as_slice(),
        })
    }
}

fn unknown(error: Error) -> Error {
    Error::new(ErrorKind::CommitUnknown, "the reply to a commit was lost")
        .help("run the pipeline again: it looks for this run in the table before it writes")
        .caused_by(error)
}
