//! `bad-size`: `256MiB`.

use super::context::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::At;

pub(crate) const BAD_SIZE: Code = Code {
    name: "bad-size",
    explain: "A size is a whole number and a unit: `512KiB`, `256MiB`, `1GiB`.\n\nUnits are powers of 1024 and say so.",
};

/// Reads a size in bytes.
fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// A size, or a finding.
pub(super) fn size(context: &Context<'_>, written: &At<String>) -> Option<u64> {
    let read = parse(written);
    if read.is_none() {
        let message = format!("`{}` is no size", written.value);
        context.report(
            Diagnostic::error(&BAD_SIZE, written.span, message).help("write `256MiB` or `1GiB`"),
        );
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("256MiB"), Some(268_435_456));
        for bad in ["", "256", "256MB", "0MiB", "99999999999TiB", "MiB"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
