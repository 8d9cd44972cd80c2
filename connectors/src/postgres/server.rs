//! A server as a connection knows it: how a session is opened, and how many may read.
//!
//! Knows sessions and transactions; knows nothing of what is read or written.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::auth::Login;
use super::failure::is_full;
use super::sql;
use super::transport::Endpoint;
use super::wire::Session;
use crate::background::Cancellations;
use crate::error::{Error, ErrorKind, Result};

/// What is waited before a server that has no session free is asked again, each time it is: one that was just closed
/// counts there for a moment.
const FULL_PAUSES: [Duration; 6] = [
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
];

/// The savepoint behind which a holder of a snapshot reads.
const SNAPSHOT: &str = "lakewright_snapshot";

/// One server, and everything needed to speak to it.
pub(super) struct Server {
    endpoint: Arc<Endpoint>,
    login: Login,
    sessions: usize,
    readers: Arc<Semaphore>,
    cancellations: Arc<Cancellations>,
}

impl Server {
    /// A server that nobody has spoken to yet. One session of the limit holds a snapshot, and reads as well; the others
    /// only read.
    pub(super) fn new(endpoint: Endpoint, login: Login, sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            endpoint: Arc::new(endpoint),
            login,
            sessions: sessions.max(1),
            readers: Arc::new(Semaphore::new(sessions.saturating_sub(1))),
            cancellations: Arc::default(),
        })
    }

    /// How many sessions may read at once.
    pub(super) const fn sessions(&self) -> usize {
        self.sessions
    }

    /// A session for control.
    pub(super) async fn session(&self) -> Result<Session> {
        let mut pauses = FULL_PAUSES.iter();
        loop {
            match Session::open(&self.endpoint, &self.login, &self.cancellations).await {
                Err(error) if is_full(&error) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(error),
                },
                done => return done,
            }
        }
    }

    /// A session that sees what `snapshot` sees, when one is free: the one that holds it, or another.
    pub(super) async fn reader(
        &self,
        snapshot: &str,
        holder: &Arc<Mutex<Session>>,
    ) -> Result<Reader> {
        let holder = Arc::clone(holder);
        let free = match self.sessions {
            1 => Some(holder.lock_owned().await),
            _ => holder.try_lock_owned().ok(),
        };
        if let Some(mut holder) = free {
            // Whoever read before may have left off in the middle, or in an error.
            holder.settle().await?;
            holder
                .run(&format!("ROLLBACK TO SAVEPOINT {SNAPSHOT}"))
                .await?;
            return Ok(Reader::Holder(holder));
        }
        let permit = Arc::clone(&self.readers)
            .acquire_owned()
            .await
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the connection is closed").caused_by(error)
            })?;
        let mut session = self.session().await?;
        session
            .run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        session
            .run(&format!("SET TRANSACTION SNAPSHOT {}", sql::text(snapshot)))
            .await
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the snapshot of this read is gone")
                    .with("snapshot", snapshot)
                    .help("the session that held it has ended; the read must begin again")
                    .caused_by(error)
            })?;
        Ok(Reader::Other {
            session: Box::new(session),
            _permit: permit,
        })
    }

    /// A session in a transaction, and the name of the snapshot that it holds.
    pub(super) async fn holder(&self) -> Result<(Session, String)> {
        let mut holder = self.session().await?;
        holder
            .run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        holder
            .run("SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
        let snapshot = holder
            .value("SELECT pg_catalog.pg_export_snapshot()")
            .await?
            .unwrap_or_default();
        // A read that fails takes its own part of the transaction with it, and not the snapshot.
        holder.run(&format!("SAVEPOINT {SNAPSHOT}")).await?;
        Ok((holder, snapshot))
    }
}

/// A session that reads one split.
pub(super) enum Reader {
    /// The one that holds the snapshot.
    Holder(OwnedMutexGuard<Session>),
    /// Another, and its part of the limit.
    Other {
        session: Box<Session>,
        _permit: OwnedSemaphorePermit,
    },
}

impl Deref for Reader {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self {
            Self::Holder(session) => session,
            Self::Other { session, .. } => session,
        }
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Session {
        match self {
            Self::Holder(session) => session,
            Self::Other { session, .. } => session,
        }
    }
}
