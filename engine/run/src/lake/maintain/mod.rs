//! Keeps tables in shape: files that are small or full of deleted rows, manifests, old snapshots, files that nothing
//! refers to.
//!
//! None of it changes a row. Each part looks first, and what it found can be shown or done. Knows no SQL: whoever
//! compacts reads the rows of a [`Bin`] and writes them with the stage that [`Compaction::stage`] gives.

mod compact;
mod expire;
mod orphans;
mod reach;

use connectors::{Error, ErrorKind, Result};

pub use self::compact::{Bin, Compaction, CompactionRules, SortedBy};
pub use self::expire::{Expired, ExpiryRules};
pub use self::orphans::{OrphanRules, Orphans, SetAside};
use super::table::LakeTable;

/// The property by which a table says that its files are not to be removed.
const GC: &str = "gc.enabled";

/// Files asked for, or removed, at the same time.
const FILES_AT_ONCE: usize = 16;

/// Refuses to remove files of a table that forbids it.
fn may_remove(table: &LakeTable) -> Result<()> {
    let properties = table.iceberg().metadata().properties();
    if properties.get(GC).is_some_and(|text| text == "false") {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the table says that its files are not to be removed",
        )
        .with("table", table.id())
        .with("property", format!("{GC}=false"))
        .help("its files may belong to another table, too; write `enabled: false` in its `maintenance`"));
    }
    Ok(())
}
