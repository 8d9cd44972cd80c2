//! An `SQLite` file, asked without a trace: nothing is made, changed or locked.
//!
//! Knows which files `SQLite` keeps beside a database; knows nothing of what is in one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, FromRow, SqlitePool};

/// How long an answer waits for a process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the answer of a file at rest may turn out not to be one, before the file is opened beside its writers.
const ATTEMPTS: u32 = 3;

/// One question: a statement that only reads, and the table without which its answer is empty.
pub(crate) struct Question {
    /// The table.
    pub(crate) table: &'static str,
    /// The statement.
    pub(crate) statement: &'static str,
    /// What its placeholders stand for.
    pub(crate) arguments: SqliteArguments<'static>,
}

/// What a file and its neighbours look like.
#[derive(PartialEq, Eq)]
struct Sight {
    bytes: u64,
    changed: SystemTime,
    /// Somebody has it open for writing, or died so: what is newest does not stand in the file itself.
    log: bool,
    /// A change that was not completed, and that only a writer can take back.
    journal: bool,
}

impl Sight {
    /// `None` where there is no file.
    async fn of(path: &Path) -> io::Result<Option<Self>> {
        let file = match tokio::fs::metadata(path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Self {
            bytes: file.len(),
            changed: file.modified()?,
            log: tokio::fs::try_exists(beside(path, "-wal")).await?,
            journal: tokio::fs::try_exists(beside(path, "-journal")).await?,
        }))
    }

    const fn at_rest(&self) -> bool {
        !self.log && !self.journal
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Closes all connections to a file, so that nothing is left beside it. Two that close at the same moment each take the
/// other for one that stays, and leave the write-ahead log to it: then one more comes and goes alone.
pub(crate) async fn close(pool: &SqlitePool, path: &Path) {
    pool.close().await;
    if !tokio::fs::try_exists(beside(path, "-wal"))
        .await
        .unwrap_or(false)
    {
        return;
    }
    let last = async {
        let mut last = options(path).connect().await?;
        sqlx::query("SELECT count(*) FROM sqlite_master")
            .execute(&mut last)
            .await?;
        last.close().await
    };
    if let Err(error) = last.await {
        // Another process reads the log where it is: nothing is lost.
        tracing::debug!(%error, "a write-ahead log was left beside its database");
    }
}

/// The rows that answer a question; none where there is no file or no such table.
///
/// Even a reader makes files beside a database with a write-ahead log, and may not where the folder is not its own. So a
/// file at rest is read as one that nobody changes, and the answer counts only if nobody did.
pub(crate) async fn ask<R>(path: &Path, question: &Question) -> sqlx::Result<Vec<R>>
where
    R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    for _ in 0..ATTEMPTS {
        let Some(before) = Sight::of(path).await? else {
            return Ok(Vec::new());
        };
        if !before.at_rest() {
            break;
        }
        let answer = answer(options(path).read_only(true).immutable(true), question).await;
        if Sight::of(path).await? == Some(before) {
            return answer;
        }
    }
    let journal = Sight::of(path).await?.is_some_and(|sight| sight.journal);
    answer(options(path).read_only(!journal), question).await
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
}

async fn answer<R>(options: SqliteConnectOptions, question: &Question) -> sqlx::Result<Vec<R>>
where
    R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let mut connection = options.connect().await?;
    let rows = rows(&mut connection, question).await;
    // Closed here and not at some time later: a connection that lingers holds what it has locked.
    connection.close().await?;
    rows
}

async fn rows<R>(connection: &mut SqliteConnection, question: &Question) -> sqlx::Result<Vec<R>>
where
    R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let table: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")
            .bind(question.table)
            .fetch_optional(&mut *connection)
            .await?;
    if table.is_none() {
        return Ok(Vec::new());
    }
    sqlx::query_as_with::<Sqlite, R, _>(question.statement, question.arguments.clone())
        .fetch_all(connection)
        .await
}
