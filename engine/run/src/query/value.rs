//! A value that could not become what a query makes of it, in our words.
//!
//! Knows the sentences of Arrow's casts. They say what the value is and what it was to be, and not whose it is: that is
//! found by who knows which columns are cast to that type.

use std::fmt;

use arrow::error::ArrowError;
use connectors::{Error, ErrorKind};
use datafusion::error::DataFusionError;

use super::sentence::types;

/// The longest value that a message shows, in characters.
const SHOWN: usize = 60;

/// A value that is none of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadValue {
    pub(crate) value: String,
    /// The type, as specs write it; of a decimal only the word.
    pub(crate) r#type: String,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no `{}`", self.value, self.r#type)
    }
}

impl std::error::Error for BadValue {}

/// The value that an error is about.
pub(crate) fn bad_value_of(error: &Error) -> Option<&BadValue> {
    std::error::Error::source(error)?.downcast_ref()
}

/// What a failed query says of one value; `None` where it is about something else.
pub(super) fn refused(error: &DataFusionError) -> Option<Error> {
    let DataFusionError::ArrowError(error, _) = error.find_root() else {
        return None;
    };
    match error.as_ref() {
        ArrowError::DivideByZero => Some(
            Error::new(ErrorKind::InvalidData, "a number was divided by zero")
                .help("make the divisor NULL where it is zero: `nullif(…, 0)`"),
        ),
        ArrowError::ArithmeticOverflow(text) => Some(
            Error::new(
                ErrorKind::InvalidData,
                "a number became larger than its type can hold",
            )
            .with("in", text.trim_start_matches("Overflow happened on: "))
            .help("convert to a wider type before: `CAST(… AS DECIMAL(38, 6))`"),
        ),
        other => said(&other.to_string()).map(BadValue::into_error),
    }
}

impl BadValue {
    fn into_error(self) -> Error {
        let help = format!(
            "write `TRY_CAST(… AS …)` for NULL where a value is no `{}`, or read the column as a string and check it",
            self.r#type
        );
        Error::new(ErrorKind::InvalidData, self.to_string())
            .help(help)
            .caused_by(self)
    }
}

/// What a sentence says of a value.
pub(super) fn said(text: &str) -> Option<BadValue> {
    /// What stands before a value, between it and its type, and after that.
    const SENTENCES: &[(&str, &str, &str)] = &[
        ("Cannot cast string '", "' to value of ", " type"),
        ("Cannot cast value '", "' to value of ", " type"),
        ("Can't cast value ", " to type ", ""),
    ];
    /// What stands before and after a value of one type.
    const OF_A_TYPE: &[(&str, &str, &str)] = &[
        ("Error parsing timestamp from '", "'", "timestamp"),
        ("Failed to parse '", "' as time", "time"),
        ("can't parse the string value ", " to decimal", "decimal"),
        ("parse decimal overflow (", ")", "decimal"),
        (
            "Invalid argument error: ",
            " is too large to store in a Decimal",
            "decimal",
        ),
        (
            "Invalid argument error: ",
            " is too small to store in a Decimal",
            "decimal",
        ),
    ];
    for (before, between, after) in SENTENCES {
        let Some((_, rest)) = text.split_once(before) else {
            continue;
        };
        let (value, rest) = rest.rsplit_once(between)?;
        let r#type = if after.is_empty() {
            rest
        } else {
            rest.split(after).next().unwrap_or(rest)
        };
        let r#type = types(r#type);
        // The digits are those of the calculation, and not those that were written.
        let word = r#type.split('(').next().unwrap_or(&r#type);
        return Some(BadValue::new(value, word));
    }
    if let Some((_, value)) = text.split_once(" Overflowing on ") {
        return Some(BadValue::new(value, "decimal"));
    }
    OF_A_TYPE.iter().find_map(|(before, after, r#type)| {
        let (_, rest) = text.split_once(before)?;
        Some(BadValue::new(rest.split_once(after)?.0, r#type))
    })
}

impl BadValue {
    fn new(value: &str, r#type: &str) -> Self {
        let mut shown: String = value.chars().take(SHOWN).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self {
            value: shown,
            r#type: r#type.to_owned(),
        }
    }

    /// Whether this is what becomes of a value that is none of `type`.
    pub(crate) fn is_of(&self, r#type: &str) -> bool {
        let word = |text: &str| text.split(['(', '<']).next().map(str::to_owned);
        // A date is read as the timestamp that it begins.
        word(r#type) == word(&self.r#type)
            || (self.r#type == "timestamp" && matches!(r#type, "date" | "timestamptz"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_read() {
        let cases = [
            (
                "Cast error: Cannot cast string 'a'b' to value of Int64 type",
                "a'b",
                "long",
            ),
            (
                "Cast error: Cannot cast value 'maybe' to value of Boolean type",
                "maybe",
                "boolean",
            ),
            (
                "Cast error: Can't cast value 300 to type Int32",
                "300",
                "int",
            ),
            (
                "Parser error: Error parsing timestamp from '2026-13-01': error parsing date",
                "2026-13-01",
                "timestamp",
            ),
            (
                "Cast error: Cannot cast to Decimal128(5, 2). Overflowing on 12345678.0",
                "12345678.0",
                "decimal",
            ),
            (
                "Parser error: can't parse the string value x to decimal",
                "x",
                "decimal",
            ),
            (
                "Invalid argument error: 123456.00 is too large to store in a Decimal128 of precision 5. Max is 999.99",
                "123456.00",
                "decimal",
            ),
        ];
        for (text, value, r#type) in cases {
            assert_eq!(said(text), Some(BadValue::new(value, r#type)), "{text}");
        }
        assert_eq!(said("Cast error: Casting from a to b not supported"), None);
    }
}
