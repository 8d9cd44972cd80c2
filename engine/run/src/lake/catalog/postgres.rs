//! The pointers in a `PostgreSQL` database.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Fence, Result, Secret};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::sync::OnceCell;

use super::CATALOG_NAME;
use super::sql::{
    ADD_NAMESPACE, CREATE_FENCES, CREATE_TABLES, FIND, HOLD, INSERT, LIST, Move, MoveError,
    Pointers, SWAP,
};
use crate::lake::id::TableId;

/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of one engine to the catalog.
const CONNECTIONS: u32 = 4;
/// `serialization_failure`, `deadlock_detected`, `lock_not_available`: rolled back whole.
const REFUSED_CODES: [&str; 3] = ["40001", "40P01", "55P03"];
/// How long a transaction may stand still, with what it has locked, where its process does.
const GIVEN_UP: &str = "SET LOCAL idle_in_transaction_session_timeout = '30s'";
/// The advisory lock under which the tables are made: two engines that start together must not collide.
const MAKE_TABLES_LOCK: i64 = 0x6c61_6b65;

/// The pointers in one database.
pub(super) struct PostgresPointers {
    pool: PgPool,
    place: String,
    tables_made: OnceCell<()>,
    fences_made: OnceCell<()>,
}

impl PostgresPointers {
    /// The pointers in this database; no connection is made yet.
    pub(super) fn new(url: &Secret) -> Result<Self> {
        // The cause is left out: it may quote the URL, password and all.
        let options = PgConnectOptions::from_str(url.expose()).map_err(|_| {
            Error::new(
                ErrorKind::InvalidInput,
                "the URL of the catalog is not one of PostgreSQL",
            )
            .help("write it as `postgres://user:password@host:5432/database`")
        })?;
        let place = format!(
            "{}/{}",
            options.get_host(),
            options.get_database().unwrap_or_default()
        );
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            place,
            tables_made: OnceCell::new(),
            fences_made: OnceCell::new(),
        })
    }

    fn unreadable(&self, error: sqlx::Error) -> Error {
        Error::new(ErrorKind::Unavailable, "the catalog cannot be read")
            .with("catalog", &self.place)
            .caused_by(error)
    }

    async fn has_tables(&self) -> Result<bool> {
        let found: Option<String> =
            sqlx::query_scalar("SELECT to_regclass('iceberg_tables')::text")
                .fetch_one(&self.pool)
                .await
                .map_err(|error| self.unreadable(error))?;
        Ok(found.is_some())
    }

    /// Makes the tables, once.
    async fn make_tables(&self) -> Result<(), MoveError> {
        let make = async || -> Result<(), sqlx::Error> {
            let mut transaction = self.pool.begin().await?;
            let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKE_TABLES_LOCK);
            lock.execute(&mut *transaction).await?;
            for statement in CREATE_TABLES {
                sqlx::query(statement).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        let tables = self.tables_made.get_or_try_init(make).await;
        tables
            .copied()
            .map_err(|error| MoveError::NotSent(self.unreadable(error)))
    }

    /// Makes the table of fences, where there is none: who may not make tables can be given one.
    async fn make_fences(&self) -> Result<(), MoveError> {
        let make = async || -> Result<(), sqlx::Error> {
            let mut transaction = self.pool.begin().await?;
            let found: Option<String> =
                sqlx::query_scalar("SELECT to_regclass('lakewright_fences')::text")
                    .fetch_one(&mut *transaction)
                    .await?;
            if found.is_none() {
                let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKE_TABLES_LOCK);
                lock.execute(&mut *transaction).await?;
                sqlx::query(CREATE_FENCES)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        };
        let fences = self.fences_made.get_or_try_init(make).await;
        fences.copied().map_err(|error| {
            let message = "the catalog has no table `lakewright_fences`, and it cannot be made";
            let error = Error::new(ErrorKind::Unavailable, message)
                .with("catalog", &self.place)
                .caused_by(error);
            MoveError::NotSent(
                error.help(format!("let its owner run this once: `{CREATE_FENCES}`")),
            )
        })
    }
}

/// What an error of a statement that moves a pointer says about its effect.
fn move_error(error: sqlx::Error) -> MoveError {
    let refused = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| REFUSED_CODES.contains(&code.as_ref()));
    let not_sent = matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed);
    let failure = |kind, message| Error::new(kind, message).caused_by(error);
    if refused {
        MoveError::Refused(failure(
            ErrorKind::Conflict,
            "the catalog refused concurrent changes",
        ))
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
impl Pointers for PostgresPointers {
    async fn list(&self) -> Result<Vec<(String, String)>> {
        if !self.has_tables().await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as(LIST)
            .bind(CATALOG_NAME)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(|error| self.unreadable(error))
    }

    async fn find(&self, id: &TableId) -> Result<Option<String>> {
        if !self.has_tables().await? {
            return Ok(None);
        }
        let query = sqlx::query_scalar(FIND)
            .bind(CATALOG_NAME)
            .bind(&id.namespace)
            .bind(&id.name);
        let found: Option<Option<String>> = query
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.unreadable(error))?;
        Ok(found.flatten())
    }

    async fn shift(&self, moves: &[Move<'_>], fences: &[Fence]) -> Result<bool, MoveError> {
        if moves.iter().any(|to| to.old.is_none()) {
            self.make_tables().await?;
        }
        if !fences.is_empty() {
            self.make_fences().await?;
        }
        let mut transaction = self.pool.begin().await.map_err(move_error)?;
        sqlx::query(GIVEN_UP)
            .execute(&mut *transaction)
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
        let version: String = sqlx::query_scalar("SHOW server_version")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.unreadable(error))?;
        Ok(format!("PostgreSQL {version} catalog at {}", self.place))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
