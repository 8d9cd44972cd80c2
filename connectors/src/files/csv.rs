//! CSV: a file as batches of text columns, named by its header.
//!
//! Knows quoting, headers and NULL words. Types are not its business: every column is text here, so that a value that
//! does not fit its type is reported with its row.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::{Decoder, Format as CsvFormat};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::bytes::ByteStream;
use super::decode::{self, BATCH_ROWS, Decode};
use super::failure;
use super::options::{self, ReadOptions};
use crate::contract::BatchStream;
use crate::error::{Error, ErrorKind, Result};

/// The longest first row, in bytes.
const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// The mark some tools put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How a file is written.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    delimiter: u8,
    quote: u8,
    header: bool,
    nulls: Vec<String>,
}

impl Dialect {
    /// What the options say.
    pub(super) fn of(read: &ReadOptions) -> Result<Self> {
        Ok(Self {
            delimiter: options::ascii("delimiter", read.delimiter, b',')?,
            quote: options::ascii("quote", read.quote, b'"')?,
            header: read.header.unwrap_or(true),
            nulls: read.null_values.clone(),
        })
    }

    fn format(&self) -> CsvFormat {
        CsvFormat::default()
            .with_header(self.header)
            .with_delimiter(self.delimiter)
            .with_quote(self.quote)
    }

    /// Where the first row ends; `None` when it goes on.
    fn first_row(&self, bytes: &[u8]) -> Option<usize> {
        let mut reached = Position::start(self);
        let end = bytes.iter().position(|&byte| {
            reached.pass(byte);
            reached.rows > 0
        })?;
        Some(end + 1)
    }

    fn columns(&self, first_row: &[u8], file: &str) -> Result<Vec<String>> {
        let (schema, _) = self
            .format()
            .infer_schema(Cursor::new(first_row), Some(0))
            .map_err(|error| {
                failure::bad_data("the first row is not CSV", file).caused_by(error)
            })?;
        let names: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        match names.iter().find(|name| !seen.insert(name.as_str())) {
            Some(twice) => Err(failure::bad_data(
                format!("the header names `{twice}` twice"),
                file,
            )
            .help("set `header: false` and declare `schema:` to name the columns yourself")),
            None => Ok(names),
        }
    }
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A row that has not begun; empty lines are none.
    Row,
    /// A field that has not begun.
    Field,
    /// A field, outside quotes. A quote in the middle of a field is text like any other.
    Text,
    /// A field, inside quotes.
    Quoted,
    /// A quote inside quotes: the end of them, or one half of a quote that is meant.
    Quote,
}

/// How far a file has been read. Arrow's decoder closes at the end of a file what is open, and so turns all rows behind
/// a quote that nobody closed into one value: it is followed here to see that.
#[derive(Clone, Copy, Debug)]
struct Position {
    delimiter: u8,
    quote: u8,
    place: Place,
    /// The rows that have ended, the header among them.
    rows: usize,
}

impl Position {
    const fn start(dialect: &Dialect) -> Self {
        Self {
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            place: Place::Row,
            rows: 0,
        }
    }

    #[inline]
    fn pass(&mut self, byte: u8) {
        self.place = match self.place {
            Place::Quoted if byte == self.quote => Place::Quote,
            Place::Quoted => Place::Quoted,
            Place::Row | Place::Field | Place::Quote if byte == self.quote => Place::Quoted,
            place if matches!(byte, b'\r' | b'\n') => {
                self.rows += usize::from(place != Place::Row);
                Place::Row
            }
            _ if byte == self.delimiter => Place::Field,
            _ => Place::Text,
        };
    }
}

/// The decoder of a file, and where it is.
struct Rows {
    decoder: Decoder,
    reached: Position,
    header: bool,
    file: String,
}

impl Decode for Rows {
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, ArrowError> {
        let taken = self.decoder.decode(bytes)?;
        for &byte in bytes.iter().take(taken) {
            self.reached.pass(byte);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        self.decoder.flush()
    }

    fn cut_off(&self) -> Option<Error> {
        if self.reached.place != Place::Quoted {
            return None;
        }
        let error = match (self.reached.rows, self.header) {
            (0, true) => {
                failure::bad_data("the header opens a quote that nothing closes", &self.file)
            }
            (rows, header) => {
                let message = "a row opens a quote that nothing closes";
                failure::bad_data(message, &self.file).with("row", rows + usize::from(!header))
            }
        };
        Some(error.help("close it, or set `quote:` to a character that the file does not have"))
    }
}

/// A file whose first row has been read.
pub(super) struct Opened {
    /// The columns, in the file's order; `column_1`, … without a header.
    pub(super) columns: Vec<String>,
    bytes: ByteStream,
    dialect: Dialect,
    file: String,
}

/// Reads the first row; `None` for an empty file.
pub(super) async fn open(
    mut bytes: ByteStream,
    dialect: Dialect,
    file: &str,
) -> Result<Option<Opened>> {
    let mut head = BytesMut::new();
    let mut ended = false;
    let row_end = loop {
        let start = if head.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        if let Some(end) = dialect.first_row(head.get(start..).unwrap_or_default()) {
            break start + end;
        }
        if ended {
            break head.len();
        }
        if head.len() > MAX_HEADER_BYTES {
            let message = format!("the first row is longer than {MAX_HEADER_BYTES} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, message).with("file", file));
        }
        match bytes.try_next().await? {
            Some(more) => head.extend_from_slice(&more),
            None => ended = true,
        }
    };
    let mut head = head.freeze();
    if head.starts_with(BYTE_ORDER_MARK) {
        head = head.slice(BYTE_ORDER_MARK.len()..);
    }
    if head.is_empty() {
        return Ok(None);
    }
    let first = head.get(..row_end.min(head.len())).unwrap_or_default();
    let columns = dialect.columns(first, file)?;
    let bytes = stream::once(async move { Ok::<Bytes, Error>(head) })
        .chain(bytes)
        .boxed();
    Ok(Some(Opened {
        columns,
        bytes,
        dialect,
        file: file.to_owned(),
    }))
}

impl Opened {
    /// Gives the columns of a file without a header the names of the schema, in its order.
    pub(super) fn rename(&mut self, names: Vec<String>) -> Result<()> {
        if self.dialect.header {
            return Ok(());
        }
        if names.len() != self.columns.len() {
            let message = format!(
                "the rows have {} fields, and the schema has {} columns",
                self.columns.len(),
                names.len()
            );
            return Err(failure::bad_data(message, &self.file));
        }
        self.columns = names;
        Ok(())
    }

    /// The rows, with the columns that `wanted` names (or all), each as text.
    pub(super) fn rows(self, wanted: impl Fn(&str) -> bool) -> BatchStream {
        let field = |name: &String| Field::new(name, DataType::Utf8, true);
        let schema: SchemaRef = Arc::new(Schema::new(
            self.columns.iter().map(field).collect::<Vec<_>>(),
        ));
        let named = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, name)| wanted(name));
        let mut projection: Vec<usize> = named.map(|(index, _)| index).collect();
        if projection.is_empty() {
            // Rows are counted by a column: without any, a batch could not say how many it has.
            projection.push(0);
        }
        let nulls = self.dialect.nulls.clone();
        let decoder = ReaderBuilder::new(schema)
            .with_format(self.dialect.format())
            .with_batch_size(BATCH_ROWS)
            .with_projection(projection)
            .build_decoder();
        let rows = Rows {
            decoder,
            reached: Position::start(&self.dialect),
            header: self.dialect.header,
            file: self.file.clone(),
        };
        let rows = decode::batches(self.bytes, rows, self.file);
        if nulls.is_empty() {
            return rows;
        }
        rows.map(move |batch| with_nulls(&batch?, &nulls)).boxed()
    }
}

/// The same rows with the NULL words gone.
fn with_nulls(batch: &RecordBatch, words: &[String]) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for column in batch.columns() {
        let column = match column.as_any().downcast_ref::<StringArray>() {
            Some(texts) => {
                let is_word = |text: Option<&str>| {
                    text.is_some_and(|text| words.iter().any(|word| word == text))
                };
                let mask: BooleanArray = texts.iter().map(|text| Some(is_word(text))).collect();
                arrow::compute::nullif(texts, &mask)?
            }
            None => Arc::clone(column),
        };
        columns.push(column);
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}
