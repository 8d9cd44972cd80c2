//! Single values and what is asked of them: literals, predicates, watermarks.
//!
//! Knows no Arrow and no SQL dialect: every connector renders these in its own language.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One value of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// An exact number, written out: `-12.340`.
    Decimal(String),
    /// Text.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00 on a clock without a zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampTz(i64),
    /// A UUID, in its hyphenated lower-case form.
    Uuid(String),
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Decimal(value) | Self::Text(value) | Self::Uuid(value) => f.write_str(value),
            Self::Date(days) => {
                let date = chrono::DateTime::from_timestamp(i64::from(*days) * 86_400, 0);
                date.map_or(Err(fmt::Error), |date| {
                    write!(f, "{}", date.format("%Y-%m-%d"))
                })
            }
            Self::Timestamp(micros) => write_micros(f, *micros, ""),
            Self::TimestampTz(micros) => write_micros(f, *micros, "Z"),
        }
    }
}

fn write_micros(f: &mut fmt::Formatter<'_>, micros: i64, zone: &str) -> fmt::Result {
    let time = chrono::DateTime::from_timestamp_micros(micros).ok_or(fmt::Error)?;
    write!(f, "{}{zone}", time.format("%Y-%m-%dT%H:%M:%S%.6f"))
}

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// The operator as SQL writes it.
    pub const fn as_sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A condition on rows. A source may use it to read less; the engine applies it again, so that a source which
/// understands only a part (or nothing) of it returns too much, never too little.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// A column against a value.
    Compare {
        /// The column.
        column: String,
        /// The comparison.
        op: Comparison,
        /// The value on the right.
        value: Literal,
    },
    /// The column has one of these values.
    In {
        /// The column.
        column: String,
        /// The values; never empty.
        values: Vec<Literal>,
    },
    /// The column is NULL.
    IsNull(String),
    /// The column is not NULL.
    IsNotNull(String),
    /// All of them hold.
    And(Vec<Self>),
    /// One of them holds.
    Or(Vec<Self>),
}

/// How far a source has been read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watermark {
    /// The highest value of the watermark column.
    Value(Literal),
    /// The files that have been read, by path, each with its etag (where the store has none: size and time).
    Files(BTreeMap<String, String>),
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Files(files) if files.len() == 1 => f.write_str("1 file"),
            Self::Files(files) => write!(f, "{} files", files.len()),
        }
    }
}
