//! A connection: one configured instance of a connector.

use std::time::Duration;

use chrono::NaiveTime;
use chrono_tz::Tz;

use super::ConnectionName;

/// One configured instance of a connector. Its options were checked against the connector.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Its name.
    pub name: ConnectionName,
    /// The kind of system.
    pub connector: String,
    /// What it is.
    pub description: Option<String>,
    /// `options:` as written, secrets as references.
    pub options: serde_json::Value,
    /// What protects the other side.
    pub limits: Limits,
}

/// What protects the other side.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Limits {
    /// The most sessions at once.
    pub sessions: Option<usize>,
    /// The most time a statement may take.
    pub statement_timeout: Option<Duration>,
    /// The only hours at which it may be used.
    pub window: Option<TimeWindow>,
}

/// Hours of the day; `from` after `to` reaches over midnight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeWindow {
    /// When it opens.
    pub from: NaiveTime,
    /// When it closes.
    pub to: NaiveTime,
    /// Whose hours.
    pub timezone: Tz,
}
