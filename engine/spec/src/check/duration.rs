//! `bad-duration`: `30s`, `5m`, `2h`, `7d`.

use std::time::Duration;

use super::context::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::At;

pub(crate) const BAD_DURATION: Code = Code {
    name: "bad-duration",
    explain: "A duration is a whole number and a unit: `500ms`, `30s`, `5m`, `2h`, `7d`.",
};

/// The longest duration that makes sense here: a hundred years.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;

/// Reads a duration.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => {
            return Some(Duration::from_millis(number))
                .filter(|time| time.as_secs() <= MAX_SECONDS);
        }
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= MAX_SECONDS)
        .map(Duration::from_secs)
}

/// A duration, or a finding.
pub(super) fn duration(context: &Context<'_>, written: &At<String>) -> Option<Duration> {
    let read = parse(written);
    if read.is_none() {
        let message = format!("`{}` is no duration", written.value);
        context.report(
            Diagnostic::error(&BAD_DURATION, written.span, message)
                .help("write `30s`, `5m`, `2h` or `7d`"),
        );
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("5m"), Some(Duration::from_mins(5)));
        assert_eq!(parse("7d"), Some(Duration::from_hours(168)));
        for bad in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "5w",
            "99999999999999999999s",
            "18446744073709551615d",
            "1.5h",
            "5м",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
