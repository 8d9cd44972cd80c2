//! The files that snapshots of a table reach.

use std::collections::{BTreeMap, BTreeSet};

use connectors::Result;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{ManifestFile, SnapshotRef};
use iceberg::table::Table;

use super::FILES_AT_ONCE;
use crate::lake::failure::failed;

/// The manifests of snapshots, each once.
pub(super) async fn manifests(
    table: &Table,
    snapshots: impl Iterator<Item = &SnapshotRef>,
) -> Result<BTreeMap<String, ManifestFile>> {
    let load = async |snapshot: &SnapshotRef| {
        let list = table.manifest_list_reader(snapshot).load().await;
        list.map_err(|error| {
            failed("the manifests of a snapshot cannot be listed")(error)
                .with("snapshot", snapshot.snapshot_id())
        })
    };
    let snapshots: Vec<&SnapshotRef> = snapshots.collect();
    let lists = stream::iter(snapshots).map(load);
    let lists = lists.buffer_unordered(FILES_AT_ONCE).boxed();
    lists
        .try_fold(BTreeMap::new(), |mut all, list| async move {
            let listed = list.entries().iter().cloned();
            all.extend(listed.map(|manifest| (manifest.manifest_path.clone(), manifest)));
            Ok(all)
        })
        .await
}

/// A file that a manifest lists.
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// Whether it is part of the snapshots with this manifest, and not only said to have gone.
    pub(super) alive: bool,
}

/// Hands on each file that manifests list.
pub(super) async fn files(
    table: &Table,
    manifests: impl Iterator<Item = &ManifestFile>,
    mut each: impl FnMut(Listed),
) -> Result<()> {
    let load = async |manifest: &ManifestFile| {
        let loaded = manifest.load_manifest(table.file_io()).await;
        loaded.map_err(|error| {
            failed("a manifest of the table cannot be read")(error)
                .with("manifest", &manifest.manifest_path)
        })
    };
    let manifests: Vec<&ManifestFile> = manifests.collect();
    let loaded = stream::iter(manifests).map(load);
    let mut loaded = loaded.buffer_unordered(FILES_AT_ONCE).boxed();
    while let Some(manifest) = loaded.try_next().await? {
        for entry in manifest.entries() {
            each(Listed {
                path: entry.file_path().to_owned(),
                bytes: entry.file_size_in_bytes(),
                alive: entry.is_alive(),
            });
        }
    }
    Ok(())
}

/// Files that belong to the table but to no snapshot's manifests: its metadata, its statistics.
pub(super) fn of_metadata(table: &Table) -> BTreeSet<String> {
    let metadata = table.metadata();
    let log = metadata.metadata_log().iter();
    let mut files: BTreeSet<String> = log.map(|entry| entry.metadata_file.clone()).collect();
    files.extend(table.metadata_location().map(str::to_owned));
    let statistics = metadata.statistics_iter();
    files.extend(statistics.map(|file| file.statistics_path.clone()));
    let statistics = metadata.partition_statistics_iter();
    files.extend(statistics.map(|file| file.statistics_path.clone()));
    let lists = metadata.snapshots();
    files.extend(lists.map(|snapshot| snapshot.manifest_list().to_owned()));
    files
}
