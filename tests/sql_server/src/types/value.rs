//! One value: as PostgreSQL prints it, and as a literal that PostgreSQL reads.
//!
//! Knows the representations that [`SqlType::postgres`] names. Knows no wire.

use std::fmt::Write as _;

use uuid::Uuid;

use super::{Kind, SqlType};
use crate::error::{Result, SqlError};
use crate::sql::from_hex;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    /// Digits with a scale; the sign stands apart because 38 digits fill the number.
    Exact {
        negative: bool,
        digits: u128,
        scale: u8,
    },
    Float(f64),
    /// Days since 0001-01-01.
    Days(i64),
    /// 100 ns, since midnight or since 0001-01-01.
    Ticks(i64),
    /// Ticks in UTC, and the zone in minutes.
    Offset(i64, i16),
    Text(String),
    Bytes(Vec<u8>),
    Guid(Uuid),
}

impl Value {
    /// What PostgreSQL printed for a column of `sql_type`.
    pub(crate) fn of_postgres(text: Option<&str>, sql_type: SqlType) -> Result<Self> {
        let Some(text) = text else {
            return Ok(Self::Null);
        };
        let found = match sql_type.kind() {
            Kind::Integer => text.parse().ok().map(Self::Integer),
            Kind::Exact => Self::exact(text),
            Kind::Approximate => text.parse().ok().map(Self::Float),
            Kind::Date => text.parse().ok().map(Self::Days),
            Kind::Time | Kind::Moment => text.parse().ok().map(Self::Ticks),
            Kind::Offset => offset(text),
            Kind::Text | Kind::Xml => Some(Self::Text(text.to_owned())),
            Kind::Bytes | Kind::Variant | Kind::Clr => {
                text.strip_prefix("\\x").and_then(from_hex).map(Self::Bytes)
            }
            Kind::Guid => text.parse().ok().map(Self::Guid),
        };
        found.ok_or_else(|| {
            SqlError::protocol(&format!(
                "PostgreSQL printed {text} for a {}",
                sql_type.name()
            ))
        })
    }

    /// An exact number from its digits.
    pub(crate) fn exact(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all = format!("{whole}{part}");
        let digits = if all.is_empty() {
            return None;
        } else {
            all.parse().ok()?
        };
        let scale = u8::try_from(part.len()).ok()?;
        Some(Self::Exact {
            negative,
            digits,
            scale,
        })
    }

    /// A literal that PostgreSQL reads as the representation of `sql_type`.
    pub(crate) fn literal(&self, sql_type: SqlType) -> Result<String> {
        let bare = match self {
            Self::Null => "NULL".to_owned(),
            Self::Exact { .. } => format!("'{}'", self.digits()),
            Self::Float(value) => format!("'{value}'"),
            Self::Integer(value) | Self::Days(value) | Self::Ticks(value) => format!("'{value}'"),
            Self::Offset(ticks, minutes) => format!("'{{{ticks},{minutes}}}'"),
            Self::Text(text) if text.contains('\0') => {
                return Err(SqlError::unknown("U+0000, which PostgreSQL cannot keep"));
            }
            Self::Text(text) => quoted(text),
            Self::Bytes(bytes) => format!("'\\x{}'", hex(bytes)),
            Self::Guid(guid) => format!("'{guid}'"),
        };
        Ok(format!("{bare}::{}", sql_type.postgres()))
    }

    /// The digits of an exact number, with its point.
    pub(crate) fn digits(&self) -> String {
        let Self::Exact {
            negative,
            digits,
            scale,
        } = self
        else {
            return String::new();
        };
        let scale = usize::from(*scale);
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, part) = padded.split_at(padded.len() - scale);
        let sign = if *negative { "-" } else { "" };
        let point = if scale == 0 { "" } else { "." };
        format!("{sign}{whole}{point}{part}")
    }

    /// The digits alone at `scale`, rounded half away from zero as T-SQL does.
    pub(crate) fn at_scale(&self, scale: u8) -> Option<(bool, u128)> {
        let (negative, digits, from) = match self {
            Self::Exact {
                negative,
                digits,
                scale,
            } => (*negative, *digits, *scale),
            Self::Integer(value) => (*value < 0, u128::from(value.unsigned_abs()), 0),
            _ => return None,
        };
        let scaled = if scale >= from {
            digits.checked_mul(10_u128.checked_pow(u32::from(scale - from))?)?
        } else {
            let divisor = 10_u128.checked_pow(u32::from(from - scale))?;
            (digits + divisor / 2) / divisor
        };
        Some((negative, scaled))
    }
}

fn offset(text: &str) -> Option<Value> {
    let (ticks, minutes) = text.strip_prefix('{')?.strip_suffix('}')?.split_once(',')?;
    Some(Value::Offset(ticks.parse().ok()?, minutes.parse().ok()?))
}

/// A string literal of PostgreSQL.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_numbers_keep_every_digit() {
        for text in [
            "-0.01",
            "0",
            "99999999999999999999999999999999999999",
            "-1.50",
        ] {
            assert_eq!(Value::exact(text).unwrap().digits(), text);
        }
        assert_eq!(Value::exact("2.5").unwrap().at_scale(0), Some((false, 3)));
        assert_eq!(
            Value::exact("-1.5").unwrap().at_scale(3),
            Some((true, 1500))
        );
    }
}
