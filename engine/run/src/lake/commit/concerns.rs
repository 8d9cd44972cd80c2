//! Whether what others committed meanwhile concerns an operation that was planned before.

use std::collections::HashSet;
use std::sync::Arc;

use connectors::Result;
use datafusion::logical_expr::Expr;
use iceberg::table::Table;

use super::current;
use super::snapshot::{ConflictPolicy, Removal, RemovedFiles, SnapshotOp};
use crate::lake::failure::failed;
use crate::lake::files::{LiveFile, LiveFiles, live_files};
use crate::lake::scan::LakeScan;
use crate::lake::schema;

/// Whether nothing from `base` to `now` concerns an operation that others' commits may go before. What is not the same
/// table, or was none, is for others to tell.
pub(super) async fn none(
    base: Option<&Table>,
    now: Option<&Table>,
    op: &SnapshotOp,
) -> Result<bool> {
    let (Some(base), Some(now)) = (base, now) else {
        return Ok(true);
    };
    let same_table = base.metadata().uuid() == now.metadata().uuid();
    if !same_table || current(Some(base)) == current(Some(now)) {
        return Ok(true);
    }
    // What it was planned on has expired since: nothing tells any more what came and went.
    let has_expired = |id| now.metadata().snapshot_by_id(id).is_none();
    let has_expired = current(Some(base)).is_some_and(has_expired);
    match (&op.policy, &op.removal) {
        (ConflictPolicy::KeysApart(_), _) | (ConflictPolicy::SameFiles, Removal::Files(_))
            if has_expired =>
        {
            Ok(false)
        }
        (ConflictPolicy::KeysApart(keys), _) => {
            let (was, is) = both(base, now).await?;
            let apart = |came: Vec<&LiveFile>| !came.iter().any(|file| keys.may_be_in(file));
            Ok(came(&was, &is).is_some_and(apart))
        }
        (ConflictPolicy::PartApart(part), _) => {
            let (was, is) = both(base, now).await?;
            let Some(came) = came(&was, &is) else {
                return Ok(false);
            };
            let of_part = files_where(now, part).await?;
            Ok(!came
                .iter()
                .any(|file| of_part.contains(file.file.file_path())))
        }
        (ConflictPolicy::SameFiles, Removal::Files(removed)) => {
            let (was, is) = both(base, now).await?;
            Ok(as_they_were(&was, &is, removed))
        }
        _ => Ok(true),
    }
}

async fn both(base: &Table, now: &Table) -> Result<(LiveFiles, LiveFiles)> {
    let was = live_files(base, base.metadata().current_snapshot()).await?;
    let is = live_files(now, now.metadata().current_snapshot()).await?;
    Ok((was, is))
}

/// The files that came, where nothing else happened.
fn came<'a>(was: &LiveFiles, is: &'a LiveFiles) -> Option<Vec<&'a LiveFile>> {
    let (before, after) = (paths(&was.data), paths(&is.data));
    let only_came = before.is_subset(&after) && paths(&was.deletes) == paths(&is.deletes);
    let came = |file: &&LiveFile| !before.contains(file.file.file_path());
    only_came.then(|| is.data.iter().filter(came).collect())
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

/// Whether the files that go are all there, and no row of theirs was deleted since.
fn as_they_were(was: &LiveFiles, is: &LiveFiles, removed: &RemovedFiles) -> bool {
    let mut there = paths(&is.data);
    there.extend(paths(&is.deletes));
    let known = paths(&was.deletes);
    let came = is.deletes.iter().map(|delete| &delete.file);
    let mut came = came.filter(|file| !known.contains(file.file_path()));
    removed
        .paths
        .iter()
        .all(|path| there.contains(path.as_str()))
        && came.all(|delete| {
            let of = delete.referenced_data_file();
            of.is_some_and(|of| !removed.paths.contains(&of))
        })
}

fn paths(files: &[LiveFile]) -> HashSet<&str> {
    files.iter().map(|file| file.file.file_path()).collect()
}
