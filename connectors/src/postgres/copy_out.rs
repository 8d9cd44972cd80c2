//! The rows of a `COPY … TO STDOUT (FORMAT binary)` as batches.
//!
//! Knows the framing of rows and when a batch is full; the columns are filled by [`Decoder`].

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use futures::stream;

use super::decode::{Decoder, Reject};
use super::failure::{protocol, server_error};
use super::kind::Kind;
use super::server::Reader;
use super::sql;
use crate::contract::BatchStream;
use crate::error::{Error, ErrorKind, Result};

/// Rows in a batch, at most.
const BATCH_ROWS: usize = 8192;
/// Bytes on the wire after which a batch ends early.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// What a binary `COPY` begins with; flags and the length of an extension follow, four bytes each.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Rows on their way into a batch.
pub(super) struct Tuples {
    schema: SchemaRef,
    kinds: Vec<Kind>,
    columns: Vec<Decoder>,
    begun: bool,
    rows: usize,
    bytes: usize,
    /// Rows in the batches before.
    before: usize,
}

impl Tuples {
    /// No rows yet, of these columns.
    pub(super) fn new(schema: SchemaRef, kinds: Vec<Kind>) -> Self {
        let columns = kinds
            .iter()
            .map(|kind| Decoder::new(kind, BATCH_ROWS))
            .collect();
        Self {
            schema,
            kinds,
            columns,
            begun: false,
            rows: 0,
            bytes: 0,
            before: 0,
        }
    }

    fn full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Takes the content of a message: whole rows, the first message with the file header before them.
    fn take(&mut self, mut data: &[u8]) -> Result<()> {
        self.bytes += data.len();
        if !self.begun {
            data = after_header(data).ok_or_else(|| protocol("the header of a copy"))?;
            self.begun = true;
        }
        while let Some((count, rest)) = data.split_first_chunk::<2>() {
            let count = i16::from_be_bytes(*count);
            if count == -1 {
                return Ok(());
            }
            if usize::try_from(count) != Ok(self.columns.len()) {
                return Err(protocol("the number of columns of a row"));
            }
            data = self.row(rest)?;
            self.rows += 1;
        }
        if data.is_empty() {
            Ok(())
        } else {
            Err(cut_off())
        }
    }

    #[inline]
    fn row<'a>(&mut self, mut data: &'a [u8]) -> Result<&'a [u8]> {
        for (index, column) in self.columns.iter_mut().enumerate() {
            let (length, rest) = data.split_first_chunk::<4>().ok_or_else(cut_off)?;
            data = rest;
            let pushed = match usize::try_from(i32::from_be_bytes(*length)) {
                Ok(length) => {
                    let (value, rest) = data.split_at_checked(length).ok_or_else(cut_off)?;
                    data = rest;
                    column.push(value)
                }
                Err(_) => column.push_null(),
            };
            if let Err(reject) = pushed {
                return Err(self.rejected(reject, index));
            }
        }
        Ok(data)
    }

    /// The batch of what was taken; `None` where that is nothing.
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            columns.push(column.finish(BATCH_ROWS).map_err(|error| {
                Error::new(
                    ErrorKind::InvalidData,
                    "a value is not what its column says",
                )
                .with("column", field.name())
                .with(
                    "rows",
                    format!("{}..{}", self.before, self.before + self.rows),
                )
                .caused_by(error)
            })?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.before += self.rows;
        self.rows = 0;
        self.bytes = 0;
        Ok(Some(batch))
    }

    #[cold]
    fn rejected(&self, reject: Reject, column: usize) -> Error {
        let name = self
            .schema
            .fields()
            .get(column)
            .map_or("", |field| field.name());
        let row = self.before + self.rows + 1;
        let (kind, what, help) = explain(reject, self.kinds.get(column), &sql::identifier(name));
        let error = Error::new(kind, format!("column `{name}` holds {what}")).with("row", row);
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }
}

/// Servers send every row in a message of its own. The protocol lets them cut rows; putting those together again would
/// cost every row a copy for a case that no server is known to make.
#[cold]
fn cut_off() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the server sent a row in more than one message",
    )
    .help("connect to the server itself, without a proxy that rewrites its messages")
}

fn explain(
    reject: Reject,
    kind: Option<&Kind>,
    column: &str,
) -> (ErrorKind, &'static str, Option<String>) {
    let free = matches!(kind, Some(Kind::Numeric { free: true, .. }));
    let number = |what| {
        let help = if free {
            format!(
                "the column declares no precision; read a query that casts it: `{column}::numeric(38, 9)`, or `::text`"
            )
        } else {
            format!("read a query that casts it: `{column}::text`")
        };
        (ErrorKind::InvalidData, what, Some(help))
    };
    match reject {
        Reject::Malformed => (
            ErrorKind::Internal,
            "a value that is not in the form of its type",
            None,
        ),
        Reject::NotANumber => (
            ErrorKind::InvalidData,
            "NaN, which no decimal column can",
            Some(format!(
                "read a query that makes it NULL: `nullif({column}, 'NaN')`"
            )),
        ),
        Reject::Infinite if matches!(kind, Some(Kind::Numeric { .. })) => (
            ErrorKind::InvalidData,
            "an infinite number, which no decimal column can",
            Some(format!(
                "read a query that makes it NULL: `nullif(nullif({column}, 'Infinity'), '-Infinity')`"
            )),
        ),
        Reject::Infinite => (
            ErrorKind::InvalidData,
            "`infinity` or `-infinity`, which is no moment",
            Some(format!(
                "read a query that makes it NULL: `CASE WHEN isfinite({column}) THEN {column} END`"
            )),
        ),
        Reject::TooLarge => number("a value with more digits than are read"),
        Reject::TooPrecise => number("a value with more digits behind the point than are read"),
        Reject::OutOfRange => (ErrorKind::InvalidData, "a time beyond what is read", None),
        Reject::EndOfDay => (
            ErrorKind::InvalidData,
            "`24:00:00`, which is no time of a day",
            Some(format!(
                "read a query that casts it: `{column}::text`, or `{column}::interval`"
            )),
        ),
        Reject::ManyDimensions => (
            ErrorKind::InvalidData,
            "an array of more than one dimension",
            Some(format!(
                "read a query that writes it as JSON: `to_json({column})`"
            )),
        ),
    }
}

fn after_header(data: &[u8]) -> Option<&[u8]> {
    let (_flags, data) = data.strip_prefix(SIGNATURE)?.split_first_chunk::<4>()?;
    let (extension, data) = data.split_first_chunk::<4>()?;
    data.get(usize::try_from(i32::from_be_bytes(*extension)).ok()?..)
}

/// A copy that is running. Dropping it stops the server.
struct CopyOut {
    session: Reader,
    tuples: Tuples,
    ended: bool,
}

/// Starts a copy in a session that is in its transaction, and gives its rows.
pub(super) async fn stream(
    mut session: Reader,
    select: &str,
    tuples: Tuples,
) -> Result<BatchStream> {
    session
        .start(&format!("COPY ({select}) TO STDOUT (FORMAT binary)"))
        .await?;
    let copy = CopyOut {
        session,
        tuples,
        ended: false,
    };
    Ok(Box::pin(stream::try_unfold(copy, |mut copy| async move {
        let batch = copy.next().await?;
        Ok(batch.map(|batch| (batch, copy)))
    })))
}

impl Drop for CopyOut {
    fn drop(&mut self) {
        self.session.stop();
    }
}

impl CopyOut {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.ended {
            return Ok(None);
        }
        loop {
            while let Some(message) = self.session.buffered()? {
                let body = self.session.body(&message);
                match message.tag {
                    b'd' => {
                        self.tuples.take(body)?;
                        if self.tuples.full() {
                            return self.tuples.batch();
                        }
                    }
                    b'Z' => {
                        self.ended = true;
                        return self.tuples.batch();
                    }
                    b'E' => {
                        self.ended = true;
                        return Err(
                            server_error(body).with("row", format!("after {}", self.tuples.before))
                        );
                    }
                    _ => {}
                }
            }
            if let Err(error) = self.session.fill().await {
                self.ended = true;
                return Err(error.with("row", format!("after {}", self.tuples.before)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;

    use super::*;

    fn tuples(kind: Kind) -> Tuples {
        let schema = Arc::new(Schema::new(vec![kind.field("n", true)]));
        Tuples::new(schema, vec![kind])
    }

    fn header() -> Vec<u8> {
        [SIGNATURE, &[0; 8]].concat()
    }

    #[test]
    fn rows_follow_the_header_until_the_trailer() {
        let mut tuples = tuples(Kind::Int4);
        tuples
            .take(&[&header(), &[0, 1, 0, 0, 0, 4, 0, 0, 0, 7][..]].concat())
            .unwrap();
        tuples.take(&[0, 1, 255, 255, 255, 255]).unwrap();
        tuples.take(&[255, 255]).unwrap();
        let batch = tuples.batch().unwrap().unwrap();
        assert_eq!((batch.num_rows(), batch.column(0).null_count()), (2, 1));
        assert!(tuples.batch().unwrap().is_none());
    }

    #[test]
    fn a_refused_value_names_its_column_and_row() {
        let mut tuples = tuples(Kind::Numeric {
            precision: 38,
            scale: 9,
            free: true,
        });
        tuples
            .take(&[&header(), &[0, 1, 255, 255, 255, 255][..]].concat())
            .unwrap();
        let error = tuples
            .take(&[0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0xc0, 0, 0, 0])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            error.to_string(),
            "column `n` holds NaN, which no decimal column can (row: 2)"
        );
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(tuples(Kind::Int4).take(b"PGCOPY").is_err());
        let mut tuples = tuples(Kind::Int4);
        tuples.take(&header()).unwrap();
        assert!(tuples.take(&[0, 1, 0, 0, 0, 9, 1]).is_err());
        assert!(tuples.take(&[0, 2]).is_err());
    }
}
