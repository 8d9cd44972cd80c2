//! How tables of the lake are kept in shape.

use std::time::Duration;

/// How a table of the lake is kept in shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// When its files are written again.
    pub compact: Compact,
    /// Which of its snapshots go.
    pub expire: Expire,
    /// What becomes of files that nothing refers to.
    pub orphans: Orphans,
}

/// When files are written again as few that are large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compact {
    /// Whether they are at all.
    pub enabled: bool,
    /// How many small files of a partition make it worth the work.
    pub min_files: u32,
    /// How many of a hundred rows of a file must be deleted to write it again without them.
    pub deleted_percent: u32,
}

impl Default for Compact {
    fn default() -> Self {
        Self {
            enabled: true,
            min_files: 5,
            deleted_percent: 10,
        }
    }
}

/// Which snapshots go, and with them the files that only they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expire {
    /// Whether any goes.
    pub enabled: bool,
    /// How long ago another one must have followed a snapshot for it to go.
    pub older_than: Duration,
    /// How many of the newest stay, however old.
    pub keep: u32,
}

impl Default for Expire {
    fn default() -> Self {
        Self {
            enabled: true,
            older_than: Duration::from_hours(7 * 24),
            keep: 10,
        }
    }
}

/// What becomes of files that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    /// Whether they are looked for.
    pub enabled: bool,
    /// How old a file must be to be one.
    pub older_than: Duration,
    /// How long they are kept aside before they are removed.
    pub quarantine: Duration,
}

impl Default for Orphans {
    fn default() -> Self {
        Self {
            enabled: true,
            older_than: Duration::from_hours(3 * 24),
            quarantine: Duration::from_hours(7 * 24),
        }
    }
}
