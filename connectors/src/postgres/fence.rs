//! Who may commit beside a table: the highest token that was seen of each name, in a table of its own.
//!
//! The row of a name is locked until the transaction ends: whoever raises the fence waits for a commit on its way, and a
//! commit that comes later sees the higher token. Knows nothing of rows and runs.

use super::sql::{self, Relation};
use super::wire::Session;
use crate::contract::Fence;
use crate::error::{Error, ErrorKind, Result};

/// The table.
const TABLE: &str = "lakewright_fences";

/// Holds the fence in the open transaction: `Conflict` where somebody has been given a higher token. `neighbour` is a
/// table of the same schema.
pub(super) async fn hold(session: &mut Session, neighbour: &Relation, fence: &Fence) -> Result<()> {
    let table = beside(neighbour);
    make(session, &table).await?;
    let table = table.as_sql();
    let held = session
        .run(&format!(
            "INSERT INTO {table} AS f (giver, name, token) VALUES ({}, {}, {}) \
             ON CONFLICT (giver, name) DO UPDATE SET token = excluded.token WHERE f.token <= excluded.token",
            sql::text(&fence.giver),
            sql::text(&fence.name),
            fence.token
        ))
        .await?;
    if held == "INSERT 0 1" {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!("another process has taken `{}` over", fence.name),
    )
    .help("nothing was committed: that process goes on with the run")
    .retry(false))
}

fn beside(neighbour: &Relation) -> Relation {
    let schema = match neighbour {
        Relation::Table { schema, .. } => schema.clone(),
        Relation::Query(_) => None,
    };
    Relation::Table {
        schema,
        name: TABLE.to_owned(),
    }
}

/// Makes the table where there is none.
async fn make(session: &mut Session, table: &Relation) -> Result<()> {
    let table = table.as_sql();
    let there = format!("SELECT pg_catalog.to_regclass({})", sql::text(&table));
    if session.value(&there).await?.is_some() {
        return Ok(());
    }
    // Two transactions that create the same table at once do not wait for each other: the second one fails.
    session
        .run("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('lakewright_fences'))")
        .await?;
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (giver text, name text, token bigint NOT NULL, \
         PRIMARY KEY (giver, name))"
    );
    session.run(&create).await.map(drop).map_err(|error| {
        if error.kind() == ErrorKind::PermissionDenied {
            let help = format!("let its owner run this once: `{create}`");
            return error.help(help);
        }
        error
    })
}
