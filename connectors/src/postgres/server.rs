//! A server as a connection knows it: how a session is opened, how many may read, and how a query is cancelled.
//!
//! Knows sessions and transactions; knows nothing of what is read or written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::auth::Login;
use super::sql;
use super::transport::Endpoint;
use super::wire::{Cancellation, Session};
use crate::error::{Error, ErrorKind, Result};

/// How long a request to cancel may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// Requests to cancel at once; further ones are left to the closed socket.
const MAX_CANCELLATIONS: usize = 64;

/// One server, and everything needed to speak to it.
pub(super) struct Server {
    endpoint: Arc<Endpoint>,
    login: Login,
    sessions: usize,
    readers: Arc<Semaphore>,
    cancellations: Mutex<JoinSet<()>>,
}

impl Server {
    /// A server that nobody has spoken to yet. One session of the limit is kept for control: it holds a snapshot, or
    /// stages rows, while others read. With a limit of one there are two.
    pub(super) fn new(endpoint: Endpoint, login: Login, sessions: usize) -> Arc<Self> {
        let readers = sessions.saturating_sub(1).max(1);
        Arc::new(Self {
            endpoint: Arc::new(endpoint),
            login,
            sessions: readers,
            readers: Arc::new(Semaphore::new(readers)),
            cancellations: Mutex::new(JoinSet::new()),
        })
    }

    /// How many sessions may read at once.
    pub(super) const fn readers(&self) -> usize {
        self.sessions
    }

    /// A session for control.
    pub(super) async fn session(&self) -> Result<Session> {
        Session::open(&self.endpoint, &self.login).await
    }

    /// A session that sees what `snapshot` sees, when one is free.
    pub(super) async fn reader(&self, snapshot: &str) -> Result<(Session, OwnedSemaphorePermit)> {
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
        Ok((session, permit))
    }

    /// Asks the server, in the background and within bounds, to stop what a dropped session was doing.
    pub(super) fn cancel(&self, cancellation: Cancellation) {
        // A runtime that is shutting down closes the socket, which stops the server too, only later.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut cancellations = self
            .cancellations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while cancellations.try_join_next().is_some() {}
        if cancellations.len() >= MAX_CANCELLATIONS {
            return;
        }
        let request = async move {
            if let Ok(Err(error)) = tokio::time::timeout(CANCEL_LIMIT, cancellation.request()).await
            {
                tracing::debug!(%error, "a query could not be cancelled");
            }
        };
        cancellations.spawn_on(request, &runtime);
    }
}
