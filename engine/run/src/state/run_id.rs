//! The name of one run.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Timestamp, Uuid};

/// One run of one pipeline: a UUID of version 7, so that the names of runs sort by the time they began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// A new name for a run that begins now.
    pub fn new(now: DateTime<Utc>) -> Self {
        // A clock that stands before 1970 gets names that sort first, which is all that can be said about it.
        let seconds = u64::try_from(now.timestamp()).unwrap_or(0);
        let time = Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos());
        Self(Uuid::new_v7(time))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_survive_text() {
        let early = RunId::new(DateTime::from_timestamp_millis(1_000).unwrap());
        let late = RunId::new(DateTime::from_timestamp_millis(1_001).unwrap());
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
    }
}
