//! Position deletes: files that list rows of a data file that count no more.
//!
//! The format is that of Iceberg's version 2: <https://iceberg.apache.org/spec/#position-delete-files>. One file of ours
//! lists rows of one data file, and names it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use connectors::{Error, ErrorKind, Result};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::io::FileIO;
use iceberg::spec::{DataContentType, DataFile, NestedField, PrimitiveType, Schema, Type};
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriterBuilder};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use roaring::RoaringTreemap;

use super::candidates::Candidate;
use crate::lake::failure::failed;

/// Identifiers that the format reserves for the two columns.
const FILE_PATH: (i32, &str) = (2_147_483_546, "file_path");
const POS: (i32, &str) = (2_147_483_545, "pos");
/// Rows written at a time.
const BATCH_ROWS: usize = 64 * 1024;

/// Takes in the rows that a delete file lists, of those data files that `gone` knows.
pub(super) async fn read(
    file_io: &FileIO,
    path: &str,
    gone: &mut HashMap<String, RoaringTreemap>,
) -> Result<()> {
    let unreadable =
        |error: iceberg::Error| failed("a delete file cannot be read")(error).with("file", path);
    let malformed = |what: &str| {
        Error::new(ErrorKind::InvalidData, "a delete file cannot be understood")
            .with("file", path)
            .with("reason", what)
    };
    let input = file_io.new_input(path).map_err(unreadable)?;
    let bytes = input.read().await.map_err(unreadable)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(|error| malformed("it is no Parquet file").caused_by(error))?;
    for batch in reader {
        let batch = batch?;
        let column = |(_, name): (i32, &str), r#type| -> Result<ArrayRef> {
            let column = batch.column_by_name(name);
            let column = column.ok_or_else(|| malformed("a column is missing"))?;
            Ok(cast(column, &r#type)?)
        };
        let (files, places) = (
            column(FILE_PATH, DataType::Utf8)?,
            column(POS, DataType::Int64)?,
        );
        let (files, places) = (files.as_string::<i32>(), places.as_primitive::<Int64Type>());
        for (file, place) in files.iter().zip(places) {
            if let Some(gone) = file.and_then(|file| gone.get_mut(file)) {
                let place = place.and_then(|place| u64::try_from(place).ok());
                gone.insert(place.ok_or_else(|| malformed("a position is negative"))?);
            }
        }
    }
    Ok(())
}

/// Writes a file that lists these rows of a data file.
pub(super) async fn write(
    file_io: &FileIO,
    path: String,
    of: &Candidate,
    gone: &RoaringTreemap,
) -> Result<DataFile> {
    let unwritable = |error: iceberg::Error| {
        failed("a delete file cannot be written")(error).with("file", &path)
    };
    let data_file = of.live.file.file_path();
    let schema = Arc::new(columns().map_err(unwritable)?);
    let arrow = Arc::new(schema_to_arrow_schema(&schema).map_err(unwritable)?);
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let output = file_io.new_output(&path).map_err(unwritable)?;
    let mut writer = ParquetWriterBuilder::new(properties.build(), schema)
        .build(output)
        .await
        .map_err(unwritable)?;
    let mut places = gone.iter();
    loop {
        let some: Int64Array = places
            .by_ref()
            .take(BATCH_ROWS)
            .filter_map(|place| i64::try_from(place).ok())
            .map(Some)
            .collect();
        if some.is_empty() {
            break;
        }
        let files = StringArray::from_iter_values(std::iter::repeat_n(data_file, some.len()));
        let batch =
            RecordBatch::try_new(Arc::clone(&arrow), vec![Arc::new(files), Arc::new(some)])?;
        writer.write(&batch).await.map_err(unwritable)?;
    }
    let mut written = writer.close().await.map_err(unwritable)?;
    let mut file = written.pop().ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "a delete file without rows was written",
        )
    })?;
    file.content(DataContentType::PositionDeletes)
        .partition(of.live.file.partition().clone())
        .partition_spec_id(of.live.spec.spec_id())
        .referenced_data_file(Some(data_file.to_owned()));
    file.build().map_err(|error| {
        Error::new(ErrorKind::Internal, "a delete file lacks its description").caused_by(error)
    })
}

fn columns() -> iceberg::Result<Schema> {
    let field = |(id, name): (i32, &str), r#type| {
        Arc::new(NestedField::required(id, name, Type::Primitive(r#type)))
    };
    Schema::builder()
        .with_fields([
            field(FILE_PATH, PrimitiveType::String),
            field(POS, PrimitiveType::Long),
        ])
        .build()
}
