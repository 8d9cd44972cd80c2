//! What may be said about reading and writing files: `options:` of an extract and of a load.

use schemars::JsonSchema;
use serde::Deserialize;

use super::format::{Compression, Format};
use crate::columns::Columns;
use crate::error::{Error, ErrorKind, Result};

/// How files are read.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FileReadOptions")]
pub(crate) struct ReadOptions {
    /// The format; told from the name when left out.
    pub(super) format: Option<Format>,
    /// The compression; told from the name when left out.
    pub(super) compression: Option<Compression>,
    /// CSV: what stands between fields, one ASCII character; `,` when left out.
    pub(super) delimiter: Option<char>,
    /// CSV: what stands around fields, one ASCII character; `"` when left out.
    pub(super) quote: Option<char>,
    /// CSV: whether the first row names the columns; `true` when left out.
    pub(super) header: Option<bool>,
    /// CSV: words that mean NULL, besides the empty field.
    #[serde(default)]
    pub(super) null_values: Vec<String>,
    /// Whether folders named `column=value` add columns.
    #[serde(default)]
    pub(super) hive_partitions: bool,
    /// The columns; inferred when left out.
    pub(super) schema: Option<Columns>,
    /// How many rows of a file decide about its column types; about 4 MiB of rows when left out.
    pub(super) sample_rows: Option<u64>,
}

/// How files are written.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FileWriteOptions")]
pub(crate) struct WriteOptions {
    /// The format; told from the name when left out, Parquet where the name is a folder.
    pub(super) format: Option<Format>,
    /// The compression around CSV and NDJSON; told from the name when left out.
    pub(super) compression: Option<Compression>,
    /// CSV: whether the first row names the columns; `true` when left out.
    pub(super) header: Option<bool>,
    /// CSV: what stands between fields, one ASCII character; `,` when left out.
    pub(super) delimiter: Option<char>,
}

/// Reads options that were checked before; NULL is the same as none.
pub(super) fn parse<T: serde::de::DeserializeOwned + Default>(
    options: &serde_json::Value,
) -> Result<T> {
    if options.is_null() {
        return Ok(T::default());
    }
    T::deserialize(options).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the options do not fit a file").caused_by(error)
    })
}

/// An option that must be one ASCII character.
pub(super) fn ascii(option: &'static str, value: Option<char>, default: u8) -> Result<u8> {
    let Some(value) = value else {
        return Ok(default);
    };
    u8::try_from(value)
        .ok()
        .filter(u8::is_ascii)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{option}` must be one ASCII character, not `{value}`"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_mapping_or_a_list() {
        let map = serde_json::json!({ "schema": { "b": "long", "a": "decimal(5,2)" } });
        let list = serde_json::json!({ "schema": [
            { "name": "b", "type": "long" }, { "name": "a", "type": "decimal(5,2)" },
        ] });
        let read = |value| {
            parse::<ReadOptions>(value)
                .unwrap()
                .schema
                .unwrap()
                .schema()
        };
        assert_eq!(read(&map), read(&list));
        assert_eq!(read(&map).field(0).name(), "b");
    }

    #[test]
    fn an_unknown_type_is_named() {
        let value = serde_json::json!({ "schema": { "b": "varchar" } });
        let error = parse::<ReadOptions>(&value).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no column type named `varchar`"), "{cause}");
    }
}
