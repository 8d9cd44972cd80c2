//! Moments in a table's history: a snapshot's number, a time, or a name.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use connectors::{Error, ErrorKind, Result};
use iceberg::spec::TableMetadata;

use super::{listed, of};
use crate::lake::history;
use crate::lake::table::LakeTable;

/// How people say which state of a table they mean. What it means is up to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At(String);

impl FromStr for At {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A state that a table had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The snapshot.
    pub snapshot: i64,
    /// When it was committed.
    pub committed: DateTime<Utc>,
}

impl LakeTable {
    /// The state that `at` means: the snapshot of a tag or branch, the snapshot of this number, or the one that was the
    /// newest at a time. A name wins: tags of ours look like none of the others, and those of other engines were meant.
    pub fn moment(&self, at: &At) -> Result<Moment> {
        let metadata = self.iceberg().metadata();
        let text = at.0.as_str();
        let snapshot = if let Some(named) = of(metadata)?.get(text) {
            named.snapshot_id
        } else if let Ok(id) = text.parse::<i64>() {
            metadata
                .snapshot_by_id(id)
                .map(|_| id)
                .ok_or_else(|| self.unknown(format!("`{}` has no snapshot {id}", self.id())))?
        } else if let Some(time) = time(text) {
            self.newest_at(time)?
        } else {
            return Err(self.no_name(text));
        };
        self.moment_of(snapshot)
    }

    /// The state that the table has now.
    pub fn newest(&self) -> Result<Moment> {
        match self.snapshot_id() {
            Some(snapshot) => self.moment_of(snapshot),
            None => Err(self.unknown(format!("`{}` has no snapshot yet", self.id()))),
        }
    }

    /// The state of a snapshot.
    fn moment_of(&self, snapshot: i64) -> Result<Moment> {
        let found = self.iceberg().metadata().snapshot_by_id(snapshot);
        let committed =
            found.and_then(|found| DateTime::from_timestamp_millis(found.timestamp_ms()));
        committed
            .map(|committed| Moment {
                snapshot,
                committed,
            })
            .ok_or_else(|| self.unknown(format!("`{}` has snapshot {snapshot} no more", self.id())))
    }

    /// The snapshot that `main` was at.
    fn newest_at(&self, time: DateTime<Utc>) -> Result<i64> {
        let log = log(self.iceberg().metadata());
        let wanted = time.timestamp_millis();
        let then = log.iter().rev().find(|(_, since)| *since <= wanted);
        then.map(|(snapshot, _)| *snapshot).ok_or_else(|| {
            let first = log.first().map(|(_, since)| *since);
            match first.and_then(DateTime::from_timestamp_millis) {
                Some(first) => self.unknown(format!(
                    "what is known of `{}` begins later, at {}",
                    self.id(),
                    first.format("%Y-%m-%dT%H:%M:%S%.3fZ")
                )),
                None => self.unknown(format!("`{}` has no snapshot yet", self.id())),
            }
            .with("asked for", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
        })
    }

    fn unknown(&self, message: String) -> Error {
        let help = format!("`lakewright history {}` lists what there is", self.id());
        Error::new(ErrorKind::NotFound, message).help(help)
    }

    fn no_name(&self, text: &str) -> Error {
        let names = self.references().unwrap_or_default().into_iter();
        let message = format!("`{}` has no tag or branch `{text}`", self.id());
        Error::new(ErrorKind::NotFound, message).help(format!(
            "it has {}; a time is written like `2026-01-31T18:00:00Z` or `2026-01-31`",
            listed(names.map(|found| found.name))
        ))
    }
}

/// An instant, or the first of a day in UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Some(day.and_time(NaiveTime::MIN).and_utc());
    }
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    Some(instant.to_utc())
}

/// Which snapshot `main` was at, and since when, the oldest first. Where no log was written, snapshots tell.
fn log(metadata: &TableMetadata) -> Vec<(i64, i64)> {
    let log: Vec<_> = metadata
        .history()
        .iter()
        .map(|entry| (entry.snapshot_id, entry.timestamp_ms()))
        .collect();
    if !log.is_empty() {
        return log;
    }
    let mut lineage: Vec<_> = history::lineage(metadata)
        .map(|snapshot| (snapshot.snapshot_id(), snapshot.timestamp_ms()))
        .collect();
    lineage.reverse();
    lineage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_zone_and_days_begin_in_utc() {
        let shown = |text| time(text).map(|time| time.to_rfc3339());
        assert_eq!(
            shown("2026-01-31").as_deref(),
            Some("2026-01-31T00:00:00+00:00")
        );
        assert_eq!(
            shown("2026-01-31T02:00:00.5+03:00").as_deref(),
            Some("2026-01-30T23:00:00.500+00:00")
        );
        assert_eq!(shown("2026-01-31T02:00:00"), None);
        assert_eq!(shown("before"), None);
    }
}
