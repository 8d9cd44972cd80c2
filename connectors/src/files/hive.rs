//! Folders named `column=value` as columns.
//!
//! Pure: knows paths only.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field};

/// How a NULL is written in a folder's name.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns of a path; a NULL as `None`.
pub(super) fn columns(path: &str) -> BTreeMap<String, Option<String>> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let pairs = folders
        .split('/')
        .filter_map(|folder| folder.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), (value != NULL).then(|| decoded(value))))
        .collect()
}

/// Names and types of the columns that these paths have: `int`, `date` or `string`, whichever holds every value.
pub(super) fn fields<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Field> {
    let mut types: BTreeMap<String, Option<DataType>> = BTreeMap::new();
    for (name, value) in paths.flat_map(columns) {
        let known = types.entry(name).or_default();
        let Some(value) = value else { continue };
        let seen = type_of(&value);
        *known = match known.take() {
            None => Some(seen),
            Some(known) if known == seen => Some(known),
            Some(_) => Some(DataType::Utf8),
        };
    }
    types
        .into_iter()
        .map(|(name, data_type)| Field::new(name, data_type.unwrap_or(DataType::Utf8), true))
        .collect()
}

fn type_of(value: &str) -> DataType {
    let plain = value == "0" || !value.trim_start_matches('-').starts_with('0');
    if plain && value.parse::<i32>().is_ok() && !value.starts_with('+') {
        DataType::Int32
    } else if value.len() == 10 && chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok() {
        DataType::Date32
    } else {
        DataType::Utf8
    }
}

/// Undoes the `%3A` that writers put for characters a path cannot hold.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = (byte == b'%').then(|| tail.get(..2)).flatten();
        let code = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(code) = code {
            bytes.push(code);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_columns() {
        let got = columns("t/day=2024-01-01/kind=a%2Fb/x=__HIVE_DEFAULT_PARTITION__/f.parquet");
        assert_eq!(got["day"], Some("2024-01-01".to_owned()));
        assert_eq!(got["kind"], Some("a/b".to_owned()));
        assert_eq!(got["x"], None);
    }

    #[test]
    fn every_value_decides_the_type() {
        let types = |paths: &[&str]| {
            fields(paths.iter().copied())
                .iter()
                .map(|field| field.data_type().clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            types(&["d=2024-01-01/y=2024/f", "d=2024-01-02/y=2025/f"]),
            [DataType::Date32, DataType::Int32]
        );
        assert_eq!(types(&["m=01/f"]), [DataType::Utf8]);
        assert_eq!(types(&["m=1/f", "m=x/f"]), [DataType::Utf8]);
    }
}
