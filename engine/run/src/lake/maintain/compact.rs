//! Compaction: small files, and those with many deleted rows, become few that are large.
//!
//! Files of one partition are packed in the order of their rows, so that what was sorted stays near itself. Each bin is
//! written alone and may be committed alone: what is done stays done, whatever happens to the rest. A commit goes on top
//! of others that did not touch its files.

use std::collections::HashMap;
use std::sync::Arc;

use connectors::{Error, ErrorKind, Result};
use datafusion::catalog::TableProvider;
use iceberg::spec::{NullOrder, Operation, Schema, SortDirection, SortOrder, Struct, Transform};

use crate::lake::Lake;
use crate::lake::commit::{
    ConflictPolicy, Merging, Removal, RemovedFiles, lists_files, mergeable, require_format,
};
use crate::lake::failure::failed;
use crate::lake::merge::{Candidate, Candidates, Wanted};
use crate::lake::partition;
use crate::lake::stage::{Staged, TableStage};
use crate::lake::table::LakeTable;
use crate::lake::writer::WrittenFiles;

/// A file below this part of the wanted size is small, in percent.
const SMALL_PERCENT: u64 = 75;
/// Small manifests of a kind from which on they are merged.
const MANIFESTS: usize = 5;

/// When files are written again.
#[derive(Clone, Debug)]
pub struct CompactionRules {
    /// How many small files of a partition make it worth the work.
    pub min_files: usize,
    /// How many of a hundred rows of a file must be deleted to write it again without them.
    pub deleted_percent: u64,
    /// How large a file is to be, in bytes.
    pub target_file_bytes: u64,
    /// How rows are sorted in files: `visit_date`, `ward_id desc`. As the table says when empty.
    pub sort_by: Vec<String>,
}

/// What there is to do for a table.
pub struct Compaction {
    lake: Lake,
    table: LakeTable,
    candidates: Candidates,
    sort: SortOrder,
    target_file_bytes: u64,
    bins: Vec<Bin>,
    manifests: usize,
}

/// Files that are written again together.
#[derive(Clone, Debug, Default)]
pub struct Bin {
    numbers: Vec<u32>,
    bytes: u64,
    deleted_rows: u64,
}

impl Bin {
    /// How many files there are.
    pub const fn files(&self) -> usize {
        self.numbers.len()
    }

    /// How many bytes they have.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of their rows are deleted.
    pub const fn deleted_rows(&self) -> u64 {
        self.deleted_rows
    }
}

/// A column that rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedBy {
    /// The column.
    pub column: String,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether NULLs come first.
    pub nulls_first: bool,
}

impl Lake {
    /// Looks which files of a table, as it is in `table`, are to be written again.
    ///
    /// # Errors
    /// `Unsupported` for tables with equality deletes, or of another format than 2.
    pub async fn compaction(
        &self,
        table: &LakeTable,
        rules: &CompactionRules,
    ) -> Result<Compaction> {
        let (iceberg, id) = (table.iceberg(), table.id());
        let metadata = iceberg.metadata();
        require_format(metadata, id)?;
        let columns = metadata.current_schema();
        let own = || by_columns(metadata.default_sort_order(), columns);
        let written = !rules.sort_by.is_empty();
        let written = written.then(|| partition::sort_order(&rules.sort_by, columns));
        // The next load may be the one that makes a column, or gives it this name.
        let sort = written.and_then(Result::ok).unwrap_or_else(own);
        let first = sort.fields.first();
        let first = first.and_then(|field| columns.name_by_field_id(field.source_id));
        let order: Vec<String> = first.map(str::to_owned).into_iter().collect();
        let arrow = table.arrow_schema();
        let all = Wanted::Keys(&order, None);
        let candidates = Candidates::of(id, Some(iceberg), columns, &arrow, all).await?;
        Ok(Compaction {
            lake: self.clone(),
            table: table.clone(),
            bins: bins(candidates.files(), rules),
            candidates,
            sort,
            target_file_bytes: rules.target_file_bytes,
            manifests: small_manifests(table).await?,
        })
    }
}

impl Compaction {
    /// Files that are written again, some at a time.
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    /// How many small manifests there are to merge.
    pub const fn manifests(&self) -> usize {
        self.manifests
    }

    /// How rows are sorted; not at all when empty.
    pub fn sorted_by(&self) -> Vec<SortedBy> {
        let columns = self.table.iceberg().metadata().current_schema();
        let by = |field: &iceberg::spec::SortField| {
            Some(SortedBy {
                column: columns.name_by_field_id(field.source_id)?.to_owned(),
                descending: field.direction == SortDirection::Descending,
                nulls_first: field.null_order == NullOrder::First,
            })
        };
        self.sort.fields.iter().filter_map(by).collect()
    }

    /// The rows of a bin that are not deleted, with two columns more that tell their places.
    pub fn rows(&self, bin: &Bin) -> Arc<dyn TableProvider> {
        self.candidates.some(&bin.numbers).provider()
    }

    /// What writes the rows of bins.
    pub fn stage(&self) -> Result<TableStage> {
        let (id, table) = (self.table.id().clone(), self.table.iceberg().clone());
        let catalog = Arc::clone(&self.lake.catalog);
        TableStage::onto(catalog, id, table, &self.sort, self.target_file_bytes)
    }

    /// Ends the work on some bins: these files take the place of theirs. Without bins only manifests are merged.
    pub fn staged(&self, written: Vec<WrittenFiles>, bins: &[&Bin]) -> Result<Staged> {
        let mut removed = RemovedFiles::default();
        for number in bins.iter().flat_map(|bin| &bin.numbers) {
            let file = self.candidates.files().get(*number as usize);
            let file = file.ok_or_else(|| {
                Error::new(ErrorKind::Internal, "a bin has a file that is not there")
            })?;
            removed.insert(&file.live);
            for delete in &file.own_deletes {
                removed.insert(delete);
            }
        }
        let removal = if removed.paths.is_empty() {
            Removal::None
        } else {
            Removal::Files(removed)
        };
        let files = written.into_iter().flat_map(|some| some.files).collect();
        let staged = self.stage()?.ended(
            Operation::Replace,
            (files, Vec::new()),
            removal,
            ConflictPolicy::SameFiles,
            None,
        );
        let metadata = self.table.iceberg().metadata();
        Ok(staged.merging(Merging::from(MANIFESTS, metadata)))
    }
}

/// A sort order as far as it is by columns themselves, and not by parts of them.
fn by_columns(order: &SortOrder, columns: &Schema) -> SortOrder {
    let is_column = |id| columns.as_struct().field_by_id(id).is_some();
    let fields = order
        .fields
        .iter()
        .take_while(|field| field.transform == Transform::Identity && is_column(field.source_id));
    SortOrder {
        order_id: order.order_id,
        fields: fields.cloned().collect(),
    }
}

/// Packs the files that are worth it, in the order in which they come.
fn bins(files: &[Arc<Candidate>], rules: &CompactionRules) -> Vec<Bin> {
    let small = rules.target_file_bytes / 100 * SMALL_PERCENT;
    let mut open: HashMap<(i32, Struct), Bin> = HashMap::new();
    let mut full = Vec::new();
    for (number, file) in (0_u32..).zip(files) {
        let data = &file.live.file;
        let (rows, deleted) = (data.record_count().max(1), file.gone.len());
        let is_full_of_deletes = is_full(deleted, rows, rules);
        let bytes = data.file_size_in_bytes();
        let left = bytes / rows * rows.saturating_sub(deleted);
        if left >= small && !is_full_of_deletes {
            continue;
        }
        let partition = (file.live.spec.spec_id(), data.partition().clone());
        let bin = open.entry(partition).or_default();
        if !bin.numbers.is_empty() && bin.bytes + left > rules.target_file_bytes {
            full.push(std::mem::take(bin));
        }
        bin.numbers.push(number);
        bin.bytes += left;
        bin.deleted_rows += deleted;
    }
    full.extend(open.into_values());
    full.retain(|bin| is_worth_it(bin, files, rules));
    for bin in &mut full {
        let of = |number: &u32| files.get(*number as usize);
        let sizes = bin.numbers.iter().filter_map(of);
        bin.bytes = sizes.map(|file| file.live.file.file_size_in_bytes()).sum();
    }
    // The order of work should not depend on a hash.
    full.sort_by_key(|bin| bin.numbers.first().copied());
    full
}

fn is_full(deleted: u64, rows: u64, rules: &CompactionRules) -> bool {
    deleted > 0 && deleted * 100 >= rows * rules.deleted_percent
}

/// Whether there are enough small files, or deleted rows in one.
fn is_worth_it(bin: &Bin, files: &[Arc<Candidate>], rules: &CompactionRules) -> bool {
    let of = |number: &u32| files.get(*number as usize);
    let mut all = bin.numbers.iter().filter_map(of);
    let fills_a_file = bin.bytes >= rules.target_file_bytes / 100 * SMALL_PERCENT;
    bin.files() >= rules.min_files
        || (bin.files() > 1 && fills_a_file)
        || all.any(|file| is_full(file.gone.len(), file.live.file.record_count(), rules))
}

/// How many manifests of the current snapshot would be merged.
async fn small_manifests(table: &LakeTable) -> Result<usize> {
    let metadata = table.iceberg().metadata();
    let Some(snapshot) = metadata.current_snapshot() else {
        return Ok(0);
    };
    let list = table.iceberg().manifest_list_reader(snapshot).load().await;
    let list = list.map_err(failed("the manifests of the table cannot be read"))?;
    let kept = list
        .entries()
        .iter()
        .filter(|manifest| lists_files(manifest));
    let bins = Merging::from(MANIFESTS, metadata).bins(kept);
    mergeable(table.iceberg().file_io(), bins).await
}
