//! One run of a pipeline at a time, and one process at a time that decides about schedules.
//!
//! Both kinds of lock belong to something that dies with its process, a file handle or a session, so that no crash
//! leaves one behind and nobody has to guess from a timestamp whether the holder lives.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use spec::model::PipelineId;
use sqlx::{Connection, PgConnection, PgPool};

use super::fault;

/// How often a lock file is asked for: somebody who looks at it holds it for some microseconds.
const TRIES: u32 = 5;
/// The wait in between.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a server may take to say that a session is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who holds an advisory lock is on record; the two halves of the key stand apart.
const IS_HELD: &str = "SELECT EXISTS (
    SELECT 1 FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND ((classid::bigint << 32) | objid::bigint) = $1)";

/// The right to run a pipeline, for as long as this value lives.
#[must_use = "the lock is free again as soon as this is dropped"]
pub struct PipelineLock(Held);

enum Held {
    /// The system frees it when the file is closed.
    File(File),
    /// The server frees it when the session ends.
    Session(PgConnection),
}

impl Held {
    /// Takes the lock on a file; `None` where somebody else has it. Lock files are never removed: to remove one that
    /// another process has just opened would let both have it.
    async fn file(path: &Path) -> Result<Option<Self>> {
        let file = open(path)?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < TRIES => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(unusable(path).caused_by(error)),
            }
        }
        Ok(Some(Self::File(file)))
    }

    /// Takes the advisory lock of this number for a session; `None` where another session has it.
    async fn session(mut session: PgConnection, key: i64) -> Result<Option<Self>> {
        let free: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(key)
            .fetch_one(&mut session)
            .await
            .map_err(fault::of)?;
        Ok(free.then_some(Self::Session(session)))
    }
}

impl PipelineLock {
    /// Gives it up, and returns when it is free: a drop frees a session's lock only once the server has noticed.
    pub async fn release(self) -> Result<()> {
        match self.0 {
            Held::File(file) => file.unlock().map_err(|error| {
                Error::new(ErrorKind::Internal, "a lock file cannot be unlocked").caused_by(error)
            }),
            Held::Session(session) => session.close().await.map_err(fault::of),
        }
    }

    /// The lock of a pipeline whose state is in the file `state`.
    pub(super) async fn in_folder(state: &Path, pipeline: &PipelineId) -> Result<Self> {
        let held = Held::file(&file_of(state, pipeline)).await?;
        held.map(Self).ok_or_else(|| taken(pipeline))
    }

    /// The lock of a pipeline, held by this session.
    pub(super) async fn in_session(session: PgConnection, pipeline: &PipelineId) -> Result<Self> {
        let held = Held::session(session, key(&pipeline.to_string())).await?;
        held.map(Self).ok_or_else(|| taken(pipeline))
    }
}

/// The right to decide about schedules, for as long as this value lives and [`Lease::holds`].
#[must_use = "the lease is free again as soon as this is dropped"]
pub struct Lease(Held);

impl Lease {
    /// The lease over the state in the file `state`; `None` where another process has it.
    pub(super) async fn in_folder(state: &Path) -> Result<Option<Self>> {
        let path = folder(state).join("scheduler.lock");
        Ok(Held::file(&path).await?.map(Self))
    }

    /// The lease over this database; `None` where another session has it.
    pub(super) async fn in_session(session: PgConnection) -> Result<Option<Self>> {
        // Pipelines have a slash in their names.
        Ok(Held::session(session, key("scheduler")).await?.map(Self))
    }

    /// Whether it is still ours: the server frees it where the session has ended.
    pub async fn holds(&mut self) -> bool {
        match &mut self.0 {
            Held::File(_) => true,
            Held::Session(session) => {
                let answer = tokio::time::timeout(PATIENCE, session.ping()).await;
                answer.is_ok_and(|answer| answer.is_ok())
            }
        }
    }
}

/// Whether somebody has the lock of a pipeline whose state is in the file `state`. Nothing is made, and two that look do
/// not see each other.
pub(super) fn is_held_in_folder(state: &Path, pipeline: &PipelineId) -> Result<bool> {
    let path = file_of(state, pipeline);
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

/// Whether a session has the lock of a pipeline.
pub(super) async fn is_held_in_session(pool: &PgPool, pipeline: &PipelineId) -> Result<bool> {
    sqlx::query_scalar(IS_HELD)
        .bind(key(&pipeline.to_string()))
        .fetch_one(pool)
        .await
        .map_err(fault::of)
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

fn file_of(state: &Path, pipeline: &PipelineId) -> PathBuf {
    folder(state)
        .join(pipeline.domain.as_str())
        .join(format!("{}.lock", pipeline.name))
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
fn key(name: &str) -> i64 {
    let digest = Sha256::digest(format!("lakewright/{name}"));
    digest
        .iter()
        .take(8)
        .fold(0, |key, byte| (key << 8) | i64::from(*byte))
}

fn taken(pipeline: &PipelineId) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("pipeline `{pipeline}` is running already"),
    )
    .help("wait for that run to end, or stop it; the lock goes with its process")
}

fn unusable(path: &Path) -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        format!("`{}` cannot be used for locks", path.display()),
    )
    .help("the folder of the state store must be writable, on a file system that has locks")
}
