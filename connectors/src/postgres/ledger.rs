//! The runs that a schema has taken: a table beside the targets, written in the same transaction as the rows.
//!
//! Knows its own table; knows nothing of the rows.

use super::catalog;
use super::sql::{self, Relation};
use super::wire::Session;
use crate::error::Result;

/// The table that remembers runs.
const TABLE: &str = "lakewright_runs";

fn beside(target: &Relation) -> Relation {
    let schema = match target {
        Relation::Table { schema, .. } => schema.clone(),
        Relation::Query(_) => None,
    };
    Relation::Table {
        schema,
        name: TABLE.to_owned(),
    }
}

/// Whether this run was committed to this target.
pub(super) async fn committed(session: &mut Session, target: &Relation, run: &str) -> Result<bool> {
    let ledger = beside(target);
    if !catalog::exists(session, &ledger).await? {
        return Ok(false);
    }
    let query = format!(
        "SELECT 1 FROM {} WHERE run = {} AND target = {}",
        ledger.as_sql(),
        sql::text(run),
        sql::text(&target.as_sql())
    );
    Ok(session.value(&query).await?.is_some())
}

/// Remembers a run in the open transaction; `false` where it had been committed before. Waits for another transaction
/// that is committing the same run.
pub(super) async fn record(session: &mut Session, target: &Relation, run: &str) -> Result<bool> {
    let ledger = beside(target);
    if !catalog::exists(session, &ledger).await? {
        // Two transactions that create the same table at once do not wait for each other: the second one fails.
        session
            .run("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('lakewright_runs'))")
            .await?;
        session
            .run(&format!(
                "CREATE TABLE IF NOT EXISTS {} (run text NOT NULL, target text NOT NULL, \
                 committed_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, target))",
                ledger.as_sql()
            ))
            .await?;
    }
    let tag = session
        .run(&format!(
            "INSERT INTO {} (run, target) VALUES ({}, {}) ON CONFLICT DO NOTHING",
            ledger.as_sql(),
            sql::text(run),
            sql::text(&target.as_sql())
        ))
        .await?;
    Ok(tag == "INSERT 0 1")
}
