//! What snapshots told of runs that have expired since: it moves into a property of the table, in the same step.
//!
//! Without it a table would forget how far its pipelines have read, and rows would be read again. Knows no I/O.

use std::collections::{BTreeMap, HashSet};

use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::{Deserialize, Serialize};

use super::history::{self, LastRun};

/// The property of the table.
const PROPERTY: &str = "lakewright.expired-runs";

/// The newest run of a pipeline among those of which no snapshot tells any more. A pipeline has at most one run that may
/// have to be finished, and that is its newest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    run: String,
    snapshot: i64,
    committed_ms: i64,
    #[serde(default)]
    fingerprint: String,
    /// The newest watermark of each step, also of those that newer runs did not have.
    #[serde(default)]
    watermarks: BTreeMap<String, String>,
}

type Pipelines = BTreeMap<String, Told>;

/// The property as it is to be when these snapshots go; `None` where it stays as it is.
pub(super) fn property_without(
    metadata: &TableMetadata,
    going: &HashSet<i64>,
) -> Result<Option<(String, String)>> {
    let before = read(metadata)?;
    let mut told = before.clone();
    let lineage: Vec<&SnapshotRef> = history::lineage(metadata).collect();
    let goes = |snapshot: &&SnapshotRef| going.contains(&snapshot.snapshot_id());
    // What is older than the first that goes cannot be reached through it, even where it stays for a tag.
    let Some(cut) = lineage.iter().position(goes) else {
        return Ok(None);
    };
    for snapshot in lineage.get(cut..).unwrap_or_default().iter().rev() {
        let Some(run) = history::run_of(snapshot) else {
            continue;
        };
        let entry = told.entry(run.pipeline).or_default();
        entry.run = run.run;
        entry.snapshot = run.snapshot_id;
        entry.committed_ms = run.committed_ms;
        entry.fingerprint = run.fingerprint;
        entry.watermarks.extend(run.watermarks);
    }
    if told == before {
        return Ok(None);
    }
    let text = serde_json::to_string(&told).map_err(|error| {
        Error::new(ErrorKind::Internal, "what runs have told cannot be kept").caused_by(error)
    })?;
    Ok(Some((PROPERTY.to_owned(), text)))
}

/// The snapshot that this run had made, where it has expired.
pub(super) fn committed(metadata: &TableMetadata, run: &str) -> Option<i64> {
    let told = read(metadata).ok()?;
    let told = told.values().find(|told| told.run == run)?;
    Some(told.snapshot)
}

/// The newest watermark of a step of a pipeline among those that have expired.
pub(super) fn watermark(metadata: &TableMetadata, pipeline: &str, step: &str) -> Option<String> {
    read(metadata)
        .ok()?
        .get(pipeline)?
        .watermarks
        .get(step)
        .cloned()
}

/// The newest of the runs that have expired.
pub(super) fn last_run(metadata: &TableMetadata) -> Option<LastRun> {
    let told = read(metadata).ok()?;
    let (pipeline, told) = told.into_iter().max_by_key(|(_, told)| told.committed_ms)?;
    Some(LastRun {
        snapshot_id: told.snapshot,
        committed_ms: told.committed_ms,
        run: told.run,
        pipeline,
        fingerprint: told.fingerprint,
        watermarks: told.watermarks,
    })
}

/// A table whose property cannot be read must not be taken for one that nobody has loaded: see [`check`].
fn read(metadata: &TableMetadata) -> Result<Pipelines> {
    let Some(text) = metadata.properties().get(PROPERTY) else {
        return Ok(Pipelines::new());
    };
    serde_json::from_str(text).map_err(|error| {
        Error::new(
            ErrorKind::InvalidData,
            "the table's property about its expired runs cannot be read",
        )
        .with("property", PROPERTY)
        .caused_by(error)
    })
}

/// Refuses a table whose property was changed by somebody else.
pub(super) fn check(metadata: &TableMetadata) -> Result<()> {
    read(metadata).map(|_| ())
}
