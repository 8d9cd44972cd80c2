//! Whether a process lives that was given a right: beside each stands something that dies with it, a lock on a file or
//! of a session. A crash so frees at once what it held.
//!
//! Knows names and tokens; says nothing of how long a right holds.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind, Fence, Result};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::fault;

/// Who holds an advisory lock is on record; the two halves of the key stand apart.
pub(super) const IS_HELD: &str = "SELECT EXISTS (
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND ((classid::bigint << 32) | objid::bigint) = $1)";

/// All advisory locks of this database.
pub(super) const HELD: &str = "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A sign of life in the folder of locks beside the file `state`: locked for as long as this lives.
pub(super) fn in_folder(state: &Path, fence: &Fence) -> Result<File> {
    let path = file_of(state, fence);
    let file = open(&path)?;
    // Somebody who looks holds it for some microseconds; nobody else takes it, since a token is given once.
    file.lock()
        .map_err(|error| unusable(&path).caused_by(error))?;
    Ok(file)
}

/// Whether the process lives that was given this. Nothing is made, and two that look do not see each other.
pub(super) fn is_in_folder(state: &Path, fence: &Fence) -> Result<bool> {
    let path = file_of(state, fence);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unusable(&path).caused_by(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(unusable(&path).caused_by(error)),
    }
}

/// Removes a sign of life that nobody looks for any more.
pub(super) fn remove_from_folder(state: &Path, fence: &Fence) {
    let path = file_of(state, fence);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(path = %path.display(), %error, "an unused lock file stays behind");
        }
        _ => {}
    }
}

/// Gives a sign of life for as long as the session lives.
pub(super) async fn in_session(session: &mut PgConnection, fence: &Fence) -> Result<()> {
    let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(key(fence));
    lock.execute(session).await.map(drop).map_err(fault::of)
}

/// Waits for the lock under which the file `state` is made or migrated. SQLite's own lock is no help before the first
/// table exists.
pub(super) fn wait_to_migrate(state: &Path) -> Result<File> {
    let path = folder(state).join("migrate.lock");
    let file = open(&path)?;
    file.lock()
        .map_err(|error| unusable(&path).caused_by(error))?;
    Ok(file)
}

/// A pipeline is in the folder of its domain.
fn file_of(state: &Path, fence: &Fence) -> PathBuf {
    folder(state).join(format!("{}.{}.lock", fence.name, fence.token))
}

/// A folder and not a name beside the file: a domain and a pipeline may have 128 bytes each, a file name 255.
fn folder(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".locks");
    PathBuf::from(name)
}

fn open(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| unusable(parent).caused_by(error))?;
    }
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| unusable(path).caused_by(error))
}

/// Advisory locks are numbers, one space for the whole database.
pub(super) fn key(fence: &Fence) -> i64 {
    let digest = Sha256::digest(format!("lakewright/{}/{}", fence.name, fence.token));
    digest
        .iter()
        .take(8)
        .fold(0, |key, byte| (key << 8) | i64::from(*byte))
}

fn unusable(path: &Path) -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        format!("`{}` cannot be used for locks", path.display()),
    )
    .help("the folder of the state store must be writable, on a file system that has locks")
}
