//! Values as text, for columns that have values of every type.
//!
//! One form for each type, whatever the language of the session.

use std::fmt;

use chrono::DateTime;

/// An exact number, and how many of its digits stand behind the point.
pub(super) struct Scaled(pub(super) i128, pub(super) u8);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, scale) = (if self.0 < 0 { "-" } else { "" }, usize::from(self.1));
        let digits = format!("{:0>width$}", self.0.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

/// A moment in microseconds since 1970, and its zone.
pub(super) struct Clock<'a>(pub(super) i64, pub(super) &'a str);

impl fmt::Display for Clock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_micros(self.0).ok_or(fmt::Error)?;
        write!(f, "{}{}", time.format("%Y-%m-%dT%H:%M:%S%.f"), self.1)
    }
}

/// The day of a moment in microseconds since 1970.
pub(super) struct Day(pub(super) i64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_micros(self.0).ok_or(fmt::Error)?;
        write!(f, "{}", time.format("%Y-%m-%d"))
    }
}

/// A time of day in microseconds.
pub(super) struct TimeOfDay(pub(super) i64);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_micros(self.0).ok_or(fmt::Error)?;
        write!(f, "{}", time.format("%H:%M:%S%.f"))
    }
}

/// Bytes as a binary literal.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(Scaled(1234, 2).to_string(), "12.34");
        assert_eq!(Scaled(-5, 4).to_string(), "-0.0005");
        assert_eq!(Scaled(7, 0).to_string(), "7");
    }

    #[test]
    fn times_and_bytes() {
        assert_eq!(
            Clock(1_500_000, "Z").to_string(),
            "1970-01-01T00:00:01.500Z"
        );
        assert_eq!(Day(-1).to_string(), "1969-12-31");
        assert_eq!(TimeOfDay(1).to_string(), "00:00:00.000001");
        assert_eq!(Hex(&[0, 0xff]).to_string(), "0x00ff");
    }
}
