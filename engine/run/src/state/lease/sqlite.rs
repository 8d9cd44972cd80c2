//! Rights in an `SQLite` file. The clock is that of the machine, which all who use the file are on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use connectors::{Fence, Result};
use sqlx::{SqliteConnection, SqlitePool};

use super::{Holding, Lease, ShareRow, Take, full};
use crate::scheduler::{Share, Taken};
use crate::state::{alive, fault};

/// The number of a right, and whether its time is not over.
pub(in crate::state) const STANDS: &str =
    "SELECT token, coalesce(until > CAST(unixepoch('subsec') * 1000 AS INTEGER), 0)
    FROM lease WHERE name = ?1";

/// Gives a right. Its number goes on growing where the file was made anew: it is never below the time.
const GIVE: &str = "INSERT INTO lease (name, token, until)
    VALUES (?1, CAST(unixepoch('subsec') * 1000 AS INTEGER),
        CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?2)
    ON CONFLICT (name) DO UPDATE
        SET token = max(lease.token + 1, excluded.token), until = excluded.until
    RETURNING token, (SELECT id FROM store)";

const RENEW: &str = "UPDATE lease SET until = CAST(unixepoch('subsec') * 1000 AS INTEGER) + ?3
    WHERE name = ?1 AND token = ?2";

const GIVE_BACK: &str = "UPDATE lease SET until = NULL WHERE name = ?1 AND token = ?2";

/// The shares of leases whose time is not over.
pub(in crate::state) const SHARES: &str =
    "SELECT share.resource, share.name, share.token FROM share
    JOIN lease ON lease.name = share.name AND lease.token = share.token
    WHERE lease.until > CAST(unixepoch('subsec') * 1000 AS INTEGER)";

const SHARE: &str = "INSERT INTO share (resource, name, token) VALUES (?1, ?2, ?3)";

const NO_SHARES: &str = "DELETE FROM share WHERE name = ?1";

/// Takes a right for a time, with shares of what is for all.
pub(in crate::state) async fn take(
    pool: &SqlitePool,
    state: &Path,
    name: &str,
    shares: &[Share],
    time: Duration,
) -> Result<Take> {
    let mut transaction = pool
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(fault::of)?;
    let before: Option<(i64, bool)> = sqlx::query_as(STANDS)
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(fault::of)?;
    let of = |token| Fence {
        giver: String::new(),
        name: name.to_owned(),
        token,
    };
    if let Some((token, true)) = before
        && alive::is_in_folder(state, &of(token))?
    {
        return Ok(Take::Running);
    }
    if shares.iter().any(|share| share.most.is_some()) {
        let rows = living(&mut transaction, state).await?;
        if let Some(share) = full(name, shares, &rows) {
            return Ok(Take::Full(share.clone()));
        }
    }
    let (token, giver): (i64, String) = sqlx::query_as(GIVE)
        .bind(name)
        .bind(millis(time))
        .fetch_one(&mut *transaction)
        .await
        .map_err(fault::of)?;
    let fence = Fence { giver, ..of(token) };
    let forget = sqlx::query(NO_SHARES).bind(name);
    forget.execute(&mut *transaction).await.map_err(fault::of)?;
    for share in shares {
        let add = sqlx::query(SHARE)
            .bind(share.of.to_string())
            .bind(name)
            .bind(token);
        add.execute(&mut *transaction).await.map_err(fault::of)?;
    }
    let sign = alive::in_folder(state, &fence)?;
    transaction.commit().await.map_err(fault::of)?;
    if let Some((token, _)) = before {
        alive::remove_from_folder(state, &of(token));
    }
    let holding = InFile {
        pool: pool.clone(),
        state: state.to_owned(),
        time,
    };
    let lease = Lease::kept(fence, Box::new(holding), Some(sign), time);
    Ok(Take::Got(lease))
}

/// The shares of processes that live.
async fn living(on: &mut SqliteConnection, state: &Path) -> Result<Vec<ShareRow>> {
    let rows = sqlx::query_as(SHARES).fetch_all(on).await;
    only_living(state, rows.map_err(fault::of)?)
}

fn only_living(state: &Path, rows: Vec<ShareRow>) -> Result<Vec<ShareRow>> {
    let mut all = Vec::with_capacity(rows.len());
    for (resource, name, token) in rows {
        let fence = Fence {
            giver: String::new(),
            name,
            token,
        };
        if alive::is_in_folder(state, &fence)? {
            all.push((resource, fence.name, token));
        }
    }
    Ok(all)
}

/// Who has shares of what, of these rows of [`SHARES`].
pub(in crate::state) fn taken(state: &Path, rows: Vec<ShareRow>) -> Result<Taken> {
    Ok(super::taken(only_living(state, rows)?))
}

/// Holds a right for another while; false where somebody else has it.
pub(in crate::state) async fn renew(
    pool: &SqlitePool,
    fence: &Fence,
    time: Duration,
) -> Result<bool> {
    let renew = sqlx::query(RENEW)
        .bind(&fence.name)
        .bind(fence.token)
        .bind(millis(time));
    let renewed = renew.execute(pool).await.map_err(fault::of)?;
    Ok(renewed.rows_affected() == 1)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

struct InFile {
    pool: SqlitePool,
    state: PathBuf,
    time: Duration,
}

#[async_trait]
impl Holding for InFile {
    async fn renew(&mut self, fence: &Fence) -> Result<bool> {
        renew(&self.pool, fence, self.time).await
    }

    async fn give_back(self: Box<Self>, fence: &Fence) -> Result<()> {
        let give = sqlx::query(GIVE_BACK).bind(&fence.name).bind(fence.token);
        give.execute(&self.pool).await.map_err(fault::of)?;
        alive::remove_from_folder(&self.state, fence);
        Ok(())
    }
}
