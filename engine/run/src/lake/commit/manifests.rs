//! Merges small manifests: each costs whoever reads the table a request, and every commit adds one.
//!
//! Only manifests that are carried over are merged, so that what a snapshot changes stays in manifests of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::Result;
use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestContentType, ManifestFile, TableMetadata};

use super::snapshot::{Producer, kept, unreadable, unwritable};

/// Merging as the table's properties say it, by the names and the defaults that other engines have.
const ENABLED: &str = "commit.manifest-merge.enabled";
const MIN_COUNT: (&str, usize) = ("commit.manifest.min-count-to-merge", 100);
const TARGET_BYTES: (&str, i64) = ("commit.manifest.target-size-bytes", 8 << 20);

/// When manifests are merged.
#[derive(Clone, Copy, Debug)]
pub(in crate::lake) struct Merging {
    /// How many small ones of a kind there must be; none is merged where it is `None`.
    min_count: Option<usize>,
    /// The size that one may have, in bytes.
    target_bytes: i64,
}

impl Merging {
    /// What the properties of a table say about its commits.
    pub(super) fn of_commits(metadata: &TableMetadata) -> Self {
        let enabled = metadata.properties().get(ENABLED);
        let enabled = enabled.is_none_or(|text| text != "false");
        let count = number(metadata, MIN_COUNT);
        Self {
            min_count: enabled.then_some(count),
            target_bytes: number(metadata, TARGET_BYTES),
        }
    }

    /// As soon as there are this many small ones of a kind.
    pub(in crate::lake) fn from(min_count: usize, metadata: &TableMetadata) -> Self {
        Self {
            min_count: Some(min_count),
            target_bytes: number(metadata, TARGET_BYTES),
        }
    }

    /// Which become one: those of one partition spec, with files of one kind.
    pub(in crate::lake) fn bins<'a>(
        &self,
        manifests: impl Iterator<Item = &'a ManifestFile>,
    ) -> Vec<Vec<&'a ManifestFile>> {
        let Some(min_count) = self.min_count else {
            return Vec::new();
        };
        let mut kinds: BTreeMap<(i32, bool), Vec<&ManifestFile>> = BTreeMap::new();
        for manifest in manifests.filter(|manifest| manifest.manifest_length < self.target_bytes) {
            let data = manifest.content == ManifestContentType::Data;
            let kind = (manifest.partition_spec_id, data);
            kinds.entry(kind).or_default().push(manifest);
        }
        let many = kinds.into_values().filter(|kind| kind.len() >= min_count);
        let mut bins = Vec::new();
        for kind in many {
            let mut bin: Vec<&ManifestFile> = Vec::new();
            let mut bytes = 0;
            for manifest in kind {
                if bytes + manifest.manifest_length > self.target_bytes {
                    bins.push(std::mem::take(&mut bin));
                    bytes = 0;
                }
                bytes += manifest.manifest_length;
                bin.push(manifest);
            }
            bins.push(bin);
        }
        bins.retain(|bin| bin.len() > 1);
        bins
    }
}

fn number<T: std::str::FromStr>(metadata: &TableMetadata, (key, default): (&str, T)) -> T {
    let written = metadata.properties().get(key);
    written
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// How many of the manifests of these bins a merge would take in.
pub(in crate::lake) async fn mergeable(
    file_io: &FileIO,
    bins: Vec<Vec<&ManifestFile>>,
) -> Result<usize> {
    let mut count = 0;
    for bin in bins {
        let sets = by_columns(file_io, bin).await?;
        let sizes = sets.values().map(Vec::len);
        // One alone stays as it is.
        count += sizes.filter(|size| *size > 1).sum::<usize>();
    }
    Ok(count)
}

/// Manifests by the columns they were written with, since partition values are encoded by them.
async fn by_columns<'a>(
    file_io: &FileIO,
    manifests: Vec<&'a ManifestFile>,
) -> Result<BTreeMap<i32, Vec<(&'a ManifestFile, Manifest)>>> {
    let mut by_columns: BTreeMap<i32, Vec<(&ManifestFile, Manifest)>> = BTreeMap::new();
    for file in manifests {
        let manifest = file.load_manifest(file_io).await.map_err(unreadable())?;
        let columns = manifest.metadata().schema_id();
        by_columns
            .entry(columns)
            .or_default()
            .push((file, manifest));
    }
    Ok(by_columns)
}

impl Producer<'_> {
    /// Merges small ones of the manifests that are carried over.
    pub(super) async fn merge_manifests(&mut self, merging: Merging) -> Result<()> {
        let manifests = std::mem::take(&mut self.manifests);
        let (new, old): (Vec<_>, Vec<_>) = manifests
            .into_iter()
            .partition(|manifest| manifest.added_snapshot_id == self.snapshot_id);
        self.manifests = new;
        let mut merged = Vec::new();
        for bin in merging.bins(old.iter()) {
            merged.extend(bin.iter().map(|manifest| manifest.manifest_path.clone()));
            self.merge_bin(bin).await?;
        }
        let stays = |manifest: &ManifestFile| !merged.contains(&manifest.manifest_path);
        self.manifests.extend(old.into_iter().filter(stays));
        Ok(())
    }

    /// Writes the files of these manifests into one, or one for each set of columns they were written with.
    async fn merge_bin(&mut self, bin: Vec<&ManifestFile>) -> Result<()> {
        let by_columns = by_columns(self.file_io(), bin).await?;
        for same in by_columns.into_values() {
            if let [(alone, _)] = same.as_slice() {
                self.manifests.push((*alone).clone());
                continue;
            }
            let Some((first, manifest)) = same.first() else {
                continue;
            };
            let own = manifest.metadata();
            let (columns, spec) = (Arc::clone(own.schema()), own.partition_spec().clone());
            let mut writer = self.manifest(columns, &spec, first.content)?;
            for (_, manifest) in &same {
                for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                    kept(&mut writer, entry)?;
                }
            }
            let written = writer.write_manifest_file().await.map_err(unwritable())?;
            self.manifests.push(written);
        }
        Ok(())
    }
}
