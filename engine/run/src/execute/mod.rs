//! Plan → staged rows → commits.
//!
//! Everything is staged first and checked; only then is anything committed: the lake's tables in one step where the
//! catalog can, and after their audit where there is one; everything else one target after the other. Dropping an execution before that leaves nothing that
//! anybody can see.

mod audit;
mod check;
mod commit;
mod executor;
mod known;
mod load;
mod merge;
mod publish;
mod quarantine;
mod rows;

pub(crate) use commit::{Committed, committed_before, hold_off};
pub(crate) use executor::{Executor, cancelled};
pub(crate) use load::{idle, reactions};
pub(crate) use merge::written;
