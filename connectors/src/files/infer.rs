//! The type of a column of texts, and why it is that type.
//!
//! Pure. A type is chosen only where every value seen has exactly that form: `007` stays text, because a number would
//! lose the zeros; a number with a fraction is `double`, because the scale of what a sample did not show is unknown
//! (declare `decimal(p,s)` for money).

use arrow::datatypes::{DataType, TimeUnit};

use crate::column_type::{self, UTC};

/// The longest text a reason shows, in characters.
const SHOWN: usize = 24;

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bool,
    Long,
    Double,
    Date,
    Timestamp,
    TimestampTz,
    Text,
}

impl Form {
    fn of(value: &str) -> Self {
        if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
            return Self::Bool;
        }
        let Some(first) = value.bytes().next() else {
            return Self::Text;
        };
        if !(first.is_ascii_digit() || matches!(first, b'-' | b'.')) {
            return Self::Text;
        }
        number(value).or_else(|| time(value)).unwrap_or(Self::Text)
    }

    /// The narrowest form that holds both.
    const fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bool, Self::Bool) => Self::Bool,
            (Self::Long, Self::Long) => Self::Long,
            (Self::Long | Self::Double, Self::Long | Self::Double) => Self::Double,
            (Self::Date, Self::Date) => Self::Date,
            (Self::Date | Self::Timestamp, Self::Date | Self::Timestamp) => Self::Timestamp,
            (Self::TimestampTz, Self::TimestampTz) => Self::TimestampTz,
            _ => Self::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Long => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Text => DataType::Utf8,
        }
    }
}

fn number(value: &str) -> Option<Form> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or_default();
    let padded = whole.len() > 1 && whole.starts_with('0');
    if padded || !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse::<i64>().ok().map(|_| Form::Long);
    }
    let plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    (plain && value.parse::<f64>().is_ok_and(f64::is_finite)).then_some(Form::Double)
}

fn time(value: &str) -> Option<Form> {
    let date = value.get(..10)?;
    chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let rest = value.get(10..)?;
    if rest.is_empty() {
        return Some(Form::Date);
    }
    let clock = rest.strip_prefix(['T', ' '])?;
    let (clock, zoned) = match clock.rfind(['Z', '+', '-']) {
        Some(at) => (clock.get(..at)?, is_zone(clock.get(at..)?)?),
        None => (clock, false),
    };
    chrono::NaiveTime::parse_from_str(clock, "%H:%M:%S%.f").ok()?;
    Some(if zoned {
        Form::TimestampTz
    } else {
        Form::Timestamp
    })
}

fn is_zone(zone: &str) -> Option<bool> {
    let offset = zone.strip_prefix(['+', '-']).unwrap_or("");
    let digits = offset.bytes().filter(u8::is_ascii_digit).count();
    let well_formed = zone == "Z" || (matches!(digits, 2 | 4) && offset.len() <= 5);
    well_formed.then_some(true)
}

/// What is known of a column so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Guess {
    form: Option<Form>,
    because: Option<(String, String)>,
}

impl Guess {
    /// Takes a value into account; `place` says where it stands (``row 3 of `a.csv` ``) when it decides something.
    pub(super) fn see(&mut self, value: &str, place: impl FnOnce() -> String) {
        let seen = if self.form == Some(Form::Text) {
            return;
        } else {
            Form::of(value)
        };
        let joined = self.form.map_or(seen, |form| form.join(seen));
        if self.form != Some(joined) {
            self.form = Some(joined);
            self.because = Some((place(), value.chars().take(SHOWN).collect()));
        }
    }

    /// Takes another file's column into account.
    pub(super) fn merge(&mut self, other: Self) {
        let Some(seen) = other.form else { return };
        let joined = self.form.map_or(seen, |form| form.join(seen));
        if self.form != Some(joined) {
            self.form = Some(joined);
            self.because = other.because;
        }
    }

    /// The type.
    pub(super) fn data_type(&self) -> DataType {
        self.form.unwrap_or(Form::Text).data_type()
    }

    /// Why: ``double, because row 3 of `a.csv` has `12.5` ``.
    pub(super) fn reason(&self) -> String {
        let word = column_type::word(&self.data_type());
        match &self.because {
            Some((place, value)) => format!("{word}, because {place} has `{value}`"),
            None => format!("{word}, because no row of the sample has a value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> Guess {
        let mut guess = Guess::default();
        for (row, value) in values.iter().enumerate() {
            guess.see(value, || format!("row {}", row + 1));
        }
        guess
    }

    #[test]
    fn the_form_of_all_values_decides() {
        let word = |values: &[&str]| column_type::word(&guess(values).data_type());
        assert_eq!(word(&["1", "-20"]), "long");
        assert_eq!(word(&["1", "12.5"]), "double");
        assert_eq!(word(&["1e5"]), "double");
        assert_eq!(word(&["007"]), "string");
        assert_eq!(word(&["0", "0.5"]), "double");
        assert_eq!(word(&["99999999999999999999"]), "string");
        assert_eq!(word(&["true", "FALSE"]), "bool");
        assert_eq!(word(&["2024-02-29"]), "date");
        assert_eq!(word(&["2023-02-29"]), "string");
        assert_eq!(word(&["2024-02-29", "2024-02-29 10:00:00.5"]), "timestamp");
        assert_eq!(
            word(&["2024-02-29T10:00:00Z", "2024-02-29T10:00:00+03:00"]),
            "timestamptz"
        );
        assert_eq!(
            word(&["2024-02-29T10:00:00Z", "2024-02-29T10:00:00"]),
            "string"
        );
        assert_eq!(word(&["nan", "inf"]), "string");
        assert_eq!(word(&["-"]), "string");
        assert_eq!(word(&[]), "string");
    }

    #[test]
    fn the_reason_names_the_row_that_decided() {
        assert_eq!(
            guess(&["1", "2", "12.5"]).reason(),
            "double, because row 3 has `12.5`"
        );
        assert_eq!(
            guess(&["1", "2", "x", "y"]).reason(),
            "string, because row 3 has `x`"
        );
        assert_eq!(
            guess(&[]).reason(),
            "string, because no row of the sample has a value"
        );
    }

    #[test]
    fn files_are_merged_like_rows() {
        let mut first = guess(&["1"]);
        first.merge(guess(&["1.5"]));
        assert_eq!(first.reason(), "double, because row 1 has `1.5`");
        first.merge(Guess::default());
        assert_eq!(column_type::word(&first.data_type()), "double");
    }
}
