//! When pipelines run by themselves: what is decided, and the pure function that decides it.
//!
//! Nothing runs because a clock says so. The clock leads to a [`Decision`], which is written down under a key that lets
//! it be taken once, however many daemons decide; what runs is what was written down. Knows nothing of databases, tasks
//! and how a run is carried out.

mod decision;
mod due;
mod turn;

pub use decision::{Decision, Known, Last, NoVerdict, Published, Schedules, Verdict};
pub use due::{dropped, due, next_due, next_from};
pub use turn::{Share, Shared, Taken, Turn, shares, turns};
