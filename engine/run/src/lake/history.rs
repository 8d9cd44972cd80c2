//! What the table itself remembers of runs: written into the snapshot summary in the same commit as the data, and
//! read back from the lineage of `main`.
//!
//! This is the truth the engine returns to after a crash. Knows no I/O.

use std::collections::{BTreeMap, HashMap};

use connectors::Fence;
use iceberg::spec::{Operation, SnapshotRef, TableMetadata};

use super::expired;

const RUN: &str = "lakewright.run-id";
const PIPELINE: &str = "lakewright.pipeline";
const FINGERPRINT: &str = "lakewright.fingerprint";
const MAINTENANCE: &str = "lakewright.maintenance-id";
const WATERMARK: &str = "lakewright.watermark.";
const INSERTED: &str = "lakewright.rows-inserted";
const UPDATED: &str = "lakewright.rows-updated";
const DELETED: &str = "lakewright.rows-deleted";

/// What a commit remembers of the run that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run; committing it again changes nothing.
    pub run: String,
    /// The pipeline.
    pub pipeline: String,
    /// The fingerprint of the pipeline's spec.
    pub fingerprint: String,
    /// How far each extract had read: step to watermark, as JSON.
    pub watermarks: BTreeMap<String, String>,
    /// The time of the commit, in milliseconds since 1970.
    pub now_ms: i64,
    /// Who commits, where the right to may have gone to somebody else. The catalog minds it; no snapshot remembers it.
    pub fence: Option<Fence>,
}

impl Stamp {
    /// The stamp as properties of a snapshot summary.
    pub(super) fn properties(&self) -> HashMap<String, String> {
        let mut properties = HashMap::from([
            (RUN.to_owned(), self.run.clone()),
            (PIPELINE.to_owned(), self.pipeline.clone()),
            (FINGERPRINT.to_owned(), self.fingerprint.clone()),
        ]);
        for (step, watermark) in &self.watermarks {
            properties.insert(format!("{WATERMARK}{step}"), watermark.clone());
        }
        properties
    }
}

/// What a commit of maintenance remembers: not a run, but enough to find it again when the reply was lost.
pub(super) fn maintenance(id: &str) -> HashMap<String, String> {
    HashMap::from([(MAINTENANCE.to_owned(), id.to_owned())])
}

/// How many rows a merge changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangedRows {
    /// Rows with a key that the table did not have.
    pub inserted: u64,
    /// Rows of the table that got other values.
    pub updated: u64,
    /// Rows of the table that went.
    pub deleted: u64,
}

impl ChangedRows {
    /// All of them.
    pub const fn all(self) -> u64 {
        self.inserted + self.updated + self.deleted
    }

    /// These as properties of a snapshot summary: the library's own counts hold rows that were only copied, too.
    pub(super) fn properties(self) -> [(String, String); 3] {
        [
            (INSERTED, self.inserted),
            (UPDATED, self.updated),
            (DELETED, self.deleted),
        ]
        .map(|(key, rows)| (key.to_owned(), rows.to_string()))
    }
}

impl std::ops::AddAssign for ChangedRows {
    fn add_assign(&mut self, more: Self) {
        self.inserted += more.inserted;
        self.updated += more.updated;
        self.deleted += more.deleted;
    }
}

/// How many rows the merge changed that made a snapshot.
pub(super) fn changed(snapshot: &SnapshotRef) -> Option<u64> {
    let count = |key| known_count(snapshot, key);
    Some(count(INSERTED)? + count(UPDATED)? + count(DELETED)?)
}

/// What the newest snapshot that one of our runs made says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// The snapshot.
    pub snapshot_id: i64,
    /// When it was committed, in milliseconds since 1970.
    pub committed_ms: i64,
    /// The run.
    pub run: String,
    /// The pipeline.
    pub pipeline: String,
    /// The fingerprint of the pipeline's spec.
    pub fingerprint: String,
    /// How far each extract had read.
    pub watermarks: BTreeMap<String, String>,
}

/// The snapshots of `main`, newest first, as far back as they have not expired.
pub(super) fn lineage(metadata: &TableMetadata) -> impl Iterator<Item = &SnapshotRef> {
    lineage_of(metadata, metadata.current_snapshot())
}

/// A snapshot and those it was made on, newest first, as far back as they have not expired.
pub(super) fn lineage_of<'a>(
    metadata: &'a TableMetadata,
    snapshot: Option<&'a SnapshotRef>,
) -> impl Iterator<Item = &'a SnapshotRef> {
    std::iter::successors(snapshot, |snapshot| {
        snapshot
            .parent_snapshot_id()
            .and_then(|parent| metadata.snapshot_by_id(parent))
    })
}

/// A property of a snapshot's summary.
fn property<'a>(snapshot: &'a SnapshotRef, key: &str) -> Option<&'a String> {
    snapshot.summary().additional_properties.get(key)
}

/// The run that made a snapshot, and its pipeline.
pub(super) fn made_by(snapshot: &SnapshotRef) -> Option<(&str, &str)> {
    let run = property(snapshot, RUN)?.as_str();
    Some((run, property(snapshot, PIPELINE)?.as_str()))
}

/// The snapshot this run, or work of maintenance, made, where it is part of `main`.
pub(super) fn committed<'a>(metadata: &'a TableMetadata, run: &str) -> Option<&'a SnapshotRef> {
    let by = |snapshot: &SnapshotRef, key| property(snapshot, key).is_some_and(|id| id == run);
    lineage(metadata).find(|snapshot| by(snapshot, RUN) || by(snapshot, MAINTENANCE))
}

/// Whether `to` has the very rows of `from`: on the way files were at most written anew.
pub(super) fn same_rows(metadata: &TableMetadata, from: Option<i64>, to: Option<i64>) -> bool {
    if from == to {
        return true;
    }
    let Some(newest) = to.and_then(|to| metadata.snapshot_by_id(to)) else {
        return false;
    };
    for snapshot in lineage_of(metadata, Some(newest)) {
        if Some(snapshot.snapshot_id()) == from {
            return true;
        }
        if snapshot.summary().operation != Operation::Replace {
            return false;
        }
    }
    false
}

/// The newest watermark of a step of a pipeline.
pub(super) fn watermark(metadata: &TableMetadata, pipeline: &str, step: &str) -> Option<String> {
    watermark_of(metadata, metadata.current_snapshot(), pipeline, step)
}

/// The newest watermark of a step of a pipeline when a snapshot was the newest.
pub(super) fn watermark_of(
    metadata: &TableMetadata,
    snapshot: Option<&SnapshotRef>,
    pipeline: &str,
    step: &str,
) -> Option<String> {
    let key = format!("{WATERMARK}{step}");
    lineage_of(metadata, snapshot)
        .filter(|snapshot| property(snapshot, PIPELINE).is_some_and(|found| found == pipeline))
        .find_map(|snapshot| property(snapshot, &key).cloned())
        .or_else(|| expired::watermark(metadata, pipeline, step))
}

/// The newest of our runs.
pub(super) fn last_run(metadata: &TableMetadata) -> Option<LastRun> {
    let found = lineage(metadata).find_map(run_of);
    found.or_else(|| expired::last_run(metadata))
}

/// What a snapshot says of the run that made it.
pub(super) fn run_of(snapshot: &SnapshotRef) -> Option<LastRun> {
    let of = |key| property(snapshot, key).cloned();
    let watermarks = snapshot.summary().additional_properties.iter();
    Some(LastRun {
        snapshot_id: snapshot.snapshot_id(),
        committed_ms: snapshot.timestamp_ms(),
        run: of(RUN)?,
        pipeline: of(PIPELINE).unwrap_or_default(),
        fingerprint: of(FINGERPRINT).unwrap_or_default(),
        watermarks: watermarks
            .filter_map(|(key, value)| {
                Some((key.strip_prefix(WATERMARK)?.to_owned(), value.clone()))
            })
            .collect(),
    })
}

/// A count from a snapshot's summary.
pub(super) fn count(snapshot: &SnapshotRef, key: &str) -> u64 {
    known_count(snapshot, key).unwrap_or(0)
}

/// A count from a snapshot's summary, where it has it.
pub(super) fn known_count(snapshot: &SnapshotRef, key: &str) -> Option<u64> {
    property(snapshot, key)?.parse().ok()
}
