//! Asking a server to stop what a session that was dropped had it do.
//!
//! Knows the request and its bounds; knows nothing of what is stopped. Without it a server works on for nobody, until it
//! has something to send and finds the socket closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::failure::lost;
use super::transport::Endpoint;
use crate::error::Result;

/// How long a request to cancel may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// Requests to cancel at once; further ones are left to the closed socket.
const MAX_CANCELLATIONS: usize = 64;

/// What it takes to cancel a query of another session.
pub(super) struct Cancellation {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) process: i32,
    pub(super) secret: i32,
}

impl Cancellation {
    /// Asks the server to stop the query. Best effort: the server never says whether it did.
    async fn request(self) -> Result<()> {
        let mut transport = self.endpoint.connect().await?;
        let mut output = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut output);
        transport.write(&output).await.map_err(lost)?;
        // The server closes when it has passed the request on.
        transport.read(&mut [0]).await.map_err(lost)?;
        Ok(())
    }
}

/// The requests to a server that are under way.
#[derive(Default)]
pub(super) struct Cancellations {
    under_way: Mutex<JoinSet<()>>,
}

impl Cancellations {
    /// Waits for the requests that are under way.
    pub(super) async fn settle(&self) {
        let mut under_way = std::mem::take(
            &mut *self
                .under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        while under_way.join_next().await.is_some() {}
    }

    /// Asks the server, in the background and within bounds, to stop what a dropped session was doing.
    pub(super) fn request(&self, cancellation: Cancellation) {
        // A runtime that is shutting down closes the socket, which stops the server too, only later.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= MAX_CANCELLATIONS {
            return;
        }
        let request = async move {
            if let Ok(Err(error)) = tokio::time::timeout(CANCEL_LIMIT, cancellation.request()).await
            {
                tracing::debug!(%error, "a query could not be cancelled");
            }
        };
        under_way.spawn_on(request, &runtime);
    }
}
