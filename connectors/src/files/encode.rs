//! Batches encoded into the bytes of one file.
//!
//! Knows formats and compression; where the bytes go is not its business.

use std::io::Write as _;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder as JsonWriterBuilder};
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::format::{Compression, Format};
use super::options::{self, WriteOptions};
use crate::error::{Error, ErrorKind, Result};

/// A row group is closed at this many bytes in memory.
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// How hard text is compressed with Zstandard.
const ZSTD_LEVEL: i32 = 3;

/// Turns batches into bytes, which are taken away as they come.
pub(super) enum Encoder {
    /// Row groups, closed by size.
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    /// Lines of text.
    Text(Box<Text>),
}

/// Lines of text, compressed on the way.
pub(super) struct Text {
    lines: Lines,
    compressor: Compressor,
}

enum Lines {
    Csv {
        delimiter: u8,
        header: bool,
        schema: SchemaRef,
    },
    Ndjson,
}

enum Compressor {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// An encoder for rows of this schema.
    pub(super) fn new(
        format: Format,
        compression: Compression,
        options: &WriteOptions,
        schema: SchemaRef,
    ) -> Result<Self> {
        let lines = match format {
            Format::Parquet if compression != Compression::None => {
                let message = "a Parquet file is compressed inside, not around";
                return Err(
                    Error::new(ErrorKind::InvalidInput, message).help("leave `compression` out")
                );
            }
            Format::Parquet => return Ok(Self::Parquet(Box::new(parquet_writer(schema)?))),
            Format::Arrow => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "Arrow files are read, not written",
                )
                .help("set `format:` to `parquet`, `csv` or `ndjson`"));
            }
            Format::Csv => Lines::Csv {
                delimiter: options::ascii("delimiter", options.delimiter, b',')?,
                header: options.header.unwrap_or(true),
                schema,
            },
            Format::Ndjson => Lines::Ndjson,
        };
        Ok(Self::Text(Box::new(Text {
            lines,
            compressor: Compressor::new(compression)?,
        })))
    }

    /// Takes a batch; gives the bytes that are ready.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        match self {
            Self::Parquet(writer) => {
                writer.write(batch).map_err(of_parquet)?;
                if writer.in_progress_size() > ROW_GROUP_BYTES {
                    writer.flush().map_err(of_parquet)?;
                }
                Ok(std::mem::take(writer.inner_mut()))
            }
            Self::Text(text) => text.write(batch),
        }
    }

    /// The rest of the bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Parquet(writer) => writer.into_inner().map_err(of_parquet),
            Self::Text(text) => text.finish(),
        }
    }
}

fn parquet_writer(schema: SchemaRef) -> Result<ArrowWriter<Vec<u8>>> {
    let properties = WriterProperties::builder()
        .set_compression(ParquetCompression::ZSTD(ZstdLevel::default()))
        .build();
    ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(of_parquet)
}

fn of_parquet(error: ParquetError) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "the rows cannot be written as Parquet",
    )
    .caused_by(error)
}

fn of_io(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, "the rows cannot be compressed").caused_by(error)
}

impl Text {
    fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        match &mut self.lines {
            Lines::Csv {
                delimiter, header, ..
            } => {
                csv_lines(&mut plain, batch, *delimiter, std::mem::take(header))?;
            }
            Lines::Ndjson => {
                let builder = JsonWriterBuilder::new().with_explicit_nulls(true);
                let mut writer: LineDelimitedWriter<_> =
                    builder.build::<_, LineDelimited>(&mut plain);
                writer.write(batch)?;
                writer.finish()?;
            }
        }
        self.compressor.push(&plain).map_err(of_io)
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        if let Lines::Csv {
            delimiter,
            header: true,
            schema,
        } = &self.lines
        {
            // No row was written: the header alone still says which columns there are.
            csv_lines(
                &mut plain,
                &RecordBatch::new_empty(schema.clone()),
                *delimiter,
                true,
            )?;
        }
        let mut bytes = self.compressor.push(&plain).map_err(of_io)?;
        bytes.extend(self.compressor.finish().map_err(of_io)?);
        Ok(bytes)
    }
}

fn csv_lines(plain: &mut Vec<u8>, batch: &RecordBatch, delimiter: u8, header: bool) -> Result<()> {
    let mut writer = WriterBuilder::new()
        .with_delimiter(delimiter)
        .with_header(header)
        .build(plain);
    Ok(writer.write(batch)?)
}

impl Compressor {
    fn new(compression: Compression) -> Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip => {
                Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default()))
            }
            Compression::Zstd => Self::Zstd(
                zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).map_err(of_io)?,
            ),
        })
    }

    fn push(&mut self, plain: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None(buffer) => {
                buffer.extend_from_slice(plain);
                Ok(std::mem::take(buffer))
            }
            Self::Gzip(encoder) => {
                encoder.write_all(plain)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(plain)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None(buffer) => Ok(buffer),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
