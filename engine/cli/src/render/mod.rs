//! What things look like on a screen. Knows values; knows nothing of commands and prints nothing itself.

pub(crate) mod abandoned;
pub(crate) mod amount;
pub(crate) mod diff;
pub(crate) mod dot;
pub(crate) mod error;
pub(crate) mod history;
pub(crate) mod maintain;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod rollback;
pub(crate) mod rows;
pub(crate) mod runs;
pub(crate) mod schedules;
pub(crate) mod style;
pub(crate) mod table;
