//! Merges: which files of a table hold rows that change, and how those rows leave them.
//!
//! Whoever merges asks for the [`Candidates`], joins their rows with the rows that come, and hands back where changed
//! rows stand. Either their files are written again (copy-on-write), or position deletes list them (merge-on-read).
//! Equality deletes are never written: many readers do not know them. Knows no SQL.

mod blooms;
mod candidates;
mod choice;
mod deletes;
mod keys;
mod rewrite;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef, UInt32Type, UInt64Type};
use connectors::{BatchStream, Error, ErrorKind, Result};
use datafusion::logical_expr::Expr;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFile, Operation};
use roaring::RoaringTreemap;

pub(super) use self::candidates::{Candidate, Wanted};
pub use self::candidates::{Candidates, FILE, POSITION};
pub use self::choice::Choice;
pub use self::keys::{Keys, SeenKeys};
use super::commit::{AddedDelete, ConflictPolicy, Removal, RemovedFiles};
use super::history::ChangedRows;
use super::schema::{self, Conform};
use super::stage::{Staged, TableStage};
use super::writer::WrittenFiles;

/// The column that tells whether a row only deletes the row of its key.
pub const DELETES: &str = "__lakewright_deletes";

/// Places in a batch of rows that go.
const BATCH_ROWS: usize = 64 * 1024;
/// Delete files written at the same time.
const DELETE_FILES_AT_ONCE: usize = 8;

/// What a merge does to files that are there.
#[derive(Default)]
pub struct Touched {
    removed: RemovedFiles,
    added_deletes: Vec<AddedDelete>,
}

impl Touched {
    /// A file goes, with the delete files that are of it alone.
    fn insert(&mut self, file: &Candidate) {
        self.removed.insert(&file.live);
        for delete in &file.own_deletes {
            self.removed.insert(delete);
        }
    }

    /// With those of another part of the merge.
    fn and(mut self, other: Self) -> Self {
        self.removed.paths.extend(other.removed.paths);
        self.removed.manifests.extend(other.removed.manifests);
        self.added_deletes.extend(other.added_deletes);
        self
    }
}

/// Rows of candidates that count no more, by their places.
#[derive(Default)]
pub struct GoneRows(BTreeMap<u32, RoaringTreemap>);

impl GoneRows {
    /// Takes in rows with [`FILE`] and [`POSITION`].
    pub fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let (files, places) = (column(rows, FILE)?, column(rows, POSITION)?);
        let files = files.as_primitive::<UInt32Type>();
        let places = places.as_primitive::<UInt64Type>();
        for (file, place) in files.iter().zip(places) {
            if let (Some(file), Some(place)) = (file, place) {
                self.0.entry(file).or_default().insert(place);
            }
        }
        Ok(())
    }

    /// With those of another part of the merge.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (file, places) in other.0 {
            *self.0.entry(file).or_default() |= places;
        }
        self
    }

    /// How many they are.
    pub fn count(&self) -> u64 {
        self.0.values().map(RoaringTreemap::len).sum()
    }

    /// Those of these files.
    #[must_use]
    pub fn only(mut self, files: &BTreeSet<u32>) -> Self {
        self.0.retain(|file, _| files.contains(file));
        self
    }

    /// The same, those of a file together, in at most so many parts.
    pub fn in_parts(self, most: usize) -> Vec<Self> {
        let each = self.0.len().div_ceil(most.max(1)).max(1);
        let mut files = self.0.into_iter().peekable();
        let mut parts = Vec::new();
        while files.peek().is_some() {
            parts.push(Self(files.by_ref().take(each).collect()));
        }
        parts
    }

    /// As changes that only delete, in the order of their places.
    fn into_changes(self) -> BatchStream {
        let of_file = |(file, places): (u32, RoaringTreemap)| {
            let mut places = places.into_iter();
            std::iter::from_fn(move || {
                let some: Vec<u64> = places.by_ref().take(BATCH_ROWS).collect();
                (!some.is_empty()).then(|| deleted(file, some))
            })
        };
        stream::iter(self.0.into_iter().flat_map(of_file)).boxed()
    }
}

/// Changes that delete the rows at these places of a file.
fn deleted(file: u32, places: Vec<u64>) -> Result<RecordBatch> {
    let rows = places.len();
    let columns: [(&str, ArrayRef); 3] = [
        (FILE, Arc::new(UInt32Array::from_value(file, rows))),
        (POSITION, Arc::new(UInt64Array::from(places))),
        (DELETES, Arc::new(BooleanArray::from(vec![true; rows]))),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// Gives rows the types that their columns have in the table.
pub struct TableTypes(Conform);

impl TableTypes {
    /// The rows in the table's types.
    pub fn apply(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        self.0.apply(rows)
    }
}

impl TableStage {
    /// The columns that the table will have, as rows read from it have them.
    pub fn table_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::new(schema::readable(self.shape().schema())?))
    }

    /// The columns of rows, but for those of `without`, in the types of the table, and the way there. Columns that the
    /// rows lack are left out.
    pub fn table_types(
        &self,
        rows: &SchemaRef,
        without: &[String],
    ) -> Result<(SchemaRef, TableTypes)> {
        let table = self.shape().arrow();
        let comes = |name: &String| !without.contains(name) && rows.field_with_name(name).is_ok();
        let there = table.fields().iter();
        let there = there.filter(|field| comes(field.name()));
        let schema = Arc::new(ArrowSchema::new(there.cloned().collect::<Vec<_>>()));
        let exact = schema.fields().iter().map(|field| field.name().clone());
        let conform = Conform::between(rows, &schema, &exact.collect())?;
        Ok((schema, TableTypes(conform)))
    }

    /// The columns of the table, and the way there for rows: NULL for columns that they lack.
    pub fn whole_rows(&self, rows: &SchemaRef) -> Result<(SchemaRef, TableTypes)> {
        let table = Arc::new(self.shape().arrow().clone());
        let exact = table.fields().iter().map(|field| field.name().clone());
        let conform = Conform::between(rows, &table, &exact.collect())?;
        Ok((table, TableTypes(conform)))
    }

    /// No keys yet of rows with these columns, in the table's types.
    pub fn keys(&self, key: &[String], rows: &SchemaRef) -> Result<SeenKeys> {
        SeenKeys::none(key, rows, self.shape())
    }

    /// The same, where only rows count that have in `column` a value no further away than `reach`, in its own unit.
    pub fn keys_near(
        &self,
        key: &[String],
        (column, reach): (&str, i64),
        rows: &SchemaRef,
    ) -> Result<SeenKeys> {
        self.keys(key, rows)?
            .near(column, reach, rows, self.shape())
    }

    /// The files that may hold rows with these keys; all files when `None`.
    pub async fn candidates(&self, key: &[String], keys: Option<&Keys>) -> Result<Candidates> {
        self.find(Wanted::Keys(key, keys)).await
    }

    /// The files that may hold rows for which a condition on the table's columns is true.
    pub async fn candidates_where(&self, condition: &Expr) -> Result<Candidates> {
        self.find(Wanted::Where(condition)).await
    }

    async fn find(&self, wanted: Wanted<'_>) -> Result<Candidates> {
        let table = self.table_schema()?;
        let (target, columns) = (self.target(), self.shape().schema());
        Candidates::of(target.id(), target.base(), columns, &table, wanted).await
    }

    /// Copy-on-write: writes the files again that changes name; of those that are `listed` only the changed rows, whose
    /// old ones are [`Self::delete_rows`]'s. Changes have the table's columns with [`FILE`], [`POSITION`] and
    /// [`DELETES`], and come in the order of their places.
    pub async fn rewrite(
        &self,
        candidates: &Candidates,
        changes: BatchStream,
        listed: &BTreeSet<u32>,
    ) -> Result<(WrittenFiles, Touched)> {
        let mut writer = self.writer()?;
        let rewritten = rewrite::rewrite(candidates, &mut writer, changes, listed).await?;
        let mut touched = Touched::default();
        for number in rewritten {
            if let Some(file) = candidates.files().get(number as usize) {
                touched.insert(file);
            }
        }
        Ok((writer.finish().await?, touched))
    }

    /// Copy-on-write: writes files again without these rows. A file without any row left goes.
    pub async fn without_rows(
        &self,
        candidates: &Candidates,
        gone: GoneRows,
    ) -> Result<(WrittenFiles, Touched)> {
        let (mut touched, mut some) = (Touched::default(), GoneRows::default());
        for (number, places) in gone.0 {
            let Some(file) = candidates.files().get(number as usize) else {
                continue;
            };
            if (&places | &file.gone).len() < file.live.file.record_count() {
                some.0.insert(number, places);
            } else {
                touched.insert(file);
            }
        }
        let (written, rewritten) = self
            .rewrite(candidates, some.into_changes(), &BTreeSet::new())
            .await?;
        Ok((written, touched.and(rewritten)))
    }

    /// Merge-on-read: lists rows in delete files, one a data file. A file without any row left goes.
    pub async fn delete_rows(&self, candidates: &Candidates, gone: GoneRows) -> Result<Touched> {
        let one = async |(number, places): (u32, RoaringTreemap)| -> Result<Touched> {
            let mut touched = Touched::default();
            let Some(file) = candidates.files().get(number as usize) else {
                return Ok(touched);
            };
            let all = &places | &file.gone;
            for delete in &file.own_deletes {
                touched.removed.insert(delete);
            }
            if all.len() >= file.live.file.record_count() {
                touched.removed.insert(&file.live);
                return Ok(touched);
            }
            let path = self.shape().delete_file_of(file.live.file.file_path());
            let written = deletes::write(self.shape().file_io(), path, file, &all).await?;
            touched.added_deletes.push(AddedDelete {
                file: written,
                spec: Arc::clone(&file.live.spec),
                schema: Arc::clone(&file.live.schema),
            });
            Ok(touched)
        };
        stream::iter(gone.0)
            .map(one)
            .buffer_unordered(DELETE_FILES_AT_ONCE)
            .try_fold(Touched::default(), |all, some| async { Ok(all.and(some)) })
            .await
    }

    /// Ends a merge: these files come, those that were touched change. Others may commit files meanwhile that cannot hold
    /// one of `keys`; nothing at all where they are `None`.
    pub fn merged(
        self,
        written: Vec<WrittenFiles>,
        touched: Vec<Touched>,
        changed: ChangedRows,
        keys: Option<Arc<Keys>>,
    ) -> Staged {
        let policy = keys.map_or(ConflictPolicy::FailIfMoved, ConflictPolicy::KeysApart);
        self.met(written, touched, changed, policy)
    }

    /// Ends the replacement of a part: these files come, those that were touched change. Others may commit files
    /// meanwhile that cannot hold a row for which `part` is true; nothing at all where it is `None`.
    pub fn replaced(
        self,
        written: Vec<WrittenFiles>,
        touched: Vec<Touched>,
        changed: ChangedRows,
        part: Option<Expr>,
    ) -> Staged {
        let part = part.map(Box::new);
        let policy = part.map_or(ConflictPolicy::FailIfMoved, ConflictPolicy::PartApart);
        self.met(written, touched, changed, policy)
    }

    fn met(
        self,
        written: Vec<WrittenFiles>,
        touched: Vec<Touched>,
        changed: ChangedRows,
        policy: ConflictPolicy,
    ) -> Staged {
        let Touched {
            removed,
            added_deletes,
        } = touched.into_iter().fold(Touched::default(), Touched::and);
        let added: Vec<DataFile> = written.into_iter().flat_map(|some| some.files).collect();
        let takes = !removed.paths.is_empty() || !added_deletes.is_empty();
        let operation = match (takes, added.is_empty()) {
            (false, _) => Operation::Append,
            (true, true) => Operation::Delete,
            (true, false) => Operation::Overwrite,
        };
        let removal = if removed.paths.is_empty() {
            Removal::None
        } else {
            Removal::Files(removed)
        };
        self.ended(
            operation,
            (added, added_deletes),
            removal,
            policy,
            Some(changed),
        )
    }
}

/// A column that the rows must have.
fn column(rows: &RecordBatch, name: &str) -> Result<ArrayRef> {
    rows.column_by_name(name).cloned().ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            format!("rows of a merge lack `{name}`"),
        )
    })
}
