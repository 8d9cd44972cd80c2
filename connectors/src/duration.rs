//! Durations as options write them: `500ms`, `30s`, `5m`, `2h`.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// The longest that servers can be told: 31 bits of milliseconds, 24 days.
const MAX_MILLIS: u64 = i32::MAX as u64;

/// Reads the duration that an option of this name has.
pub(crate) fn parse(option: &str, text: &str) -> Result<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let parsed = text.split_at_checked(digits).and_then(|(number, unit)| {
        let unit = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    });
    parsed
        .filter(|millis| *millis <= MAX_MILLIS)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is not a duration for `{option}`"),
            )
            .help("write a number with a unit: `500ms`, `30s`, `5m`, `2h`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse("x", "30s").ok(), Some(Duration::from_secs(30)));
        assert_eq!(parse("x", "2h").ok(), Some(Duration::from_hours(2)));
        for wrong in ["", "30", "s", "-1s", "9999999h", "1d"] {
            assert!(parse("x", wrong).is_err(), "{wrong}");
        }
    }
}
