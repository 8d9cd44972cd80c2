//! Rights in a `PostgreSQL` database. The clock is that of its server.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use connectors::{Fence, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgExecutor, PgPool};

use super::{Holding, Lease, ShareRow, Take, full};
use crate::scheduler::{Share, Taken};
use crate::state::{alive, fault};

/// The number of a right, and whether its time is not over.
pub(in crate::state) const STANDS: &str =
    "SELECT token, coalesce(until > clock_timestamp(), false) FROM lease WHERE name = $1";

const ADD: &str = "INSERT INTO lease (name, token) VALUES ($1, 0) ON CONFLICT DO NOTHING";

/// The same, while nobody else can take it. Waits for what is being written under it.
const STANDS_STILL: &str = "SELECT token, coalesce(until > clock_timestamp(), false)
    FROM lease WHERE name = $1 FOR UPDATE";

/// Gives a right. Its number goes on growing where the table was made anew: it is never below the time.
const GIVE: &str = "UPDATE lease SET until = clock_timestamp() + make_interval(secs => $2),
        token = greatest(token + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    WHERE name = $1 RETURNING token, (SELECT id FROM store)";

const RENEW: &str = "UPDATE lease SET until = clock_timestamp() + make_interval(secs => $3)
    WHERE name = $1 AND token = $2";

const GIVE_BACK: &str = "UPDATE lease SET until = NULL WHERE name = $1 AND token = $2";

/// The shares of leases whose time is not over.
const SHARES: &str = "SELECT share.resource, share.name, share.token FROM share
    JOIN lease ON lease.name = share.name AND lease.token = share.token
    WHERE lease.until > clock_timestamp()";

/// Two that count at once would both find the last place free.
const COUNT_ALONE: &str = "SELECT pg_advisory_xact_lock(hashtext('lakewright shares'))";

const SHARE: &str = "INSERT INTO share (resource, name, token) VALUES ($1, $2, $3)";

const NO_SHARES: &str = "DELETE FROM share WHERE name = $1";

/// Takes a right for a time, with shares of what is for all.
pub(in crate::state) async fn take(
    options: &PgConnectOptions,
    name: &str,
    shares: &[Share],
    time: Duration,
) -> Result<Take> {
    let mut session = connect(options).await?;
    let mut transaction = session.begin().await.map_err(fault::of)?;
    let add = sqlx::query(ADD).bind(name);
    add.execute(&mut *transaction).await.map_err(fault::of)?;
    let (token, holds): (i64, bool) = sqlx::query_as(STANDS_STILL)
        .bind(name)
        .fetch_one(&mut *transaction)
        .await
        .map_err(fault::of)?;
    let of = |token| Fence {
        giver: String::new(),
        name: name.to_owned(),
        token,
    };
    if holds && lives(&mut *transaction, &of(token)).await? {
        return Ok(Take::Running);
    }
    if shares.iter().any(|share| share.most.is_some()) {
        let alone = sqlx::query(COUNT_ALONE);
        alone.execute(&mut *transaction).await.map_err(fault::of)?;
        let rows = living(&mut transaction).await?;
        if let Some(share) = full(name, shares, &rows) {
            return Ok(Take::Full(share.clone()));
        }
    }
    let (token, giver): (i64, String) = sqlx::query_as(GIVE)
        .bind(name)
        .bind(time.as_secs_f64())
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
    alive::in_session(&mut transaction, &fence).await?;
    transaction.commit().await.map_err(fault::of)?;
    let holding = InSession {
        options: options.clone(),
        session: Some(session),
        time,
    };
    let lease = Lease::kept(fence, Box::new(holding), None, time);
    Ok(Take::Got(lease))
}

/// The shares of processes that live, as far as the server knows.
async fn living(session: &mut PgConnection) -> Result<Vec<ShareRow>> {
    let rows: Vec<ShareRow> = sqlx::query_as(SHARES)
        .fetch_all(&mut *session)
        .await
        .map_err(fault::of)?;
    if rows.is_empty() {
        return Ok(rows);
    }
    let alive: Vec<i64> = sqlx::query_scalar(alive::HELD)
        .fetch_all(session)
        .await
        .map_err(fault::of)?;
    let alive: BTreeSet<i64> = alive.into_iter().collect();
    let lives = |(_, name, token): &ShareRow| {
        let fence = Fence {
            giver: String::new(),
            name: name.clone(),
            token: *token,
        };
        alive.contains(&alive::key(&fence))
    };
    Ok(rows.into_iter().filter(lives).collect())
}

/// Who has shares of what.
pub(in crate::state) async fn taken(pool: &PgPool) -> Result<Taken> {
    let mut session = pool.acquire().await.map_err(fault::of)?;
    Ok(super::taken(living(&mut session).await?))
}

/// Whether the process lives that was given this, as far as the server knows.
pub(in crate::state) async fn lives(on: impl PgExecutor<'_>, fence: &Fence) -> Result<bool> {
    sqlx::query_scalar(alive::IS_HELD)
        .bind(alive::key(fence))
        .fetch_one(on)
        .await
        .map_err(fault::of)
}

/// Holds a right for another while; false where somebody else has it.
pub(in crate::state) async fn renew(
    on: impl PgExecutor<'_>,
    fence: &Fence,
    time: Duration,
) -> Result<bool> {
    let renew = sqlx::query(RENEW)
        .bind(&fence.name)
        .bind(fence.token)
        .bind(time.as_secs_f64());
    let renewed = renew.execute(on).await.map_err(fault::of)?;
    Ok(renewed.rows_affected() == 1)
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    PgConnection::connect_with(options).await.map_err(fault::of)
}

struct InSession {
    options: PgConnectOptions,
    /// What others see of this process; `None` where it has broken.
    session: Option<PgConnection>,
    time: Duration,
}

#[async_trait]
impl Holding for InSession {
    async fn renew(&mut self, fence: &Fence) -> Result<bool> {
        // One that was left in the middle of a question is of no more use.
        let mut session = if let Some(session) = self.session.take() {
            session
        } else {
            let mut session = connect(&self.options).await?;
            alive::in_session(&mut session, fence).await?;
            session
        };
        let renewed = renew(&mut session, fence, self.time).await?;
        self.session = Some(session);
        Ok(renewed)
    }

    async fn give_back(self: Box<Self>, fence: &Fence) -> Result<()> {
        let mut session = match self.session {
            Some(session) => session,
            None => connect(&self.options).await?,
        };
        let give = sqlx::query(GIVE_BACK).bind(&fence.name).bind(fence.token);
        give.execute(&mut session).await.map_err(fault::of)?;
        session.close().await.map_err(fault::of)
    }
}
