//! References: the names that snapshots of a table have, and the moments that people mean by them.
//!
//! Knows the metadata of tables and the catalog's one step that changes it; knows nothing of runs and pipelines.

mod at;
mod change;
mod name;

use std::collections::BTreeMap;
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{SnapshotReference, SnapshotRetention, TableMetadata};
use serde::Deserialize;

pub use self::at::{At, Moment};
pub use self::name::TagName;
use super::table::LakeTable;

/// The most names that a message lists.
const LISTED: usize = 10;

/// Whether a name moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind {
    /// It moves with each commit to it.
    Branch,
    /// It stays where it was put.
    Tag,
}

impl RefKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        }
    }
}

/// A name that a snapshot has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name.
    pub name: String,
    /// Whether it moves.
    pub kind: RefKind,
    /// The snapshot.
    pub snapshot: i64,
    /// How old the snapshot may get before maintenance takes the name away; as the table's properties say when `None`.
    pub keep: Option<Duration>,
}

impl LakeTable {
    /// The names that snapshots have, sorted.
    pub fn references(&self) -> Result<Vec<Reference>> {
        let found =
            of(self.iceberg().metadata()).map_err(|error| error.with("table", self.id()))?;
        Ok(found.into_iter().map(reference).collect())
    }
}

/// The references in a table's metadata, which the library keeps to itself but for their snapshots.
pub(super) fn of(metadata: &TableMetadata) -> Result<BTreeMap<String, SnapshotReference>> {
    #[derive(Deserialize)]
    struct References {
        #[serde(default)]
        refs: BTreeMap<String, SnapshotReference>,
    }
    let written = serde_json::to_value(metadata).and_then(References::deserialize);
    written.map(|found| found.refs).map_err(|error| {
        Error::new(
            ErrorKind::InvalidData,
            "the references of the table cannot be read",
        )
        .caused_by(error)
    })
}

fn reference((name, found): (String, SnapshotReference)) -> Reference {
    let (kind, keep_ms) = match found.retention {
        SnapshotRetention::Branch { max_ref_age_ms, .. } => (RefKind::Branch, max_ref_age_ms),
        SnapshotRetention::Tag { max_ref_age_ms } => (RefKind::Tag, max_ref_age_ms),
    };
    Reference {
        name,
        kind,
        snapshot: found.snapshot_id,
        keep: keep_ms
            .and_then(|keep| u64::try_from(keep).ok())
            .map(Duration::from_millis),
    }
}

/// Names, as a message lists them.
fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    match (names.is_empty(), more) {
        (true, _) => "no names".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}
