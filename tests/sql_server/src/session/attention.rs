//! Whether the client wants its request given up.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Set by the reader of the connection, seen by the session.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    asked: AtomicBool,
    notify: Notify,
}

impl Attention {
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns when it is asked, or has been.
    pub(crate) async fn asked(&self) {
        while !self.is_asked() {
            self.notify.notified().await;
        }
    }

    pub(crate) fn answered(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }
}
