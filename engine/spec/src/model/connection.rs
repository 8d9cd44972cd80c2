//! A connection: one configured instance of a connector.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};
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
    /// How many runs may use it at once.
    pub runs: Option<usize>,
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

impl TimeWindow {
    /// Whether an instant lies in it; its end does not.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        let time = instant.with_timezone(&self.timezone).time();
        if self.from <= self.to {
            self.from <= time && time < self.to
        } else {
            time >= self.from || time < self.to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_may_reach_over_midnight_in_its_own_zone() {
        let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
        let night = TimeWindow {
            from: time(21, 0),
            to: time(5, 30),
            timezone: chrono_tz::Europe::Moscow,
        };
        assert!(night.contains(at("2026-01-01T18:00:00Z")));
        assert!(night.contains(at("2026-01-01T02:29:59Z")));
        assert!(!night.contains(at("2026-01-01T02:30:00Z")));
        assert!(!night.contains(at("2026-01-01T17:59:59Z")));
    }
}
