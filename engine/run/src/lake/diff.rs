//! What two snapshots of a table do not share: their data files by name, their columns by id.
//!
//! A file that both have, with the same rows taken from it, holds no difference and is never opened: the cost of a
//! difference grows with what changed, not with the table. Knows nothing of how rows are compared.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use connectors::Result;
use datafusion::catalog::TableProvider;
use iceberg::scan::FileScanTask;
use iceberg::spec::SchemaRef;

use super::failure::failed;
use super::table::LakeTable;

/// How many data files there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffFiles {
    /// In the first snapshot only, or with other rows taken from them.
    pub before: u64,
    /// In the second snapshot only, or with other rows taken from them.
    pub after: u64,
    /// In both, unchanged.
    pub shared: u64,
}

/// A column of one or both of two snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairedColumn {
    /// Its name in the first snapshot.
    pub before: Option<String>,
    /// Its name in the second snapshot.
    pub after: Option<String>,
}

/// The rows of two snapshots that are not in files of both.
pub struct SnapshotDiff {
    /// Rows of the first.
    pub before: Arc<dyn TableProvider>,
    /// Rows of the second.
    pub after: Arc<dyn TableProvider>,
    /// The columns: those of the second in their order, then those that only the first has.
    pub columns: Vec<PairedColumn>,
    /// How many files are read, and how many are not.
    pub files: DiffFiles,
}

impl LakeTable {
    /// What two snapshots of this table do not share.
    pub async fn diff(&self, before: i64, after: i64) -> Result<SnapshotDiff> {
        let (old, new) = (self.scan_at(before)?, self.scan_at(after)?);
        let columns = paired(old.columns(), new.columns());
        let unlisted = || failed("the files of a snapshot cannot be listed");
        let (was, is) = (
            states(&old.files().await.map_err(unlisted())?),
            states(&new.files().await.map_err(unlisted())?),
        );
        let differ = |these: &HashMap<String, BTreeSet<String>>, those: &HashMap<_, _>| {
            let mut paths = HashSet::new();
            paths.extend(
                these
                    .keys()
                    .filter(|path| these.get(*path) != those.get(*path))
                    .cloned(),
            );
            paths
        };
        let (gone, come) = (differ(&was, &is), differ(&is, &was));
        let files = DiffFiles {
            before: gone.len() as u64,
            after: come.len() as u64,
            shared: (is.len() - come.len()) as u64,
        };
        Ok(SnapshotDiff {
            before: Arc::new(old.only(gone)),
            after: Arc::new(new.only(come)),
            columns,
            files,
        })
    }
}

/// Each data file, with the files that take rows from it.
fn states(files: &[FileScanTask]) -> HashMap<String, BTreeSet<String>> {
    let state = |file: &FileScanTask| {
        let deletes = file.deletes.iter().map(|delete| delete.file_path.clone());
        (file.data_file_path.clone(), deletes.collect())
    };
    files.iter().map(state).collect()
}

/// The columns of two schemas: a renamed column is one, a column that was dropped and made again is two.
fn paired(before: &SchemaRef, after: &SchemaRef) -> Vec<PairedColumn> {
    let (old, new) = (before.as_struct(), after.as_struct());
    let kept = new.fields().iter().map(|field| PairedColumn {
        before: old.field_by_id(field.id).map(|field| field.name.clone()),
        after: Some(field.name.clone()),
    });
    let dropped = old
        .fields()
        .iter()
        .filter(|field| new.field_by_id(field.id).is_none())
        .map(|field| PairedColumn {
            before: Some(field.name.clone()),
            after: None,
        });
    kept.chain(dropped).collect()
}
