//! The engine that runs: plan → rows → staged files → commit → state.
//!
//! Knows the clock, secrets, connectors, DataFusion and the lake. Never sees YAML: it gets a checked `Project`.

mod abandon;
mod ask;
mod clock;
mod connections;
pub mod daemon;
mod engine;
mod execute;
mod facts;
pub mod failpoint;
mod findings;
pub mod history;
pub mod lake;
mod last_read;
mod maintain;
mod open;
mod progress;
mod project;
mod query;
mod recorder;
mod report;
mod runner;
pub mod scheduler;
mod schedules;
mod scratch;
mod secret;
mod sqlite_file;
pub mod state;
mod tls;
mod watermark;

pub use abandon::{AbandonedRun, AbandonedTable, NextRun};
pub use clock::{Clock, FixedClock, SystemClock};
pub use connectors::{BatchStream, Error, ErrorKind, Result};
pub use engine::{Engine, Finding, LEASE, LoadReport, RunReport, Settings};
pub use findings::findings;
pub use maintain::{Chore, Compacted, Done};
pub use progress::{Progress, ProgressEvent, Silent};
pub use project::{Loaded, Registry, load_project};
pub use query::LEAST_MEMORY_BYTES;
pub use runner::Decided;
pub use schedules::{ScheduleDecision, ScheduleStanding};
pub use tls::install_tls;
