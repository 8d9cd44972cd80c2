//! Runs SQL in PostgreSQL and sends on what comes out, row by row.

use std::sync::Arc;

use futures::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::{Either, Executor as _, Row as _};

use super::Session;
use crate::error::{Result, SqlError};
use crate::faults::AtRow;
use crate::sql::bind::{OutputColumn, Selected};
use crate::types::{SqlType, Value};

/// The point to which a failing statement of a transaction is taken back.
const SAVEPOINT: &str = "SAVEPOINT tds_statement";
const RELEASE: &str = "RELEASE SAVEPOINT tds_statement";
const BACK: &str = "ROLLBACK TO SAVEPOINT tds_statement; RELEASE SAVEPOINT tds_statement";

impl Session {
    /// SQL that gives no rows to the client.
    pub(super) async fn execute(&mut self, sql: &str) -> Result<u64> {
        Ok(self
            .postgres
            .execute(sqlx::raw_sql(sql))
            .await?
            .rows_affected())
    }

    /// Runs in a transaction: the open one, where a failure takes back no more than this, or one of its own.
    pub(super) async fn guarded(&mut self, sql: &str) -> Result<u64> {
        self.before_statement().await?;
        let done = self.execute(sql).await;
        self.after_statement(done.is_ok()).await?;
        done
    }

    pub(super) async fn before_statement(&mut self) -> Result<()> {
        let begin = if self.facts.transactions > 0 {
            SAVEPOINT
        } else {
            "BEGIN"
        };
        self.execute(begin).await.map(|_| ())
    }

    pub(super) async fn after_statement(&mut self, good: bool) -> Result<()> {
        let end = match (self.facts.transactions > 0, good) {
            (true, true) => RELEASE,
            (true, false) => BACK,
            (false, true) => "COMMIT",
            (false, false) => "ROLLBACK",
        };
        self.execute(end).await.map(|_| ())
    }

    /// One value, computed by PostgreSQL.
    pub(super) async fn single(&mut self, sql: &str, sql_type: SqlType) -> Result<Value> {
        let row = self
            .postgres
            .fetch_optional(sqlx::raw_sql(&format!("SELECT {sql}")))
            .await?;
        row.map_or(Ok(Value::Null), |row| cell(&row, 0, sql_type))
    }

    /// The rows of a query that sets variables: the last one does.
    pub(super) async fn set_variables(&mut self, selected: &Selected) -> Result<u64> {
        let rows = self
            .postgres
            .fetch_all(sqlx::raw_sql(&selected.sql))
            .await?;
        if let Some(last) = rows.last() {
            for ((variable, column), at) in
                selected.variables.iter().zip(&selected.columns).zip(0..)
            {
                let value = cell(last, at, column.sql_type)?;
                self.facts
                    .variables
                    .insert(variable.clone(), (column.sql_type, value));
            }
        }
        Ok(rows.len() as u64)
    }

    /// Sends the rows of `sql`, if it has any, and tells how many rows there were or were changed.
    pub(super) async fn stream(&mut self, sql: &str, columns: &[OutputColumn]) -> Result<u64> {
        self.before_statement().await?;
        let done = self.stream_here(sql, columns).await;
        self.after_statement(done.is_ok()).await?;
        done
    }

    async fn stream_here(&mut self, sql: &str, columns: &[OutputColumn]) -> Result<u64> {
        let Self {
            postgres,
            reply,
            attention,
            shared,
            process,
            facts,
            ..
        } = self;
        let attention = Arc::clone(attention);
        let faults = shared.faults.for_rows(sql);
        if !columns.is_empty() {
            reply.columns(columns, &facts.database_name);
        }
        let (mut rows, mut changed) = (0, 0);
        let mut cancelled = false;
        let mut found = postgres.fetch_many(sqlx::raw_sql(sql));
        loop {
            let next = tokio::select! {
                biased;
                () = attention.asked(), if !cancelled => {
                    cancelled = true;
                    shared.cancel(*process).await?;
                    continue;
                }
                next = found.try_next() => next,
            };
            match next {
                Ok(Some(Either::Right(row))) if !cancelled => {
                    rows += 1;
                    if let Some(fault) = &faults
                        && fault.meets(rows)
                    {
                        return Err(strike(fault, reply).await?);
                    }
                    let values: Vec<Value> = columns
                        .iter()
                        .zip(0..)
                        .map(|(column, at)| cell(&row, at, column.sql_type))
                        .collect::<Result<_>>()?;
                    reply.row(&values, columns).await?;
                }
                Ok(Some(Either::Right(_))) => {}
                Ok(Some(Either::Left(result))) => changed += result.rows_affected(),
                Ok(None) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(if columns.is_empty() { changed } else { rows })
    }
}

/// What a script says is to happen among the rows.
async fn strike(fault: &AtRow, reply: &mut crate::wire::Reply) -> Result<SqlError> {
    if let Some(error) = fault.error() {
        return Ok(error);
    }
    reply.packets().break_off().await?;
    Ok(SqlError::protocol("The connection was dropped by a fault."))
}

fn cell(row: &PgRow, at: usize, sql_type: SqlType) -> Result<Value> {
    let raw = row.try_get_raw(at)?;
    let text = if sqlx::ValueRef::is_null(&raw) {
        None
    } else {
        Some(
            raw.as_str()
                .map_err(|error| SqlError::protocol(&error.to_string()))?,
        )
    };
    Value::of_postgres(text, sql_type)
}
