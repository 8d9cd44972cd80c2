//! Maintenance: the tables that the project's pipelines write are kept in shape, one chore after the other.
//!
//! Works beside pipelines: a chore that meets their commits goes on top of them, or gives up what it was at until the
//! next time. Only tables of this project are touched.

mod compact;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Result};
use spec::model::{Load, Maintenance, TableRef};
use uuid::Uuid;

use self::compact::Compacting;
use crate::engine::Engine;
use crate::lake::{
    CompactionRules, DEFAULT_TARGET_FILE_BYTES, Expired, ExpiryRules, OrphanRules, SetAside,
    TableId,
};
use crate::open::table_id;

/// A kind of maintenance, in the order in which they are done: expiry finds the files that compaction replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chore {
    /// Files that are small or full of deleted rows are written again.
    Compact,
    /// Old snapshots go, and the files that only they reach.
    Expire,
    /// Files that nothing refers to are set aside.
    Orphans,
}

impl Chore {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Compact, Self::Expire, Self::Orphans];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Expire => "expire",
            Self::Orphans => "orphans",
        }
    }
}

impl fmt::Display for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a chore did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The specs say that it is not to be done.
    Off,
    /// The table is not there yet.
    NoTable,
    /// What was written again.
    Compacted(Compacted),
    /// What expired.
    Expired(Expired),
    /// What was set aside.
    SetAside(SetAside),
}

/// What compaction did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were written again.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// Deleted rows in them.
    pub deleted_rows: u64,
    /// Files that took their place; not known before it is done.
    pub into: Option<usize>,
    /// Their size.
    pub into_bytes: u64,
    /// Manifests that were merged.
    pub manifests: usize,
    /// Files that were left for the next time, since somebody else changed them meanwhile.
    pub left: usize,
}

impl Engine {
    /// The tables that the project's pipelines write, sorted.
    pub fn own_tables(&self) -> impl Iterator<Item = TableId> {
        self.project().maintenance.keys().map(table_id)
    }

    /// Does a chore for a table of this project, or with `dry_run` says what it would do.
    ///
    /// # Errors
    /// `NotFound` for a table that no pipeline of the project writes: it is somebody else's.
    pub async fn maintain(&self, id: &TableId, chore: Chore, dry_run: bool) -> Result<Done> {
        let table = self.own(id)?;
        let rules = self.project().maintenance.get(&table);
        let rules = rules.cloned().unwrap_or_default();
        let Some(found) = self.lake().await?.table(id).await? else {
            return Ok(Done::NoTable);
        };
        let now = self.now();
        let enabled = match chore {
            Chore::Compact => rules.compact.enabled,
            Chore::Expire => rules.expire.enabled,
            Chore::Orphans => rules.orphans.enabled,
        };
        if !enabled {
            return Ok(Done::Off);
        }
        Ok(match chore {
            Chore::Compact => {
                let layout = self.loads_of(id).next().map(|(_, _, load)| load);
                let compacting = Compacting {
                    engine: self,
                    table: found,
                    rules: compaction(&rules, layout),
                    id: format!("maintenance-{}", Uuid::new_v4()),
                };
                Done::Compacted(compacting.run(dry_run).await?)
            }
            Chore::Expire => {
                let rules = ExpiryRules {
                    before_ms: before(now, rules.expire.older_than).timestamp_millis(),
                    keep: usize::try_from(rules.expire.keep).unwrap_or(usize::MAX),
                    now_ms: now.timestamp_millis(),
                };
                Done::Expired(self.lake().await?.expire(id, rules, dry_run).await?)
            }
            Chore::Orphans => {
                let rules = OrphanRules {
                    before: before(now, rules.orphans.older_than),
                    aside_before: before(now, rules.orphans.quarantine),
                    now,
                };
                let lake = self.lake().await?;
                let orphans = lake.orphans(&found, rules).await?;
                Done::SetAside(if dry_run {
                    orphans.told()
                } else {
                    lake.set_aside(&found, orphans, rules).await?
                })
            }
        })
    }

    /// Says what is wrong with a table that no pipeline of the project writes.
    pub fn require_own(&self, id: &TableId) -> Result<()> {
        self.own(id).map(|_| ())
    }

    /// A table that the project's pipelines write.
    fn own(&self, id: &TableId) -> Result<TableRef> {
        let own = &self.project().maintenance;
        if let Some((table, _)) = own.iter().find(|(table, _)| table_id(table) == *id) {
            return Ok(table.clone());
        }
        let names: Vec<String> = own.keys().map(ToString::to_string).collect();
        let error = Error::new(
            ErrorKind::NotFound,
            format!(
                "no pipeline of the project writes `{id}`, and only those tables are maintained"
            ),
        );
        Err(
            match spec::nearest(&id.to_string(), names.iter().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help("`lakewright maintain --dry-run` lists those that are"),
            },
        )
    }
}

fn compaction(rules: &Maintenance, load: Option<&Load>) -> CompactionRules {
    CompactionRules {
        min_files: usize::try_from(rules.compact.min_files).unwrap_or(usize::MAX),
        deleted_percent: u64::from(rules.compact.deleted_percent),
        target_file_bytes: load
            .and_then(|load| load.target_file_bytes)
            .unwrap_or(DEFAULT_TARGET_FILE_BYTES),
        sort_by: load.map(|load| load.sort_by.clone()).unwrap_or_default(),
    }
}

/// The time that lies this long back.
fn before(now: DateTime<Utc>, ago: Duration) -> DateTime<Utc> {
    let ago = chrono::Duration::from_std(ago).unwrap_or(chrono::Duration::MAX);
    now.checked_sub_signed(ago)
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}
