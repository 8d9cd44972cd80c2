//! The formats of files, told from the name or named in the options.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// How rows are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Comma-separated values, with a header unless `header: false`.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow IPC, file or stream.
    Arrow,
}

impl Format {
    /// The word in specs, which is also the extension of files we write.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }
}

/// How a whole file is compressed, around its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip, `.gz`.
    Gzip,
    /// Zstandard, `.zst`.
    Zstd,
}

impl Compression {
    /// The extension it adds to a name.
    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// Format and compression of a file: what the options say, else what the name says.
pub(super) fn of_file(
    path: &str,
    format: Option<Format>,
    compression: Option<Compression>,
) -> Result<(Format, Compression)> {
    let (stem, from_name) = match path.rsplit_once('.') {
        Some((stem, "gz")) => (stem, Compression::Gzip),
        Some((stem, "zst")) => (stem, Compression::Zstd),
        _ => (path, Compression::None),
    };
    let format = match format {
        Some(format) => format,
        None => of_extension(stem).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("the name of `{path}` does not say what format it has"),
            )
            .help("set `format:` to `csv`, `ndjson`, `parquet` or `arrow`")
        })?,
    };
    Ok((format, compression.unwrap_or(from_name)))
}

fn of_extension(stem: &str) -> Option<Format> {
    let (_, extension) = stem.rsplit('/').next()?.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Some(Format::Csv),
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
        "parquet" | "pq" => Some(Format::Parquet),
        "arrow" | "arrows" | "ipc" | "feather" => Some(Format::Arrow),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_format() {
        let of = |path| of_file(path, None, None).unwrap();
        assert_eq!(of("a/b.csv"), (Format::Csv, Compression::None));
        assert_eq!(of("a.b/c.csv.gz"), (Format::Csv, Compression::Gzip));
        assert_eq!(of("c.JSONL.zst"), (Format::Ndjson, Compression::Zstd));
        assert_eq!(of("c.parquet"), (Format::Parquet, Compression::None));
        assert!(of_file("a.csv/part-0", None, None).is_err());
    }

    #[test]
    fn options_win_over_the_name() {
        let got = of_file("dump.txt.gz", Some(Format::Csv), None).unwrap();
        assert_eq!(got, (Format::Csv, Compression::Gzip));
    }
}
