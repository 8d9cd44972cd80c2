//! Whether what others committed meanwhile concerns rows that meet those of a table.

use std::collections::HashSet;
use std::sync::Arc;

use connectors::Result;
use datafusion::logical_expr::Expr;
use iceberg::table::Table;

use super::{ConflictPolicy, current};
use crate::lake::failure::failed;
use crate::lake::files::{LiveFile, live_files};
use crate::lake::scan::LakeScan;
use crate::lake::schema;

/// Whether from `base` to `now` files only came, none of which can hold a row that the policy is about. What is not the
/// same table, or was none, is for others to tell.
pub(super) async fn apart(
    base: Option<&Table>,
    now: &Table,
    policy: &ConflictPolicy,
) -> Result<bool> {
    let Some(base) = base.filter(|base| base.metadata().uuid() == now.metadata().uuid()) else {
        return Ok(true);
    };
    if current(Some(base)) == current(Some(now)) {
        return Ok(true);
    }
    let was = live_files(base, base.metadata().current_snapshot()).await?;
    let is = live_files(now, now.metadata().current_snapshot()).await?;
    let paths = |files: &[LiveFile]| -> HashSet<String> {
        let paths = files.iter().map(|file| file.file.file_path().to_owned());
        paths.collect()
    };
    let (before, after) = (paths(&was.data), paths(&is.data));
    if !before.is_subset(&after) || paths(&was.deletes) != paths(&is.deletes) {
        return Ok(false);
    }
    let came = |file: &&LiveFile| !before.contains(file.file.file_path());
    let mut came = is.data.iter().filter(came);
    Ok(match policy {
        ConflictPolicy::KeysApart(keys) => !came.any(|file| keys.may_be_in(file)),
        ConflictPolicy::PartApart(part) => {
            let of_part = files_where(now, part).await?;
            !came.any(|file| of_part.contains(file.file.file_path()))
        }
        ConflictPolicy::Rebase | ConflictPolicy::FailIfMoved => true,
    })
}

/// The files of a table that may hold rows for which a condition is true.
async fn files_where(table: &Table, condition: &Expr) -> Result<HashSet<String>> {
    let columns = table.metadata().current_schema();
    let arrow = Arc::new(schema::readable(columns)?);
    let snapshot = table.metadata().current_snapshot().cloned();
    let scan = LakeScan::new(table.clone(), snapshot, Arc::clone(columns), arrow);
    let tasks = scan.files_where(condition).await;
    let tasks = tasks.map_err(failed("the files of the table cannot be listed"))?;
    Ok(tasks.into_iter().map(|task| task.data_file_path).collect())
}
