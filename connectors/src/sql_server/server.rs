//! A server as a connection knows it: how a session is opened, and how many there may be.
//!
//! Knows nothing of what is read.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::{Login, Session};
use crate::background::Cancellations;
use crate::error::Result;

/// One server, and everything needed to speak to it.
pub(super) struct Server {
    login: Login,
    sessions: usize,
    others: Arc<Semaphore>,
    cancellations: Arc<Cancellations>,
}

impl Server {
    /// A server that nobody has spoken to yet. Every read has one session of the limit; the others are lent to whoever
    /// begins to read while they are free.
    pub(super) fn new(login: Login, sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            login,
            sessions: sessions.max(1),
            others: Arc::new(Semaphore::new(sessions.saturating_sub(1))),
            cancellations: Arc::default(),
        })
    }

    /// How many sessions there may be at once.
    pub(super) const fn sessions(&self) -> usize {
        self.sessions
    }

    /// A session of its own.
    pub(super) async fn session(&self) -> Result<Session> {
        // What was told to stop is gone before something new comes.
        self.cancellations.settle().await;
        Session::open(&self.login, &self.cancellations).await
    }

    /// The right to one more session, where one is free.
    pub(super) fn another(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.others).try_acquire_owned().ok()
    }
}
