//! Whether what others committed meanwhile concerns a merge.

use std::collections::HashSet;

use connectors::Result;
use iceberg::table::Table;

use super::current;
use crate::lake::files::{LiveFile, live_files};
use crate::lake::merge::Keys;

/// Whether from `base` to `now` files only came, none of which can hold one of these keys. What is not the same table,
/// or was none, is for others to tell.
pub(super) async fn apart(base: Option<&Table>, now: &Table, keys: &Keys) -> Result<bool> {
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
    let came = |file: &&LiveFile| !before.contains(file.file.file_path());
    Ok(before.is_subset(&after)
        && paths(&was.deletes) == paths(&is.deletes)
        && !is.data.iter().filter(came).any(|file| keys.may_be_in(file)))
}
