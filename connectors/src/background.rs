//! Asking servers to stop what a session that was dropped had them do, in the background and within bounds.
//!
//! Knows tasks and time; each connector knows the request. A runtime that is shutting down makes none: its sockets are
//! closed, which stops the servers too, only later.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::error::Result;

/// How long a request to cancel may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);
/// Requests to cancel at once; further ones are left to the closed socket.
const MAX_CANCELLATIONS: usize = 64;

/// The requests of a connection that are under way.
#[derive(Default)]
pub(crate) struct Cancellations {
    under_way: Mutex<JoinSet<()>>,
}

impl Cancellations {
    /// Waits for the requests that are under way.
    pub(crate) async fn settle(&self) {
        let mut under_way = std::mem::take(
            &mut *self
                .under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        while under_way.join_next().await.is_some() {}
    }

    /// Makes a request; best effort, as there is nobody left to tell.
    pub(crate) fn request(&self, request: impl Future<Output = Result<()>> + Send + 'static) {
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
            if let Ok(Err(error)) = tokio::time::timeout(CANCEL_LIMIT, request).await {
                tracing::debug!(%error, "a query could not be cancelled");
            }
        };
        under_way.spawn_on(request, &runtime);
    }
}
