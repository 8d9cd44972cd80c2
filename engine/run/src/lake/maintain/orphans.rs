//! Orphans: files in a table's folders that nothing refers to, as failed runs leave them.
//!
//! They are moved aside first, with a list of where each was, and removed when they have lain there long enough.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, Utc};
use connectors::{Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::table::Table;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::Serialize;

use super::{FILES_AT_ONCE, may_remove, reach};
use crate::lake::Lake;
use crate::lake::failure::store_failed;
use crate::lake::table::LakeTable;

/// The folders of a table where its files are.
const FOLDERS: [&str; 2] = ["data", "metadata"];
/// The folder for files that were set aside: in it one for each time, and in that the list.
const ASIDE: &str = "orphans";
const LIST: &str = "moved.ndjson";
/// How a folder of files that were set aside is called.
const STAMP: &str = "%Y%m%dT%H%M%S%3fZ";
/// A file that says which metadata is the newest, where there is no catalog.
const HINT: &str = "version-hint.text";

/// Which files are orphans, and for how long they are kept.
#[derive(Clone, Copy, Debug)]
pub struct OrphanRules {
    /// Those last changed before.
    pub before: DateTime<Utc>,
    /// Those that were set aside before go for good.
    pub aside_before: DateTime<Utc>,
    /// The time now.
    pub now: DateTime<Utc>,
}

/// Files that nothing refers to.
#[derive(Clone, Debug, Default)]
pub struct Orphans {
    found: Vec<ObjectMeta>,
    /// Those that were set aside long enough ago.
    over: Vec<ObjectMeta>,
}

/// What became of orphans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// How many files were moved.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// Where to; `None` where there was none.
    pub to: Option<String>,
    /// How many went for good that had been moved earlier.
    pub removed: usize,
    /// Their size.
    pub removed_bytes: u64,
}

impl Orphans {
    /// What would become of them.
    pub fn told(&self) -> SetAside {
        let bytes = |files: &[ObjectMeta]| files.iter().map(|file| file.size).sum();
        SetAside {
            files: self.found.len(),
            bytes: bytes(&self.found),
            to: None,
            removed: self.over.len(),
            removed_bytes: bytes(&self.over),
        }
    }
}

/// A line of the list of files that were set aside.
#[derive(Serialize)]
struct Moved<'a> {
    from: &'a str,
    to: &'a str,
    bytes: u64,
    changed: DateTime<Utc>,
}

impl Lake {
    /// Looks for files of a table that nothing refers to.
    ///
    /// # Errors
    /// `Unsupported` where the catalog hands out keys to the files of one table, which do not list them.
    pub async fn orphans(&self, table: &LakeTable, rules: OrphanRules) -> Result<Orphans> {
        may_remove(table)?;
        let home = self.home(table)?;
        let reached = self.reached(table).await?;
        let own = table.iceberg().metadata_location();
        let own = own.map(|address| self.warehouse.at(address)).transpose()?;
        let mut seen = false;
        let mut found = Vec::new();
        for folder in FOLDERS {
            let folder = home.path.clone().join(folder);
            let mut files = home.store.list(Some(&folder));
            while let Some(file) = files.try_next().await.map_err(unlisted())? {
                seen |= own.as_ref().is_some_and(|(_, own)| *own == file.location);
                let named = file.location.filename() == Some(HINT);
                let old = file.last_modified < rules.before;
                if old && !named && !reached.contains(&file.location) {
                    found.push(file);
                }
            }
        }
        if !seen {
            return Err(Error::new(
                ErrorKind::Internal,
                "the table's own metadata is not among the files of its folder: none can be told from an orphan",
            )
            .with("table", table.id())
            .with("folder", &home.address));
        }
        let over = over(&home, rules.aside_before).await?;
        Ok(Orphans { found, over })
    }

    /// Moves orphans aside, and removes those that were set aside long enough ago.
    pub async fn set_aside(
        &self,
        table: &LakeTable,
        orphans: Orphans,
        rules: OrphanRules,
    ) -> Result<SetAside> {
        let home = self.home(table)?;
        let Orphans { mut found, over } = orphans;
        let now = self.table(table.id()).await?;
        let now = now.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the table is not there any more")
                .with("table", table.id())
        })?;
        // What a run has committed since is no orphan.
        if now.iceberg().metadata_location() != table.iceberg().metadata_location() {
            let reached = self.reached(&now).await?;
            found.retain(|file| !reached.contains(&file.location));
        }
        let mut done = Orphans {
            found: found.clone(),
            over: over.clone(),
        }
        .told();
        if !found.is_empty() {
            let stamp = rules.now.format(STAMP).to_string();
            let folder = home.path.clone().join(ASIDE).join(stamp.as_str());
            done.to = Some(format!("{}/{ASIDE}/{stamp}", home.address));
            move_into(&home, &folder, &found).await?;
        }
        let places = over.into_iter().map(|file| Ok(file.location));
        let mut removed = home.store.delete_stream(stream::iter(places).boxed());
        while let Some(one) = removed.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(immovable()(error)),
            }
        }
        Ok(done)
    }

    /// Where the files of a table are.
    fn home(&self, table: &LakeTable) -> Result<Home> {
        if self.catalog.hands_out_keys() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the catalog hands out the keys to the files, and those do not list them",
            )
            .with("table", table.id())
            .help("write `orphans: { enabled: false }`, and let the catalog's own service look for them"));
        }
        let address = table.iceberg().metadata().location().trim_end_matches('/');
        let (store, path) = self.warehouse.at(address)?;
        Ok(Home {
            store,
            path,
            address: address.to_owned(),
        })
    }

    /// All files that a table refers to.
    async fn reached(&self, table: &LakeTable) -> Result<HashSet<Path>> {
        let iceberg: &Table = table.iceberg();
        let mut reached = HashSet::new();
        let mut wrong = None;
        let mut add = |address: &str| match self.warehouse.at(address) {
            Ok((_, path)) => {
                reached.insert(path);
            }
            Err(error) => wrong = Some(error),
        };
        for file in reach::of_metadata(iceberg) {
            add(&file);
        }
        let manifests = reach::manifests(iceberg, iceberg.metadata().snapshots()).await?;
        for path in manifests.keys() {
            add(path);
        }
        reach::files(iceberg, manifests.values(), |listed| {
            if listed.alive {
                add(&listed.path);
            }
        })
        .await?;
        // An address that is not understood may be that of any file.
        wrong.map_or(Ok(reached), Err)
    }
}

/// The place of a table's files.
struct Home {
    store: std::sync::Arc<dyn ObjectStore>,
    path: Path,
    address: String,
}

/// Files that were set aside before.
async fn over(home: &Home, before: DateTime<Utc>) -> Result<Vec<ObjectMeta>> {
    let folder = home.path.clone().join(ASIDE);
    let listed = home.store.list(Some(&folder));
    let files: Vec<ObjectMeta> = listed.try_collect().await.map_err(unlisted())?;
    let is_over = |file: &ObjectMeta| {
        let mut parts = file.location.prefix_match(&folder)?;
        let time = NaiveDateTime::parse_from_str(parts.next()?.as_ref(), STAMP);
        Some(time.ok()?.and_utc() < before)
    };
    let all = files.into_iter();
    Ok(all
        .filter(|file| is_over(file).unwrap_or_default())
        .collect())
}

/// Moves files into a folder, after the list of them has been written there.
async fn move_into(home: &Home, folder: &Path, files: &[ObjectMeta]) -> Result<()> {
    let mut moves: BTreeMap<Path, Path> = BTreeMap::new();
    let mut list = String::new();
    for file in files {
        let Some(below) = file.location.prefix_match(&home.path) else {
            continue;
        };
        let to: Path = folder.parts().chain(below).collect();
        let line = serde_json::to_string(&Moved {
            from: file.location.as_ref(),
            to: to.as_ref(),
            bytes: file.size,
            changed: file.last_modified,
        });
        let line = line.map_err(|error| {
            Error::new(ErrorKind::Internal, "a list of files cannot be written").caused_by(error)
        })?;
        list.push_str(&line);
        list.push('\n');
        moves.insert(file.location.clone(), to);
    }
    let place = folder.clone().join(LIST);
    let list = Bytes::from(list);
    home.store
        .put(&place, list.into())
        .await
        .map_err(immovable())?;
    let done = stream::iter(moves)
        .map(|(from, to)| async move {
            match home.store.rename(&from, &to).await {
                // Somebody else was faster.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(immovable()(error).with("file", from)),
            }
        })
        .buffer_unordered(FILES_AT_ONCE);
    done.try_collect().await
}

fn unlisted() -> impl FnOnce(object_store::Error) -> Error {
    store_failed("the files of the table cannot be listed")
}

fn immovable() -> impl FnOnce(object_store::Error) -> Error {
    store_failed("files that nothing refers to cannot be set aside")
}
