//! Parquet: the footer of a file, and its row groups as batches.
//!
//! Knows Parquet; every request is pinned to the content the listing saw.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema, TimeUnit};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use object_store::{GetOptions, GetRange};
use parquet::arrow::ProjectionMask;
pub(super) use parquet::arrow::arrow_reader::ArrowReaderMetadata as Footer;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::basic::Type as PhysicalType;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::bytes::{request, unchanged};
use super::failure;
use super::listing::Found;
use super::place::Place;
use crate::contract::BatchStream;
use crate::error::{Error, Result};

/// How many rows a batch has.
const BATCH_ROWS: usize = 8192;

/// How many bytes at the end of a file are fetched first: most footers fit, so that one request reads them.
const FOOTER_HINT: usize = 64 * 1024;

/// How many ranges of one file are fetched at once.
const PARALLEL_RANGES: usize = 8;

/// Reads ranges of one pinned file.
#[derive(Clone)]
struct Pinned {
    place: Arc<Place>,
    file: Found,
}

impl Pinned {
    async fn range(&self, range: Range<u64>) -> ParquetResult<Bytes> {
        let options: GetOptions = request(&self.file, Some(GetRange::Bounded(range)));
        let external =
            |error| ParquetError::External(Box::new(failure::of_store(error, &self.file.path)));
        let got = self
            .place
            .store
            .get_opts(&self.file.meta.location, options)
            .await
            .map_err(external)?;
        got.bytes().await.map_err(external)
    }
}

impl AsyncFileReader for Pinned {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.range(range).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let reader = self.clone();
        async move {
            let fetch = |range| {
                let reader = reader.clone();
                async move { reader.range(range).await }
            };
            stream::iter(ranges.into_iter().map(fetch))
                .buffered(PARALLEL_RANGES)
                .try_collect()
                .await
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.file.meta.size;
        async move {
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_HINT));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

/// The footer of a file.
pub(super) async fn footer(place: &Arc<Place>, file: &Found) -> Result<Footer> {
    let mut reader = Pinned {
        place: Arc::clone(place),
        file: file.clone(),
    };
    let footer = Footer::load_async(&mut reader, options()).await;
    footer
        .and_then(micros)
        .map_err(|error| of_parquet(error, &file.path))
}

/// The types are taken from Parquet alone: an embedded Arrow schema may name types only its writer needed.
fn options() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}

/// Has the old 96-bit timestamps read in microseconds: in nanoseconds, years beyond 2262 overflow without a word.
fn micros(footer: Footer) -> ParquetResult<Footer> {
    let columns = footer.parquet_schema().columns().iter();
    let old = columns.filter(|column| column.physical_type() == PhysicalType::INT96);
    let old: BTreeSet<&String> = old
        .filter_map(|column| column.path().parts().first())
        .collect();
    if old.is_empty() {
        return Ok(footer);
    }
    let field = |field: &FieldRef| match field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if old.contains(field.name()) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            Arc::new(field.as_ref().clone().with_data_type(micros))
        }
        _ => Arc::clone(field),
    };
    let fields: Vec<FieldRef> = footer.schema().fields().iter().map(field).collect();
    let schema = Arc::new(Schema::new(fields));
    Footer::try_new(Arc::clone(footer.metadata()), options().with_schema(schema))
}

/// The rows of some row groups (of all when `None`), with the columns that `wanted` names.
pub(super) fn rows(
    place: &Arc<Place>,
    file: &Found,
    footer: Footer,
    groups: Option<Range<usize>>,
    wanted: impl Fn(&str) -> bool,
) -> Result<BatchStream> {
    let fields = footer.schema().fields().iter().enumerate();
    let roots: Vec<usize> = fields
        .filter(|(_, field)| wanted(field.name()))
        .map(|(index, _)| index)
        .collect();
    let mask = ProjectionMask::roots(footer.parquet_schema(), roots);
    let reader = Pinned {
        place: Arc::clone(place),
        file: file.clone(),
    };
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, footer)
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS);
    if let Some(groups) = groups {
        builder = builder.with_row_groups(groups.collect());
    }
    let path = file.path.clone();
    let rows = builder.build().map_err(|error| of_parquet(error, &path))?;
    let rows = rows.map_err(move |error| of_parquet(error, &path));
    let (place, file) = (Arc::clone(place), file.clone());
    let check = stream::once(async move { unchanged(&place, &file).await });
    Ok(rows
        .chain(check.filter_map(|result| async move { result.err().map(Err) }))
        .boxed())
}

/// Unwraps our own error where the reader only passed it on.
fn of_parquet(error: ParquetError, path: &str) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(cause) => {
                failure::bad_data("the Parquet file cannot be read", path).caused_by(cause)
            }
        },
        other => failure::bad_data("the Parquet file cannot be read", path).caused_by(other),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, RecordBatch};
    use arrow::datatypes::TimestampMicrosecondType;
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;
    use parquet::data_type::{Int96, Int96Type};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::files::listing::list;
    use crate::files::pattern::Pattern;

    /// The Julian day of 9999-12-31.
    const LAST_DAY: u32 = 5_373_484;

    fn file() -> Vec<u8> {
        let schema = Arc::new(parse_message_type("message m { REQUIRED INT96 at; }").unwrap());
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let mut value = Int96::new();
        value.set_data(0, 0, LAST_DAY);
        let typed = column.typed::<Int96Type>();
        typed.write_batch(&[value], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    #[tokio::test]
    async fn old_timestamps_do_not_overflow() {
        let store = Arc::new(InMemory::new());
        store.put(&"a.parquet".into(), file().into()).await.unwrap();
        let (root, name) = (object_store::path::Path::default(), "memory".to_owned());
        let place = Arc::new(Place { store, root, name });
        let pattern = Pattern::parse("a.parquet").unwrap();
        let found = list(&place, &pattern).await.unwrap();
        let footer = footer(&place, &found[0]).await.unwrap();
        let rows = rows(&place, &found[0], footer, None, |_| true).unwrap();
        let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        let at = rows[0].column(0).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(at.value_as_date(0).unwrap().to_string(), "9999-12-31");
    }
}
