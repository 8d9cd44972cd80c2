//! Asking a server to stop what a session that was dropped had it do.
//!
//! Knows the request; knows nothing of what is stopped. Without it a server works on for nobody, until it
//! has something to send and finds the socket closed.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::failure::lost;
use super::transport::Endpoint;
use crate::error::Result;

/// What it takes to cancel a query of another session.
pub(super) struct Cancellation {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) process: i32,
    pub(super) secret: i32,
}

impl Cancellation {
    /// Asks the server to stop the query. Best effort: the server never says whether it did.
    pub(super) async fn request(self) -> Result<()> {
        let mut transport = self.endpoint.connect().await?;
        let mut output = BytesMut::new();
        frontend::cancel_request(self.process, self.secret, &mut output);
        transport.write(&output).await.map_err(lost)?;
        // The server closes when it has passed the request on.
        transport.read(&mut [0]).await.map_err(lost)?;
        Ok(())
    }
}
