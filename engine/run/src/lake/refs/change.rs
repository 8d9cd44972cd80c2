//! Changes of references, each one compare-and-swap on the catalog: set a tag, delete one, take `main` back.
//!
//! The loop is that of `commit` for changes without files: look at the table, try, and on a lost reply look again.

use std::collections::BTreeMap;
use std::time::Duration;

use connectors::{Error, ErrorKind, Fence, Result};
use iceberg::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::table::Table;
use iceberg::{TableRequirement, TableUpdate};

use super::{TagName, listed, of};
use crate::lake::Lake;
use crate::lake::catalog::{Change, CommitError};
use crate::lake::history;
use crate::lake::id::TableId;

/// Tries of one change.
const ATTEMPTS: u32 = 10;
/// The pause after the first lost try; it grows by as much with each.
const PAUSE: Duration = Duration::from_millis(50);

/// What is left to do about a table.
enum Step {
    /// It is as it is to be.
    Done,
    /// This changes one of its references.
    Change {
        name: String,
        /// Where the reference is now; nowhere when `None`.
        from: Option<i64>,
        update: Box<TableUpdate>,
    },
}

impl Lake {
    /// Gives a snapshot a name that does not move. One that another snapshot has is taken from it only by `replace`.
    pub async fn set_tag(
        &self,
        id: &TableId,
        name: &TagName,
        snapshot: i64,
        keep: Option<Duration>,
        replace: bool,
    ) -> Result<()> {
        let keep_ms = keep.map(|keep| i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let wanted = SnapshotReference::new(
            snapshot,
            SnapshotRetention::Tag {
                max_ref_age_ms: keep_ms,
            },
        );
        self.change(id, &[], |table, _| {
            let references = of(table.metadata())?;
            let there = references.get(name.as_str());
            match there {
                Some(there) if *there == wanted => return Ok(Step::Done),
                Some(there) if there.is_branch() => return Err(not_a_tag(name)),
                Some(there) if !replace => return Err(taken(name, there.snapshot_id)),
                _ => {}
            }
            Ok(Step::Change {
                name: name.to_string(),
                from: there.map(|there| there.snapshot_id),
                update: Box::new(TableUpdate::SetSnapshotRef {
                    ref_name: name.to_string(),
                    reference: wanted.clone(),
                }),
            })
        })
        .await
    }

    /// Takes a name away from its snapshot.
    pub async fn delete_tag(&self, id: &TableId, name: &TagName) -> Result<()> {
        self.change(id, &[], |table, lost| {
            let references = of(table.metadata())?;
            let there = match references.get(name.as_str()) {
                Some(there) if there.is_branch() => return Err(not_a_tag(name)),
                Some(there) => there.snapshot_id,
                None if lost => return Ok(Step::Done),
                None => return Err(no_tag(name, references)),
            };
            Ok(Step::Change {
                name: name.to_string(),
                from: Some(there),
                update: Box::new(TableUpdate::RemoveSnapshotRef {
                    ref_name: name.to_string(),
                }),
            })
        })
        .await
    }

    /// Takes `main` from one snapshot back to another of its lineage, unless it has moved since, or another process has
    /// taken over what the fences are about.
    pub async fn roll_back(
        &self,
        id: &TableId,
        from: i64,
        to: i64,
        fences: &[Fence],
    ) -> Result<()> {
        self.change(id, fences, |table, lost| {
            let metadata = table.metadata();
            let now = metadata.current_snapshot_id();
            if now == Some(to) {
                return Ok(Step::Done);
            }
            if now != Some(from) {
                // After a lost reply somebody may have built on what we did.
                let ours = lost && in_lineage(metadata, to) && !in_lineage(metadata, from);
                return if ours { Ok(Step::Done) } else { Err(moved()) };
            }
            let retention = match of(metadata)?.remove(MAIN_BRANCH) {
                Some(main) => main.retention,
                None => SnapshotRetention::branch(None, None, None),
            };
            Ok(Step::Change {
                name: MAIN_BRANCH.to_owned(),
                from: Some(from),
                update: Box::new(TableUpdate::SetSnapshotRef {
                    ref_name: MAIN_BRANCH.to_owned(),
                    reference: SnapshotReference::new(to, retention),
                }),
            })
        })
        .await
    }

    /// Brings a table to where `next` has nothing left to do; `next` is told whether the reply to a try was lost.
    async fn change(
        &self,
        id: &TableId,
        fences: &[Fence],
        next: impl Fn(&Table, bool) -> Result<Step>,
    ) -> Result<()> {
        let (mut lost, mut refused) = (None, None);
        for attempt in 0..ATTEMPTS {
            tokio::time::sleep(PAUSE.saturating_mul(attempt)).await;
            let table = match self.catalog.load(id).await {
                Ok(Some(table)) => table,
                Ok(None) => return Err(gone(id)),
                Err(error) => return Err(lost.map_or(error, unknown)),
            };
            let step = next(&table, lost.is_some()).map_err(|error| error.with("table", id))?;
            let Step::Change { name, from, update } = step else {
                return Ok(());
            };
            match self
                .catalog
                .commit(change_of(id, &table, fences, name, from, *update))
                .await
            {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict(error)) => refused = Some(error),
                Err(CommitError::Unknown(error)) => lost = Some(error),
                Err(CommitError::Failed(error)) => return Err(lost.map_or(error, unknown)),
            }
        }
        Err(match lost {
            Some(error) => unknown(error),
            None => refused.unwrap_or_else(moved),
        })
    }
}

fn change_of<'a>(
    id: &'a TableId,
    table: &'a Table,
    fences: &'a [Fence],
    name: String,
    from: Option<i64>,
    update: TableUpdate,
) -> Change<'a> {
    let metadata = table.metadata();
    Change {
        id,
        base: Some(table),
        initial: metadata,
        initial_updates: &[],
        file_io: table.file_io(),
        requirements: vec![
            TableRequirement::UuidMatch {
                uuid: metadata.uuid(),
            },
            TableRequirement::RefSnapshotIdMatch {
                r#ref: name,
                snapshot_id: from,
            },
        ],
        updates: vec![update],
        fences,
    }
}

fn in_lineage(metadata: &TableMetadata, snapshot: i64) -> bool {
    history::lineage(metadata).any(|found| found.snapshot_id() == snapshot)
}

fn not_a_tag(name: &TagName) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("`{name}` is a branch, and no tag"),
    )
}

fn taken(name: &TagName, snapshot: i64) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("tag `{name}` is there already, with another snapshot or another time to keep it"),
    )
    .with("snapshot", snapshot)
    .help("`--replace` moves it")
    .retry(false)
}

fn no_tag(name: &TagName, references: BTreeMap<String, SnapshotReference>) -> Error {
    let tags = references
        .into_iter()
        .filter(|(_, found)| !found.is_branch());
    Error::new(
        ErrorKind::NotFound,
        format!("the table has no tag `{name}`"),
    )
    .help(format!("it has {}", listed(tags.map(|(name, _)| name))))
}

fn moved() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "the table was changed by somebody else at the same time",
    )
    .help("look at its history again before you repeat this")
    .retry(false)
}

fn gone(id: &TableId) -> Error {
    Error::new(ErrorKind::NotFound, "the table is not there any more").with("table", id)
}

fn unknown(error: Error) -> Error {
    Error::new(
        ErrorKind::CommitUnknown,
        "the reply to the change was lost: it may have happened",
    )
    .help("look at the table's history before you repeat this")
    .caused_by(error)
}
