//! The suite every connector passes.
//!
//! Tests call it with a connection of any system and the rows that are known to be there; it knows the contract and
//! nothing of any system. The first promise that is broken comes back as an error of kind
//! [`ErrorKind::CheckFailed`] that says which.

mod memory;
mod rows;
mod sink;
mod source;

pub use rows::Rows;
pub use sink::{SinkCase, sink};
pub use source::{SourceCase, WindowCase, source};

use crate::error::{Error, ErrorKind, Result};

/// A promise of the contract: kept, or the error that says what was seen instead.
fn promise(kept: bool, promise: &'static str, seen: impl FnOnce() -> String) -> Result<()> {
    if kept {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::CheckFailed,
        format!("the contract is broken: {promise}"),
    )
    .with("seen", seen()))
}
