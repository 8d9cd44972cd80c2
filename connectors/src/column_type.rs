//! The words for column types in `schema:`, and the Arrow types they stand for.
//!
//! Every one of them is a type Iceberg can hold, so that what is read can be published unchanged.

use arrow::datatypes::{DataType, TimeUnit};

/// The zone of every `timestamptz`.
pub(crate) const UTC: &str = "UTC";

/// The largest precision of an exact number.
const MAX_PRECISION: u8 = 38;

/// The words, as messages list them.
pub(crate) const WORDS: &str = "bool, int, long, float, double, decimal(p,s), date, time, timestamp, timestamptz, string, binary, uuid";

/// The Arrow type of a word; `None` for an unknown word. A `uuid` is read as text.
pub(crate) fn parse(word: &str) -> Option<DataType> {
    let word = word.trim().to_ascii_lowercase();
    Some(match word.as_str() {
        "bool" => DataType::Boolean,
        "int" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamptz" => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        "string" | "uuid" => DataType::Utf8,
        "binary" => DataType::Binary,
        other => return decimal(other),
    })
}

fn decimal(word: &str) -> Option<DataType> {
    let (precision, scale) = word
        .strip_prefix("decimal(")?
        .strip_suffix(')')?
        .split_once(',')?;
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: u8 = scale.trim().parse().ok()?;
    let fits = (1..=MAX_PRECISION).contains(&precision) && scale <= precision;
    fits.then_some(DataType::Decimal128(precision, i8::try_from(scale).ok()?))
}

/// The word for a type, for reasons and messages; other types in Arrow's own way.
pub(crate) fn word(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "bool".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_types_agree() {
        for text in [
            "bool",
            "int",
            "long",
            "double",
            "date",
            "timestamptz",
            "string",
            "decimal(15,2)",
        ] {
            assert_eq!(word(&parse(text).unwrap()), text);
        }
        assert_eq!(parse("decimal( 5 , 2 )"), Some(DataType::Decimal128(5, 2)));
        assert_eq!(parse("decimal(39,2)"), None);
        assert_eq!(parse("decimal(2,3)"), None);
        assert_eq!(parse("varchar"), None);
    }
}
