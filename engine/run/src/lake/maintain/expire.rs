//! Expiry: old snapshots go, then the files that only they reached.
//!
//! What has a name stays: tags, and branches as far back as they say. What a snapshot told of runs moves into a property
//! of the table in the same step. Files are removed only after it is certain that their snapshots went; what a crash
//! leaves behind is an orphan.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use futures::{StreamExt, stream};
use iceberg::spec::{SnapshotReference, SnapshotRetention, TableMetadata};
use iceberg::table::Table;
use iceberg::{TableRequirement, TableUpdate};

use super::{FILES_AT_ONCE, may_remove, reach};
use crate::lake::Lake;
use crate::lake::catalog::{Change, CommitError};
use crate::lake::id::TableId;
use crate::lake::refs;
use crate::lake::table::LakeTable;
use crate::lake::{expired, history};

/// Tries of one expiry.
const ATTEMPTS: u32 = 10;
/// The pause after the first lost try; it grows by as much with each.
const PAUSE: Duration = Duration::from_millis(50);
/// The property that says how old the snapshot of a name may get, and what holds without it: any age.
const MAX_REF_AGE: &str = "history.expire.max-ref-age-ms";

/// Which snapshots go.
#[derive(Clone, Copy, Debug)]
pub struct ExpiryRules {
    /// Those that another one followed before, in milliseconds since 1970.
    pub before_ms: i64,
    /// How many of the newest of a branch stay, however old.
    pub keep: usize,
    /// The time now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Snapshots.
    pub snapshots: usize,
    /// Snapshots that stay.
    pub kept: usize,
    /// Names that were to be kept only for a time.
    pub references: Vec<String>,
    /// Files that only those snapshots reached.
    pub files: usize,
    /// The size of those with rows, or with deletes of rows.
    pub bytes: u64,
}

/// Snapshots and names that go.
#[derive(Default)]
struct Going {
    snapshots: HashSet<i64>,
    references: BTreeMap<String, i64>,
}

impl Going {
    /// Whether all of it is gone.
    fn is_gone(&self, metadata: &TableMetadata) -> Result<bool> {
        let references = refs::of(metadata)?;
        let mut snapshots = self.snapshots.iter();
        let mut names = self.references.keys();
        Ok(snapshots.all(|id| metadata.snapshot_by_id(*id).is_none())
            && names.all(|name| !references.contains_key(name)))
    }
}

/// Files that nothing will reach.
#[derive(Default)]
struct Unreached {
    data: BTreeMap<String, u64>,
    metadata: Vec<String>,
}

impl Lake {
    /// Takes out the snapshots of a table that are older than the rules allow, or only says which.
    pub async fn expire(&self, id: &TableId, rules: ExpiryRules, dry_run: bool) -> Result<Expired> {
        let (mut refused, mut lost) = (None, None::<(Error, Expired, Unreached, Going)>);
        for attempt in 0..ATTEMPTS {
            tokio::time::sleep(PAUSE.saturating_mul(attempt)).await;
            let table = self.table(id).await?.ok_or_else(|| gone(id))?;
            let metadata = table.iceberg().metadata();
            // The reply to the last try was lost: it happened where nothing of what was to go is there.
            if let Some((_, expired, files, went)) = &lost {
                if went.is_gone(metadata)? {
                    remove(table.iceberg(), files).await;
                    return Ok(expired.clone());
                }
                lost = None;
            }
            let going = going(metadata, rules).map_err(|error| error.with("table", id))?;
            let mut expired = Expired {
                snapshots: going.snapshots.len(),
                kept: metadata.snapshots().len() - going.snapshots.len(),
                references: going.references.keys().cloned().collect(),
                ..Expired::default()
            };
            if going.snapshots.is_empty() && going.references.is_empty() {
                return Ok(expired);
            }
            may_remove(&table)?;
            let files = unreached(&table, &going.snapshots).await?;
            expired.files = files.data.len() + files.metadata.len();
            expired.bytes = files.data.values().sum();
            if dry_run {
                return Ok(expired);
            }
            match self.catalog.commit(change(&table, &going)?).await {
                Ok(()) => {
                    remove(table.iceberg(), &files).await;
                    return Ok(expired);
                }
                Err(CommitError::Conflict(error)) => refused = Some(error),
                Err(CommitError::Unknown(error)) => {
                    lost = Some((error, expired, files, going));
                }
                Err(CommitError::Failed(error)) => return Err(error),
            }
        }
        Err(lost
            .map(|(error, ..)| error)
            .or(refused)
            .unwrap_or_else(|| gone(id)))
    }
}

/// What the rules take out.
fn going(metadata: &TableMetadata, rules: ExpiryRules) -> Result<Going> {
    let mut going = Going::default();
    let mut stays: HashSet<i64> = HashSet::new();
    let mut on_a_branch: HashSet<i64> = HashSet::new();
    for (name, reference) in refs::of(metadata)? {
        let id = reference.snapshot_id;
        if outlived(metadata, &name, &reference, rules.now_ms) {
            going.references.insert(name, id);
            continue;
        }
        stays.insert(id);
        let SnapshotRetention::Branch {
            min_snapshots_to_keep,
            max_snapshot_age_ms,
            ..
        } = reference.retention
        else {
            continue;
        };
        let keep = min_snapshots_to_keep.and_then(|keep| usize::try_from(keep).ok());
        let keep = keep.unwrap_or(rules.keep);
        let before = max_snapshot_age_ms.map_or(rules.before_ms, |age| rules.now_ms - age);
        let line = history::lineage_of(metadata, metadata.snapshot_by_id(id));
        let mut followed = i64::MAX;
        for (number, snapshot) in line.enumerate() {
            on_a_branch.insert(snapshot.snapshot_id());
            // Until the next one came it was what everybody read.
            if number < keep || followed >= before {
                stays.insert(snapshot.snapshot_id());
            }
            followed = snapshot.timestamp_ms();
        }
    }
    going.snapshots = metadata
        .snapshots()
        .filter(|snapshot| {
            let id = snapshot.snapshot_id();
            let young = !on_a_branch.contains(&id) && snapshot.timestamp_ms() >= rules.before_ms;
            !stays.contains(&id) && !young
        })
        .map(|snapshot| snapshot.snapshot_id())
        .collect();
    Ok(going)
}

/// Whether a name was to be kept only for a time that is over.
fn outlived(
    metadata: &TableMetadata,
    name: &str,
    reference: &SnapshotReference,
    now_ms: i64,
) -> bool {
    let own = match reference.retention {
        SnapshotRetention::Branch { max_ref_age_ms, .. }
        | SnapshotRetention::Tag { max_ref_age_ms } => max_ref_age_ms,
    };
    let written = metadata.properties().get(MAX_REF_AGE);
    let age = own.or_else(|| written.and_then(|text| text.parse().ok()));
    let made = metadata.snapshot_by_id(reference.snapshot_id);
    let made = made.map_or(i64::MAX, |snapshot| snapshot.timestamp_ms());
    name != iceberg::spec::MAIN_BRANCH
        && age.is_some_and(|age: i64| now_ms.saturating_sub(made) > age)
}

/// The files that no snapshot reaches when these have gone.
async fn unreached(table: &LakeTable, going: &HashSet<i64>) -> Result<Unreached> {
    let iceberg = table.iceberg();
    let metadata = iceberg.metadata();
    let goes = |id: i64| going.contains(&id);
    let of = |wanted: bool| {
        let all = metadata.snapshots();
        all.filter(move |snapshot| goes(snapshot.snapshot_id()) == wanted)
    };
    let staying = reach::manifests(iceberg, of(false)).await?;
    let mut manifests = reach::manifests(iceberg, of(true)).await?;
    manifests.retain(|path, _| !staying.contains_key(path));
    let mut data: BTreeMap<String, u64> = BTreeMap::new();
    // A file that is only said to have gone is part of an older snapshot, which goes too, or has gone with one before.
    reach::files(iceberg, manifests.values(), |listed| {
        if listed.alive {
            data.insert(listed.path, listed.bytes);
        }
    })
    .await?;
    if !data.is_empty() {
        reach::files(iceberg, staying.values(), |listed| {
            if listed.alive {
                data.remove(&listed.path);
            }
        })
        .await?;
    }
    let statistics = metadata.statistics_iter();
    let statistics = statistics.filter(|file| goes(file.snapshot_id));
    let of_partitions = metadata.partition_statistics_iter();
    let of_partitions = of_partitions.filter(|file| goes(file.snapshot_id));
    let mut others: Vec<String> = manifests.into_keys().collect();
    others.extend(statistics.map(|file| file.statistics_path.clone()));
    others.extend(of_partitions.map(|file| file.statistics_path.clone()));
    others.extend(of(true).map(|snapshot| snapshot.manifest_list().to_owned()));
    // What lies elsewhere was put into the table by somebody else, and may be somebody else's.
    let home = format!("{}/", metadata.location().trim_end_matches('/'));
    data.retain(|path, _| path.starts_with(&home));
    others.retain(|path| path.starts_with(&home));
    Ok(Unreached {
        data,
        metadata: others,
    })
}

fn change<'a>(table: &'a LakeTable, going: &Going) -> Result<Change<'a>> {
    let iceberg = table.iceberg();
    let metadata = iceberg.metadata();
    let mut requirements = vec![TableRequirement::UuidMatch {
        uuid: metadata.uuid(),
    }];
    for (name, reference) in refs::of(metadata)? {
        requirements.push(TableRequirement::RefSnapshotIdMatch {
            r#ref: name,
            snapshot_id: Some(reference.snapshot_id),
        });
    }
    let mut updates = Vec::new();
    if let Some((key, value)) = expired::property_without(metadata, &going.snapshots)? {
        updates.push(TableUpdate::SetProperties {
            updates: HashMap::from([(key, value)]),
        });
    }
    let references = going.references.keys();
    updates.extend(references.map(|name| TableUpdate::RemoveSnapshotRef {
        ref_name: name.clone(),
    }));
    let mut snapshots: Vec<i64> = going.snapshots.iter().copied().collect();
    snapshots.sort_unstable();
    for id in &snapshots {
        if metadata.statistics_for_snapshot(*id).is_some() {
            updates.push(TableUpdate::RemoveStatistics { snapshot_id: *id });
        }
        if metadata.partition_statistics_for_snapshot(*id).is_some() {
            updates.push(TableUpdate::RemovePartitionStatistics { snapshot_id: *id });
        }
    }
    if !snapshots.is_empty() {
        updates.push(TableUpdate::RemoveSnapshots {
            snapshot_ids: snapshots,
        });
    }
    Ok(Change {
        id: table.id(),
        base: Some(iceberg),
        initial: metadata,
        initial_updates: &[],
        file_io: iceberg.file_io(),
        requirements,
        updates,
        fences: &[],
    })
}

/// Removes files; rows first, so that what a crash leaves can still be told by its name.
async fn remove(table: &Table, files: &Unreached) {
    let delete = async |path: &String| {
        if let Err(error) = table.file_io().delete(path).await {
            tracing::warn!(file = path, %error, "an expired file stays behind; it is an orphan now");
        }
    };
    for some in [
        files.data.keys().collect::<Vec<_>>(),
        files.metadata.iter().collect(),
    ] {
        stream::iter(some)
            .for_each_concurrent(FILES_AT_ONCE, delete)
            .await;
    }
}

fn gone(id: &TableId) -> Error {
    Error::new(ErrorKind::NotFound, "the table is not there any more").with("table", id)
}
