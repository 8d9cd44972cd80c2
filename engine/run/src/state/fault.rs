//! What databases answer when they fail, as our errors.

use connectors::{Error, ErrorKind};
use sqlx::migrate::MigrateError;

/// SQLite's `SQLITE_BUSY`: somebody else has held the write lock for longer than we wait.
const SQLITE_BUSY: &str = "5";
/// SQLite's `SQLITE_READONLY`.
const SQLITE_READONLY: &str = "8";
/// SQLite's `SQLITE_FULL`.
const SQLITE_FULL: &str = "13";

/// An error of the database under the state store.
pub(super) fn of(error: sqlx::Error) -> Error {
    let kind = match &error {
        sqlx::Error::Database(answer) => match answer.code().as_deref() {
            Some(SQLITE_BUSY) => ErrorKind::Timeout,
            Some(SQLITE_FULL) => ErrorKind::LimitExceeded,
            Some(SQLITE_READONLY | "28000" | "28P01" | "42501") => ErrorKind::PermissionDenied,
            // Postgres: no such database; connection, resources, shutdown.
            Some("3D000") => ErrorKind::NotFound,
            Some(code)
                if ["08", "53", "57"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
            {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Internal,
        },
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => {
            ErrorKind::Unavailable
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => ErrorKind::InvalidData,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, "the state store cannot be used")
        .caused_by(error)
        .help(
            "look at `state:` in the project, and whether that database can be reached and written",
        )
}

/// An error of an insert: a key that is there already was written by somebody else.
pub(super) fn of_insert(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(answer) if answer.is_unique_violation() => Error::new(
            ErrorKind::Conflict,
            "another process has written to the log of this run",
        )
        .caused_by(error)
        .retry(false),
        _ => of(error),
    }
}

/// An error of bringing the tables up to date.
pub(super) fn of_migration(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) => of(error),
        MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_) => Error::new(
            ErrorKind::Unsupported,
            "the state store was made by another version of this program",
        )
        .caused_by(error)
        .help("use the newest version that ever opened it"),
        _ => Error::new(
            ErrorKind::Internal,
            "the tables of the state store cannot be made",
        )
        .caused_by(error),
    }
}
