//! One moment for a read by several sessions.
//!
//! SQL Server hands no snapshot from one session to another. Sessions that begin to read one after the other see the
//! database at versions that differ by what was committed in between, and change tracking knows which keys that was: the
//! rows of those keys are left out of every split, and read once, by the session that began last. Where nothing tracks the
//! changes, one session reads everything.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::catalog::{Column, Readers};
use super::kind::AllowLossy;
use super::server::Server;
use super::session::Session;
use super::sql::{self, Relation};
use super::values;
use crate::error::{Error, ErrorKind, Result};
use crate::value::Literal;

/// More keys than this are not worth naming in every statement.
const MOST_MOVED: usize = 500;

/// What keeps the rows of a read of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// A transaction that sees one moment.
    Snapshot,
    /// A statement that sees one moment, under `READ_COMMITTED_SNAPSHOT`: there is no second one.
    Statement,
    /// Nothing: rows that move while they are read may be met twice or not at all.
    Nothing,
}

impl Guard {
    /// What this database has, or the error that says how it could have it.
    pub(super) fn of(readers: Readers, unguarded: bool) -> Result<Self> {
        match readers {
            Readers { snapshot: true, .. } => Ok(Self::Snapshot),
            Readers {
                statement: true, ..
            } => Ok(Self::Statement),
            _ if unguarded => Ok(Self::Nothing),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                "the database cannot be read as of one moment",
            )
            .help(
                "let it: `ALTER DATABASE … SET ALLOW_SNAPSHOT_ISOLATION ON`; or accept that rows which change while they \
                 are read may be missed or doubled, with `isolation: read_committed`",
            )),
        }
    }

    /// Begins the moment in a session.
    pub(super) async fn begin(self, session: &mut Session, relation: &Relation) -> Result<()> {
        match self {
            Self::Snapshot => {
                // A statement that is stopped must not take the moment with it.
                session
                    .run("SET XACT_ABORT OFF; SET TRANSACTION ISOLATION LEVEL SNAPSHOT")
                    .await?;
                session.run("BEGIN TRANSACTION").await?;
                // The moment is the one of the first look at the data.
                match relation {
                    Relation::Table(_) => session.value(first_row(relation)).await.map(drop),
                    Relation::Query(_) => Ok(()),
                }
            }
            Self::Statement | Self::Nothing => Ok(()),
        }
    }
}

/// The sessions of one read.
pub(super) struct Moment {
    guard: Guard,
    sessions: Vec<Arc<Mutex<Session>>>,
    free: Arc<Semaphore>,
    /// The session that began last.
    newest: usize,
    /// The condition of the rows that changed meanwhile; `None` where there are none.
    moved: Option<String>,
    /// The version that is read, where changes are tracked and several sessions read it.
    version: Option<i64>,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Moment {
    /// One session reads everything.
    pub(super) fn of_one(guard: Guard, session: Session) -> Self {
        Self {
            guard,
            sessions: vec![Arc::new(Mutex::new(session))],
            free: Arc::new(Semaphore::new(1)),
            newest: 0,
            moved: None,
            version: None,
            _permits: Vec::new(),
        }
    }

    /// As many sessions as are free and wanted read a table whose changes are tracked. `first` has begun.
    pub(super) async fn of_many(
        server: &Server,
        mut first: Session,
        table: &Tracked<'_>,
        wanted: usize,
    ) -> Result<Self> {
        let since = version(&mut first).await?;
        let (mut permits, mut others) = (Vec::new(), Vec::new());
        while others.len() + 1 < wanted
            && let Some(permit) = server.another()
        {
            let mut session = server.session().await?;
            Guard::Snapshot.begin(&mut session, table.table).await?;
            let version = version(&mut session).await?;
            others.push((version, session));
            permits.push(permit);
        }
        let Some(newest) = others.iter().map(|(version, _)| *version).max() else {
            return Ok(Self::of_one(Guard::Snapshot, first));
        };
        let position = others.iter().position(|(version, _)| *version == newest);
        let moved = match others.iter_mut().find(|(version, _)| *version == newest) {
            Some((_, session)) if newest > since => moved(session, table, since).await?,
            _ => Some(Vec::new()),
        };
        let Some(moved) = moved else {
            tracing::debug!(
                "too much changed while the sessions of a read began: one of them reads"
            );
            return Ok(Self::of_one(Guard::Snapshot, first));
        };
        let sessions = std::iter::once(first).chain(others.into_iter().map(|(_, session)| session));
        let sessions: Vec<_> = sessions
            .map(|session| Arc::new(Mutex::new(session)))
            .collect();
        Ok(Self {
            guard: Guard::Snapshot,
            free: Arc::new(Semaphore::new(sessions.len())),
            sessions,
            newest: position.map_or(0, |position| position + 1),
            moved: (!moved.is_empty()).then(|| format!("({})", moved.join(" OR "))),
            version: Some(newest),
            _permits: permits,
        })
    }

    /// The condition of the rows that changed while the sessions began; `None` where there are none.
    pub(super) fn moved(&self) -> Option<&str> {
        self.moved.as_deref()
    }

    /// What the read is of, for `plan`.
    pub(super) fn describe(&self) -> String {
        match (self.guard, self.version) {
            (_, Some(version)) => format!(
                "one version ({version}) by {} sessions",
                self.sessions.len()
            ),
            (Guard::Snapshot, None) => "one snapshot".to_owned(),
            (Guard::Statement, None) => "one statement of one moment".to_owned(),
            (Guard::Nothing, None) => {
                "of no one moment: rows that change meanwhile may be missed or doubled".to_owned()
            }
        }
    }

    /// A session that sees the moment; the one that began last where `newest` is asked for.
    pub(super) async fn session(&self, newest: bool) -> Result<Lent> {
        let permit = Arc::clone(&self.free)
            .acquire_owned()
            .await
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the read has ended").caused_by(error)
            })?;
        let mut session = if newest {
            match self.sessions.get(self.newest) {
                Some(session) => Arc::clone(session).lock_owned().await,
                None => return Err(Error::new(ErrorKind::Internal, "a read without a session")),
            }
        } else {
            self.any().await
        };
        // Whoever read before may have left off in the middle.
        session.settle().await?;
        if self.guard == Guard::Snapshot && !session.in_transaction()? {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the snapshot of this read is gone: the read must begin again",
            ));
        }
        Ok(Lent {
            session,
            _permit: permit,
        })
    }

    /// There are as many permits as sessions, so that one is free for whoever holds one.
    async fn any(&self) -> OwnedMutexGuard<Session> {
        loop {
            let mut sessions = self.sessions.iter();
            if let Some(free) = sessions.find_map(|one| Arc::clone(one).try_lock_owned().ok()) {
                return free;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A session that reads one split.
pub(super) struct Lent {
    session: OwnedMutexGuard<Session>,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Lent {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// A table whose changes are tracked.
pub(super) struct Tracked<'a> {
    pub(super) table: &'a Relation,
    /// The columns of its primary key.
    pub(super) key: Vec<&'a Column>,
}

/// The version that a session sees, which has begun.
async fn version(session: &mut Session) -> Result<i64> {
    let version = session
        .value("SELECT CHANGE_TRACKING_CURRENT_VERSION()")
        .await?;
    version
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| super::failure::protocol("the version of change tracking"))
}

fn first_row(relation: &Relation) -> String {
    format!("SELECT TOP (1) 1 FROM {}", relation.as_sql())
}

/// The oldest version after which all changes are kept; `None` where none are.
pub(super) async fn kept_from(session: &mut Session, table: &Relation) -> Result<Option<i64>> {
    let version = session
        .value(format!(
            "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID({}))",
            sql::text(&table.as_sql())
        ))
        .await?;
    Ok(version.and_then(|version| version.parse().ok()))
}

/// A condition for each row that changed after a version; `None` where they are too many, are not all kept, or have no
/// literals.
async fn moved(
    session: &mut Session,
    table: &Tracked<'_>,
    since: i64,
) -> Result<Option<Vec<String>>> {
    let kept = kept_from(session, table.table).await?;
    if kept.is_none_or(|kept| kept > since) {
        return Ok(None);
    }
    let names = table.key.iter().map(|column| {
        let name = sql::identifier(&column.name);
        format!("c.{name}")
    });
    let select = format!(
        "SELECT TOP ({}) {} FROM CHANGETABLE(CHANGES {}, {since}) AS c",
        MOST_MOVED + 1,
        names.collect::<Vec<_>>().join(", "),
        table.table.as_sql()
    );
    let all = AllowLossy::default();
    let Some(keys) = values::read(session, select, &table.key, &all).await? else {
        return Ok(Some(Vec::new()));
    };
    if keys.num_rows() > MOST_MOVED {
        return Ok(None);
    }
    let mut conditions = Vec::with_capacity(keys.num_rows());
    for row in 0..keys.num_rows() {
        let mut parts = Vec::with_capacity(table.key.len());
        for (column, array) in table.key.iter().zip(keys.columns()) {
            let literal: Option<Literal> = values::literal(array, row);
            let Some(literal) = literal.and_then(|value| sql::literal(&value, &column.kind)) else {
                return Ok(None);
            };
            parts.push(format!("{} = {literal}", sql::identifier(&column.name)));
        }
        conditions.push(format!("({})", parts.join(" AND ")));
    }
    Ok(Some(conditions))
}
