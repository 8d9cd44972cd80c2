//! A server as a connection knows it: how a session is opened, and how many may read.
//!
//! Knows sessions and transactions; knows nothing of what is read or written.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth::Login;
use super::cancel::Cancellations;
use super::sql;
use super::transport::Endpoint;
use super::wire::Session;
use crate::error::{Error, ErrorKind, Result};

/// One server, and everything needed to speak to it.
pub(super) struct Server {
    endpoint: Arc<Endpoint>,
    login: Login,
    sessions: usize,
    readers: Arc<Semaphore>,
    cancellations: Arc<Cancellations>,
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
            cancellations: Arc::default(),
        })
    }

    /// How many sessions may read at once.
    pub(super) const fn readers(&self) -> usize {
        self.sessions
    }

    /// A session for control.
    pub(super) async fn session(&self) -> Result<Session> {
        Session::open(&self.endpoint, &self.login, &self.cancellations).await
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
}
