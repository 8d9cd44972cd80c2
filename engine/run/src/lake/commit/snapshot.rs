//! Builds one snapshot: the manifests, the list of them, and the snapshot itself.
//!
//! Knows which files come and which go; knows nothing of catalogs and tries.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use connectors::{Error, ErrorKind, Fence, Result};
use datafusion::logical_expr::Expr;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestEntry, ManifestFile, ManifestListWriter,
    ManifestWriter, ManifestWriterBuilder, Operation, PartitionSpec, PartitionSpecRef, SchemaRef,
    Snapshot, SnapshotSummaryCollector, Struct, Summary, TableMetadata,
};
use uuid::Uuid;

use super::manifests::Merging;
use super::summary;
use super::target::Target;
use crate::failpoint::{self, Point};
use crate::lake::failure::failed;
use crate::lake::files::LiveFile;
use crate::lake::id::TableId;
use crate::lake::merge::Keys;
use crate::lake::partition::widened;

/// Which files of the table go.
#[derive(Clone, Debug)]
pub(in crate::lake) enum Removal {
    /// None.
    None,
    /// All.
    All,
    /// Those of these partitions, `widened`, of the spec that the files that come were written with.
    Partitions(HashSet<Struct>),
    /// These.
    Files(RemovedFiles),
}

/// Files that go: data files and delete files.
#[derive(Clone, Debug, Default)]
pub(in crate::lake) struct RemovedFiles {
    /// Their paths.
    pub(in crate::lake) paths: HashSet<String>,
    /// The manifests that list them: no other is opened.
    pub(in crate::lake) manifests: HashSet<String>,
}

impl RemovedFiles {
    /// Whether a manifest may list one of them. Where one of theirs is gone, its files were listed anew, in any.
    fn may_be_in(&self, manifest: &str, listed: &HashSet<&str>) -> bool {
        let moved = self
            .manifests
            .iter()
            .any(|known| !listed.contains(known.as_str()));
        moved || self.manifests.contains(manifest)
    }

    /// Takes out one more file.
    pub(in crate::lake) fn insert(&mut self, file: &LiveFile) {
        self.paths.insert(file.file.file_path().to_owned());
        self.manifests.insert(file.manifest.clone());
    }
}

/// What happens when the table moved since the operation was planned.
#[derive(Clone, Debug)]
pub(in crate::lake) enum ConflictPolicy {
    /// It goes on top of what is there now.
    Rebase,
    /// It fails.
    FailIfMoved,
    /// It fails where rows have changed, and goes on top where files were only written anew.
    SameRows,
    /// It goes on top of what is there now where the files that go are all there, and no row of theirs was deleted.
    SameFiles,
    /// It goes on top of what is there now where files only came, none of which can hold one of these keys.
    KeysApart(Arc<Keys>),
    /// It goes on top of what is there now where files only came, none of which can hold a row for which this is true.
    PartApart(Box<Expr>),
}

/// A delete file that comes.
#[derive(Clone, Debug)]
pub(in crate::lake) struct AddedDelete {
    /// Its description.
    pub(in crate::lake) file: DataFile,
    /// How the data file is cut that it takes rows from, which may be an older way than the table's.
    pub(in crate::lake) spec: PartitionSpecRef,
    /// The columns with which the manifest of that data file was written.
    pub(in crate::lake) schema: SchemaRef,
}

/// One change of a table's files.
#[derive(Clone, Debug)]
pub(in crate::lake) struct SnapshotOp {
    /// What the change is called.
    pub(in crate::lake) operation: Operation,
    /// Files that come.
    pub(in crate::lake) added: Vec<DataFile>,
    /// The partition spec that the files that come were written with.
    pub(in crate::lake) spec_id: i32,
    /// Delete files that come.
    pub(in crate::lake) added_deletes: Vec<AddedDelete>,
    /// Files that go.
    pub(in crate::lake) removal: Removal,
    /// What happens when the table moved.
    pub(in crate::lake) policy: ConflictPolicy,
    /// When small manifests are merged; as the table's properties say when `None`.
    pub(in crate::lake) merging: Option<Merging>,
    /// What the summary says besides the counts.
    pub(in crate::lake) properties: HashMap<String, String>,
    /// The time of the commit, in milliseconds since 1970.
    pub(in crate::lake) now_ms: i64,
    /// Who commits, where the right to may have gone to somebody else.
    pub(in crate::lake) fence: Option<Fence>,
}

/// A snapshot that no table has yet, and the files written for it.
pub(super) struct Produced {
    pub(super) snapshot: Snapshot,
    pub(super) written: Vec<String>,
}

/// Only tables of format 2 can be written.
pub(in crate::lake) fn require_format(metadata: &TableMetadata, table: &TableId) -> Result<()> {
    if metadata.format_version() == FormatVersion::V2 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        "only tables of format 2 can be written",
    )
    .with("table", table)
    .with("format", metadata.format_version()))
}

/// Whether a manifest lists files that are there. One that lists only files removed earlier has said all it has to say.
pub(in crate::lake) fn lists_files(manifest: &ManifestFile) -> bool {
    manifest.has_added_files() || manifest.has_existing_files()
}

/// Writes the manifests of an operation on a target.
pub(super) async fn produce(target: &Target, op: &SnapshotOp) -> Result<Produced> {
    let metadata = target.metadata();
    // Somebody else may have raised it since the write began.
    require_format(metadata, target.id())?;
    let mut producer = Producer {
        target,
        metadata,
        snapshot_id: new_snapshot_id(metadata),
        commit: Uuid::new_v4(),
        written: Vec::new(),
        manifests: Vec::new(),
        summary: SnapshotSummaryCollector::default(),
    };
    producer.add_data(&op.added, op.spec_id).await?;
    let mut deletes: BTreeMap<(i32, i32), Vec<&AddedDelete>> = BTreeMap::new();
    for delete in &op.added_deletes {
        let written_by = (delete.spec.spec_id(), delete.schema.schema_id());
        deletes.entry(written_by).or_default().push(delete);
    }
    for same in deletes.into_values() {
        let files: Vec<&DataFile> = same.iter().map(|delete| &delete.file).collect();
        if let Some(AddedDelete { spec, schema, .. }) = same.first() {
            producer
                .add(&files, spec, schema, ManifestContentType::Deletes)
                .await?;
        }
    }
    producer.keep(&op.removal, op.spec_id).await?;
    let merging = op.merging.unwrap_or_else(|| Merging::of_commits(metadata));
    producer.merge_manifests(merging).await?;
    producer.finish(op).await
}

/// The work on one snapshot.
pub(super) struct Producer<'a> {
    target: &'a Target,
    metadata: &'a TableMetadata,
    pub(super) snapshot_id: i64,
    commit: Uuid,
    written: Vec<String>,
    pub(super) manifests: Vec<ManifestFile>,
    summary: SnapshotSummaryCollector,
}

impl Producer<'_> {
    /// Lists the files that come. They keep the partition spec they were written with, should the table have got
    /// another since.
    async fn add_data(&mut self, added: &[DataFile], spec_id: i32) -> Result<()> {
        let spec = self
            .metadata
            .partition_spec_by_id(spec_id)
            .cloned()
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Internal,
                    "files were written for an unknown partition spec",
                )
                .with("table", self.target.id())
            })?;
        let schema = Arc::clone(self.metadata.current_schema());
        let added: Vec<&DataFile> = added.iter().collect();
        self.add(&added, &spec, &schema, ManifestContentType::Data)
            .await
    }

    /// Lists files that come in a manifest of their own.
    async fn add(
        &mut self,
        added: &[&DataFile],
        spec: &PartitionSpecRef,
        schema: &SchemaRef,
        content: ManifestContentType,
    ) -> Result<()> {
        if added.is_empty() {
            return Ok(());
        }
        let mut writer = self.manifest(Arc::clone(schema), spec, content)?;
        for file in added {
            self.summary
                .add_file(file, Arc::clone(schema), Arc::clone(spec));
            // The sequence number is inherited from the snapshot.
            writer.add_file((*file).clone(), -1).map_err(unwritable())?;
        }
        failpoint::before(Point::CommitManifest).await?;
        self.manifests
            .push(writer.write_manifest_file().await.map_err(unwritable())?);
        failpoint::after(Point::CommitManifest).await?;
        Ok(())
    }

    /// Carries over the manifests of the current snapshot, without the files that go.
    async fn keep(&mut self, removal: &Removal, spec_id: i32) -> Result<()> {
        let (Some(base), Some(current)) = (self.target.base(), self.metadata.current_snapshot())
        else {
            return Ok(());
        };
        let list = base
            .manifest_list_reader(current)
            .load()
            .await
            .map_err(unreadable())?;
        let listed: HashSet<&str> = list
            .entries()
            .iter()
            .map(|manifest| manifest.manifest_path.as_str())
            .collect();
        let mut found = 0;
        for manifest in list.entries() {
            if !lists_files(manifest) {
                continue;
            }
            match removal {
                Removal::All => {
                    self.drop(manifest, |_| true).await?;
                }
                Removal::Partitions(gone) => {
                    if manifest.partition_spec_id != spec_id {
                        return Err(self.cut_in_another_way());
                    }
                    self.drop(manifest, |file| gone.contains(&widened(file.partition())))
                        .await?;
                }
                Removal::Files(gone) if gone.may_be_in(&manifest.manifest_path, &listed) => {
                    found += self
                        .drop(manifest, |file| gone.paths.contains(file.file_path()))
                        .await?;
                }
                Removal::None | Removal::Files(_) => self.manifests.push(manifest.clone()),
            }
        }
        match removal {
            // The table did not move, so that they must all be there: committing half of it would double rows.
            Removal::Files(gone) if found != gone.paths.len() => Err(Error::new(
                ErrorKind::Internal,
                "files that were to be replaced are not in the table",
            )
            .with("table", self.target.id())),
            _ => Ok(()),
        }
    }

    /// Rewrites a manifest without the files of these paths, and says how many those were. It keeps its own schema and
    /// spec: partition values are encoded by them.
    async fn drop(
        &mut self,
        manifest: &ManifestFile,
        goes: impl Fn(&DataFile) -> bool,
    ) -> Result<usize> {
        let loaded = manifest
            .load_manifest(self.file_io())
            .await
            .map_err(unreadable())?;
        let (entries, own) = loaded.into_parts();
        let alive = || entries.iter().filter(|entry| entry.is_alive());
        if !alive().any(|entry| goes(entry.data_file())) {
            self.manifests.push(manifest.clone());
            return Ok(0);
        }
        let spec = Arc::new(own.partition_spec().clone());
        let mut writer = self.manifest(Arc::clone(own.schema()), &spec, manifest.content)?;
        let mut gone = 0;
        for entry in alive() {
            if !goes(entry.data_file()) {
                kept(&mut writer, entry)?;
                continue;
            }
            let file = entry.data_file().clone();
            let sequence = sequence_number(entry)?;
            gone += 1;
            self.summary
                .remove_file(&file, Arc::clone(own.schema()), Arc::clone(&spec));
            writer
                .add_delete_file(file, sequence, entry.file_sequence_number)
                .map_err(unwritable())?;
        }
        failpoint::before(Point::CommitManifest).await?;
        self.manifests
            .push(writer.write_manifest_file().await.map_err(unwritable())?);
        failpoint::after(Point::CommitManifest).await?;
        Ok(gone)
    }

    /// Files of an older partition spec may hold rows of a partition of the newer one.
    fn cut_in_another_way(&self) -> Error {
        Error::new(
            ErrorKind::Unsupported,
            "the table has files that are partitioned in another way than now",
        )
        .with("table", self.target.id())
        .help("write the table once with `mode: replace`: its partitions can be replaced from then on")
    }

    pub(super) const fn file_io(&self) -> &FileIO {
        self.target.file_io()
    }

    /// Opens a manifest.
    pub(super) fn manifest(
        &mut self,
        schema: SchemaRef,
        spec: &PartitionSpec,
        content: ManifestContentType,
    ) -> Result<ManifestWriter> {
        let number = self.written.len();
        let path = format!(
            "{}/metadata/{}-m{number}.avro",
            self.metadata.location(),
            self.commit
        );
        let output = self
            .target
            .file_io()
            .new_output(&path)
            .map_err(unwritable())?;
        self.written.push(path);
        let builder =
            ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec.clone());
        Ok(match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        })
    }

    /// Writes the list of manifests.
    async fn finish(mut self, op: &SnapshotOp) -> Result<Produced> {
        let metadata = self.metadata;
        let location = metadata.location();
        let list = format!(
            "{location}/metadata/snap-{}-0-{}.avro",
            self.snapshot_id, self.commit
        );
        let sequence = metadata.next_sequence_number();
        let parent = metadata.current_snapshot_id();
        let output = self
            .target
            .file_io()
            .new_output(&list)
            .map_err(unwritable())?;
        self.written.push(list.clone());
        failpoint::before(Point::CommitManifestList).await?;
        let output = output.writer().await.map_err(unwritable())?;
        let mut writer = ManifestListWriter::v2(output, self.snapshot_id, parent, sequence);
        writer
            .add_manifests(self.manifests.into_iter())
            .map_err(unwritable())?;
        writer.close().await.map_err(unwritable())?;
        failpoint::after(Point::CommitManifestList).await?;
        let before = metadata
            .current_snapshot()
            .map(|snapshot| snapshot.summary());
        let additional_properties = summary::properties(&op.properties, &self.summary, before);
        let snapshot = Snapshot::builder()
            .with_snapshot_id(self.snapshot_id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(sequence)
            // Clocks differ; a table's history may not run backwards.
            .with_timestamp_ms(op.now_ms.max(metadata.last_updated_ms()))
            .with_manifest_list(list)
            .with_summary(Summary {
                operation: op.operation.clone(),
                additional_properties,
            })
            .with_schema_id(metadata.current_schema_id())
            .build();
        Ok(Produced {
            snapshot,
            written: self.written,
        })
    }
}

pub(super) fn unwritable() -> impl FnOnce(iceberg::Error) -> Error {
    failed("the manifests of the table cannot be written")
}

pub(super) fn unreadable() -> impl FnOnce(iceberg::Error) -> Error {
    failed("the manifests of the table cannot be read")
}

/// Lists a file that stays, as it was listed.
pub(super) fn kept(writer: &mut ManifestWriter, entry: &ManifestEntry) -> Result<()> {
    let by = entry.snapshot_id().ok_or_else(|| unnumbered(entry))?;
    let (file, sequence) = (entry.data_file().clone(), sequence_number(entry)?);
    writer
        .add_existing_file(file, by, sequence, entry.file_sequence_number)
        .map_err(unwritable())
}

fn sequence_number(entry: &ManifestEntry) -> Result<i64> {
    entry.sequence_number().ok_or_else(|| unnumbered(entry))
}

fn unnumbered(entry: &ManifestEntry) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "a manifest of the table lacks the number of a snapshot",
    )
    .with("file", entry.file_path())
}

/// A number no snapshot of the table has.
fn new_snapshot_id(metadata: &TableMetadata) -> i64 {
    loop {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        let id = i64::try_from((high ^ low) >> 1).unwrap_or_default();
        if id > 0 && metadata.snapshot_by_id(id).is_none() {
            return id;
        }
    }
}
