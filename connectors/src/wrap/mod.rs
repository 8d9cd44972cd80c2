//! Wrappers around a connection: what every system needs and no connector contains.
//!
//! Each is a connection around a connection, so that they can be put around each other in any order. They know the
//! contract; they know nothing of any system.

mod fault;
mod limit;
mod timeout;
mod trace;

pub use fault::{Action, Fault, Point, Script, fault};
pub use limit::limit;
pub use timeout::timeout;
pub use trace::trace;

use crate::contract::{Connection, Sink, Source};
use crate::error::{Error, ErrorKind, Result};

/// The reading side of the wrapped connection. A wrapper shows a side only where there is one.
fn source_of(inner: &dyn Connection) -> Result<&dyn Source> {
    inner
        .source()
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, "this connection cannot be read"))
}

/// The writing side of the wrapped connection.
fn sink_of(inner: &dyn Connection) -> Result<&dyn Sink> {
    inner.sink().ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            "this connection cannot be written to",
        )
    })
}
