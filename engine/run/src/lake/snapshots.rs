//! The snapshots of a table, for people: when, by whom, how many rows.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use iceberg::spec::SnapshotRef;

use super::history;
use super::table::LakeTable;

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its number.
    pub id: i64,
    /// The snapshot it was made on.
    pub parent: Option<i64>,
    /// When it was committed.
    pub committed: DateTime<Utc>,
    /// What it did: `append`, `overwrite`, `replace`, `delete`.
    pub operation: String,
    /// Rows that it wrote; rows that it only copied are among them.
    pub added: Option<u64>,
    /// Rows that it took out; rows that it only copied are among them.
    pub removed: Option<u64>,
    /// Rows that the table had.
    pub total: Option<u64>,
    /// Data files that the table had.
    pub files: Option<u64>,
    /// The run of ours that made it.
    pub run: Option<String>,
    /// The pipeline of that run.
    pub pipeline: Option<String>,
    /// Whether the table as it is now was made on it.
    pub in_lineage: bool,
}

impl LakeTable {
    /// All snapshots that have not expired, the newest first.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let metadata = self.iceberg().metadata();
        let lineage: HashSet<i64> = history::lineage(metadata)
            .map(|snapshot| snapshot.snapshot_id())
            .collect();
        let mut snapshots: Vec<&SnapshotRef> = metadata.snapshots().collect();
        snapshots.sort_by_key(|found| {
            std::cmp::Reverse((
                found.sequence_number(),
                found.timestamp_ms(),
                found.snapshot_id(),
            ))
        });
        let info = |found: &SnapshotRef| info(found, lineage.contains(&found.snapshot_id()));
        snapshots.into_iter().map(info).collect()
    }

    /// What a snapshot says of itself.
    pub fn snapshot(&self, id: i64) -> Option<SnapshotInfo> {
        self.snapshots().into_iter().find(|found| found.id == id)
    }

    /// The newest watermark of a step of a pipeline when this snapshot was the newest.
    pub fn watermark_at(&self, snapshot: i64, pipeline: &str, step: &str) -> Option<String> {
        let metadata = self.iceberg().metadata();
        let snapshot = metadata.snapshot_by_id(snapshot);
        history::watermark_of(metadata, snapshot, pipeline, step)
    }

    /// Whether the columns of a snapshot are those of the table now.
    pub fn has_columns_of(&self, snapshot: i64) -> bool {
        let metadata = self.iceberg().metadata();
        let made_with = metadata
            .snapshot_by_id(snapshot)
            .and_then(|snapshot| snapshot.schema_id());
        made_with.is_none_or(|id| id == metadata.current_schema_id())
    }
}

fn info(snapshot: &SnapshotRef, in_lineage: bool) -> SnapshotInfo {
    let count = |key| history::known_count(snapshot, key);
    let by = history::made_by(snapshot);
    SnapshotInfo {
        id: snapshot.snapshot_id(),
        parent: snapshot.parent_snapshot_id(),
        committed: DateTime::from_timestamp_millis(snapshot.timestamp_ms()).unwrap_or_default(),
        operation: snapshot.summary().operation.as_str().to_owned(),
        added: count("added-records"),
        removed: count("deleted-records"),
        total: count("total-records"),
        files: count("total-data-files"),
        run: by.map(|(run, _)| run.to_owned()),
        pipeline: by.map(|(_, pipeline)| pipeline.to_owned()),
        in_lineage,
    }
}
