//! Numbers as people read and write them: rows, bytes, seconds.

use std::time::Duration;

/// `6001215` as `6 001 215`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// The units of sizes, each 1024 times the one before.
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// `1536` as `1.5 KiB`.
#[expect(
    clippy::cast_precision_loss,
    reason = "one digit after the point is shown"
)]
pub(crate) fn bytes(number: u64) -> String {
    let mut size = number as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for larger in units {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if number < 1024 {
        format!("{number} {unit}")
    } else {
        format!("{size:.1} {unit}")
    }
}

/// `38 ms`, `3.2 s`, `2 m 05 s`, `1 h 02 m`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Reads `500ms`, `30s`, `5m`, `2h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: write it like `500ms`, `30s`, `5m` or `2h`");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// Reads `2GiB`, `512MiB` or `64KiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a size: write it like `512MiB` or `2GiB`");
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: usize = number.parse().map_err(|_| wrong())?;
    let power = UNITS
        .iter()
        .position(|known| known.eq_ignore_ascii_case(unit.trim()))
        .ok_or_else(wrong)?;
    let factor = u32::try_from(power * 10)
        .ok()
        .and_then(|bits| 1_usize.checked_shl(bits));
    factor
        .and_then(|factor| number.checked_mul(factor))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(6_001_215), "6 001 215");
        assert_eq!(counted(1, "row", "rows"), "1 row");
    }

    #[test]
    fn sizes_read_and_write() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("512 mib"), Ok(512 << 20));
        assert!(parse_bytes("2").is_err());
        assert!(parse_bytes("2GB").is_err());
        assert!(parse_bytes("99999999999999999999GiB").is_err());
        assert!(parse_bytes("99999999999TiB").is_err());
    }

    #[test]
    fn times_keep_two_units() {
        assert_eq!(duration(Duration::from_millis(38)), "38 ms");
        assert_eq!(duration(Duration::from_millis(3_240)), "3.2 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 m 05 s");
        assert_eq!(duration(Duration::from_mins(62)), "1 h 02 m");
    }
}
