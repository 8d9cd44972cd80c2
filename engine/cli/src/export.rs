//! Rows as CSV, JSON or Parquet.
//!
//! Knows formats; knows nothing of where rows come from and where the bytes go.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use connectors::{Error, ErrorKind};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::exit::Failure;
use crate::screen::unwritten;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line, NULLs written out.
    Json,
    /// Parquet, compressed with zstd.
    Parquet,
}

/// Rows on their way out.
pub(crate) struct Export {
    writer: Writer,
    rows: u64,
    broken: Broken,
}

/// Why the destination took no more. The formats' own errors tell it in words only.
type Broken = Arc<Mutex<Option<io::Error>>>;

/// A destination that remembers why it took no more.
struct Remembering {
    to: Box<dyn Write + Send>,
    broken: Broken,
}

impl Remembering {
    fn remember<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| {
            let kind = error.kind();
            *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            kind.into()
        })
    }
}

impl Write for Remembering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.to.write(bytes);
        self.remember(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.to.flush();
        self.remember(outcome)
    }
}

enum Writer {
    Csv(Box<csv::Writer<Remembering>>),
    Json(LineDelimitedWriter<Remembering>),
    Parquet(Box<ArrowWriter<Remembering>>),
}

impl Export {
    /// Begins to write rows of these columns.
    pub(crate) fn start(
        form: Form,
        schema: &SchemaRef,
        to: Box<dyn Write + Send>,
    ) -> Result<Self, Failure> {
        let broken = Broken::default();
        let to = Remembering {
            to,
            broken: Arc::clone(&broken),
        };
        let writer = match form {
            Form::Csv => {
                let mut writer = csv::WriterBuilder::new().with_header(true).build(to);
                // A batch without rows writes the header, so that an empty answer has one too.
                writer
                    .write(&RecordBatch::new_empty(SchemaRef::clone(schema)))
                    .map_err(|error| failed(&broken, error))?;
                Writer::Csv(Box::new(writer))
            }
            Form::Json => Writer::Json(
                WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, LineDelimited>(to),
            ),
            Form::Parquet => {
                let compression = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder()
                    .set_compression(compression)
                    .build();
                let writer = ArrowWriter::try_new(to, SchemaRef::clone(schema), Some(properties));
                Writer::Parquet(Box::new(writer.map_err(|error| failed(&broken, error))?))
            }
        };
        Ok(Self {
            writer,
            rows: 0,
            broken,
        })
    }

    /// Writes rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.rows += batch.num_rows() as u64;
        let broken = &self.broken;
        match &mut self.writer {
            Writer::Csv(writer) => writer.write(batch).map_err(|error| failed(broken, error)),
            Writer::Json(writer) => writer.write(batch).map_err(|error| failed(broken, error)),
            Writer::Parquet(writer) => writer.write(batch).map_err(|error| failed(broken, error)),
        }
    }

    /// Ends the answer and says how many rows it has.
    pub(crate) fn finish(self) -> Result<u64, Failure> {
        match self.writer {
            Writer::Csv(writer) => writer.into_inner().flush().map_err(unwritten)?,
            Writer::Json(mut writer) => {
                writer
                    .finish()
                    .map_err(|error| failed(&self.broken, error))?;
                writer.into_inner().flush().map_err(unwritten)?;
            }
            Writer::Parquet(mut writer) => {
                writer
                    .finish()
                    .map_err(|error| failed(&self.broken, error))?;
                writer.inner_mut().flush().map_err(unwritten)?;
            }
        }
        Ok(self.rows)
    }
}

/// What it means that a format could not be written: the destination's reason, where it has one.
fn failed(broken: &Broken, error: impl StdError + Send + Sync + 'static) -> Failure {
    let reason = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
    reason.map_or_else(|| refused(error), unwritten)
}

fn refused(source: impl StdError + Send + Sync + 'static) -> Failure {
    Error::new(
        ErrorKind::Unsupported,
        "the rows cannot be written in this format",
    )
    .help("cast nested columns to text, or choose another `--format`")
    .caused_by(source)
    .into()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batch() -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("amount", DataType::Decimal128(10, 2), true),
        ]);
        let amounts = Decimal128Array::from(vec![Some(1250), None])
            .with_precision_and_scale(10, 2)
            .unwrap();
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 2])),
            Arc::new(StringArray::from(vec![Some("a, b"), None])),
            Arc::new(amounts),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn written(form: Form, batches: &[RecordBatch]) -> Vec<u8> {
        let to = Shared::default();
        let Ok(mut export) = Export::start(form, &batch().schema(), Box::new(to.clone())) else {
            panic!("starts")
        };
        for batch in batches {
            assert!(export.write(batch).is_ok());
        }
        let rows = export.finish().unwrap_or_else(|_| panic!("finishes"));
        assert_eq!(rows, batches.len() as u64 * 2);
        std::mem::take(&mut *to.0.lock().unwrap())
    }

    #[test]
    fn csv_has_one_header_even_without_rows() {
        let text =
            |batches: &[RecordBatch]| String::from_utf8(written(Form::Csv, batches)).unwrap();
        assert_eq!(text(&[]), "id,name,amount\n");
        assert_eq!(text(&[batch()]), "id,name,amount\n1,\"a, b\",12.50\n2,,\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = String::from_utf8(written(Form::Json, &[batch()])).unwrap();
        let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(
            second,
            serde_json::json!({ "id": 2, "name": null, "amount": null })
        );
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        for form in [Form::Csv, Form::Json, Form::Parquet] {
            let outcome =
                Export::start(form, &batch().schema(), Box::new(Gone)).and_then(|mut export| {
                    export.write(&batch())?;
                    export.finish()
                });
            assert!(matches!(outcome, Err(Failure::Unread)), "{form:?}");
        }
    }

    #[test]
    fn parquet_is_whole() {
        let bytes = written(Form::Parquet, &[batch()]);
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    }
}
