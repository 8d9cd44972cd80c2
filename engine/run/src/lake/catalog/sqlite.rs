//! The pointers in a `SQLite` file on this machine.
//!
//! Reading leaves no trace and needs no right to write: a plan of a project that has not run yet writes nothing.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Fence, Result};
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow,
};
use sqlx::{Arguments as _, FromRow};
use tokio::sync::{OnceCell, RwLock};

use super::CATALOG_NAME;
use super::sql::{
    ADD_NAMESPACE, CREATE_FENCES, CREATE_TABLES, FIND, HOLD, INSERT, LIST, Move, MoveError,
    Pointers, SWAP,
};
use crate::lake::id::TableId;
use crate::sqlite_file::{self, Question};

/// How long a statement waits for another process's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections; one writes at a time anyway.
const CONNECTIONS: u32 = 4;
/// `SQLITE_BUSY` and `SQLITE_LOCKED`, the low byte of the extended codes.
const BUSY_CODES: [i32; 2] = [5, 6];

/// The pointers in one file.
pub(super) struct SqlitePointers {
    path: PathBuf,
    pool: OnceCell<SqlitePool>,
    tables_made: OnceCell<()>,
    /// Held by those who look at the file while nobody here writes: a file that is closed takes with it the locks which
    /// the same process has on it.
    looking: RwLock<()>,
}

impl SqlitePointers {
    /// The pointers in this file, which need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            pool: OnceCell::new(),
            tables_made: OnceCell::new(),
            looking: RwLock::new(()),
        }
    }

    async fn pool(&self) -> Result<&SqlitePool> {
        let connect = async || {
            let options = SqliteConnectOptions::new()
                .filename(&self.path)
                .create_if_missing(false)
                .busy_timeout(BUSY_TIMEOUT);
            SqlitePoolOptions::new()
                .max_connections(CONNECTIONS)
                .connect_with(options)
                .await
        };
        self.pool
            .get_or_try_init(connect)
            .await
            .map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: sqlx::Error) -> Error {
        Error::new(ErrorKind::Unavailable, "the catalog cannot be read")
            .with("catalog", self.path.display())
            .caused_by(error)
    }

    /// The rows of a statement that only reads; the first argument is the catalog's name.
    async fn rows<R>(&self, statement: &'static str, more: &[&str]) -> Result<Vec<R>>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut arguments = SqliteArguments::default();
        for text in std::iter::once(&CATALOG_NAME).chain(more) {
            let added = arguments.add((*text).to_owned());
            added.map_err(|error| self.unreadable(sqlx::Error::Encode(error)))?;
        }
        let looking = self.looking.read().await;
        let rows = if self.tables_made.initialized() {
            drop(looking);
            sqlx::query_as_with::<Sqlite, R, _>(statement, arguments)
                .fetch_all(self.pool().await?)
                .await
        } else {
            let question = Question {
                table: "iceberg_tables",
                statement,
                arguments,
            };
            sqlite_file::ask(&self.path, &question).await
        };
        rows.map_err(|error| self.unreadable(error))
    }

    /// The pool, with file and tables made.
    async fn writable(&self) -> Result<&SqlitePool, MoveError> {
        let make = async || -> Result<()> {
            let _nobody_looks = self.looking.write().await;
            let unwritable = |error: Box<dyn std::error::Error + Send + Sync>| {
                Error::new(ErrorKind::Unavailable, "the catalog cannot be made")
                    .with("catalog", self.path.display())
                    .caused_by(error)
            };
            if let Some(folder) = self.path.parent() {
                tokio::fs::create_dir_all(folder)
                    .await
                    .map_err(|error| unwritable(error.into()))?;
            }
            tokio::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&self.path)
                .await
                .map_err(|error| unwritable(error.into()))?;
            let pool = self.pool().await?;
            // Readers then never block a commit. The mode is a property of the file.
            sqlx::query("PRAGMA journal_mode = WAL")
                .execute(pool)
                .await
                .map_err(|error| unwritable(error.into()))?;
            for statement in CREATE_TABLES.into_iter().chain([CREATE_FENCES]) {
                let made = sqlx::query(statement).execute(pool).await;
                made.map_err(|error| unwritable(error.into()))?;
            }
            Ok(())
        };
        self.tables_made
            .get_or_try_init(make)
            .await
            .map_err(MoveError::NotSent)?;
        self.pool().await.map_err(MoveError::NotSent)
    }
}

/// What an error of a statement that moves a pointer says about its effect.
fn move_error(error: sqlx::Error) -> MoveError {
    let busy = error.as_database_error().is_some_and(|database| {
        let code = database.code().and_then(|code| code.parse::<i32>().ok());
        code.is_some_and(|code| BUSY_CODES.contains(&(code & 0xff)))
    });
    let not_sent = matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed);
    let failure = |kind, message| Error::new(kind, message).caused_by(error);
    if busy {
        MoveError::Refused(failure(ErrorKind::Conflict, "the catalog is busy"))
    } else if not_sent {
        MoveError::NotSent(failure(
            ErrorKind::Unavailable,
            "the catalog has no free connection",
        ))
    } else {
        MoveError::Unknown(failure(
            ErrorKind::CommitUnknown,
            "the catalog did not confirm",
        ))
    }
}

#[async_trait]
impl Pointers for SqlitePointers {
    async fn list(&self) -> Result<Vec<(String, String)>> {
        self.rows(LIST, &[]).await
    }

    async fn find(&self, id: &TableId) -> Result<Option<String>> {
        let found: Vec<(Option<String>,)> = self.rows(FIND, &[&id.namespace, &id.name]).await?;
        Ok(found.into_iter().next().and_then(|(location,)| location))
    }

    async fn shift(&self, moves: &[Move<'_>], fences: &[Fence]) -> Result<bool, MoveError> {
        let pool = self.writable().await?;
        // Taken with the write lock at once: a transaction that upgrades is refused without waiting.
        let mut transaction = pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(move_error)?;
        for fence in fences {
            let hold = sqlx::query(HOLD)
                .bind(&fence.giver)
                .bind(&fence.name)
                .bind(fence.token);
            let done = hold.execute(&mut *transaction).await.map_err(move_error)?;
            if done.rows_affected() != 1 {
                return Err(MoveError::fenced(fence));
            }
        }
        for Move { id, old, new } in moves {
            let add = sqlx::query(ADD_NAMESPACE)
                .bind(CATALOG_NAME)
                .bind(&id.namespace);
            let to = sqlx::query(if old.is_some() { SWAP } else { INSERT })
                .bind(CATALOG_NAME)
                .bind(&id.namespace)
                .bind(&id.name)
                .bind(new);
            let to = if let Some(old) = old {
                to.bind(old)
            } else {
                add.execute(&mut *transaction).await.map_err(move_error)?;
                to
            };
            let done = to.execute(&mut *transaction).await.map_err(move_error)?;
            if done.rows_affected() != 1 {
                return Ok(false);
            }
        }
        transaction.commit().await.map_err(move_error)?;
        Ok(true)
    }

    async fn probe(&self) -> Result<String> {
        let tables = self.list().await?.len();
        Ok(format!(
            "SQLite catalog {}, {tables} tables",
            self.path.display()
        ))
    }

    async fn close(&self) {
        if let Some(pool) = self.pool.get() {
            sqlite_file::close(pool, &self.path).await;
        }
    }
}
