//! The files of a snapshot as its manifests list them: with bounds, partitions, and the manifest that holds each.

use std::sync::Arc;

use connectors::{Error, Result};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{
    DataFile, ManifestContentType, ManifestFile, PartitionSpecRef, SchemaRef, SnapshotRef,
};
use iceberg::table::Table;

use super::failure::failed;

/// Manifests asked for at the same time.
const MANIFESTS_AT_ONCE: usize = 8;

/// A file of a snapshot.
#[derive(Clone, Debug)]
pub(super) struct LiveFile {
    /// Its description.
    pub(super) file: DataFile,
    /// The partition spec it was written with, and the columns as its manifest has them: its partition values are
    /// encoded by both.
    pub(super) spec: PartitionSpecRef,
    pub(super) schema: SchemaRef,
    /// The manifest that lists it.
    pub(super) manifest: String,
}

/// The files of a snapshot.
#[derive(Default)]
pub(super) struct LiveFiles {
    /// Files with rows.
    pub(super) data: Vec<LiveFile>,
    /// Files that take rows from those.
    pub(super) deletes: Vec<LiveFile>,
}

/// The files of a snapshot of a table; none where there is no snapshot.
pub(super) async fn live_files(table: &Table, snapshot: Option<&SnapshotRef>) -> Result<LiveFiles> {
    let mut live = LiveFiles::default();
    let Some(snapshot) = snapshot else {
        return Ok(live);
    };
    let unlisted = || failed("the files of the table cannot be listed");
    let list = table.manifest_list_reader(snapshot).load().await;
    let list = list.map_err(unlisted())?;
    let load = async |manifest: &ManifestFile| {
        let loaded = manifest.load_manifest(table.file_io()).await;
        Ok::<_, Error>((manifest.clone(), loaded.map_err(unlisted())?))
    };
    let loaded = stream::iter(list.entries()).map(load);
    let mut loaded = loaded.buffered(MANIFESTS_AT_ONCE).boxed();
    while let Some((manifest, loaded)) = loaded.try_next().await? {
        let files = match manifest.content {
            ManifestContentType::Data => &mut live.data,
            ManifestContentType::Deletes => &mut live.deletes,
        };
        let (entries, own) = loaded.into_parts();
        let spec = Arc::new(own.partition_spec().clone());
        for entry in entries {
            if entry.is_alive() {
                files.push(LiveFile {
                    file: entry.data_file().clone(),
                    spec: Arc::clone(&spec),
                    schema: Arc::clone(own.schema()),
                    manifest: manifest.manifest_path.clone(),
                });
            }
        }
    }
    Ok(live)
}
