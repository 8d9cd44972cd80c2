//! Files that cannot hold any of a few values of a column, as their own bloom filters tell.
//!
//! A filter is read where the table's properties ask for filters of the column, and only where few values are looked for:
//! of many, some are always taken for ones that are there.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Int32Type, Int64Type, TimestampMicrosecondType};
use connectors::{Error, ErrorKind, Result};
use iceberg::arrow::ArrowFileReader;
use iceberg::io::{FileIO, FileMetadata};
use iceberg::spec::DataFile;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::basic::Type as Physical;

use crate::lake::failure::failed;

/// Values that are remembered; a filter that is wrong once in a hundred times helps with no more.
const MAX_VALUES: usize = 256;

/// The values of a column, as files have them, as long as they are few.
pub(super) struct FewValues(Option<HashSet<Box<[u8]>>>);

/// A column with few values.
pub(super) struct Looked<'a> {
    pub(super) column: i32,
    pub(super) r#type: &'a DataType,
    pub(super) values: &'a FewValues,
}

impl FewValues {
    /// No values yet; none are remembered where nobody will ask.
    pub(super) fn none(wanted: bool) -> Self {
        Self(wanted.then(HashSet::new))
    }

    /// Whether they are all known.
    pub(super) const fn are_known(&self) -> bool {
        self.0.is_some()
    }

    /// Takes in values.
    pub(super) fn add(&mut self, values: &ArrayRef) {
        let Some(known) = &mut self.0 else { return };
        let all = (0..values.len()).all(|row| {
            let Some(value) = stored(values, row) else {
                return false;
            };
            known.insert(value);
            known.len() <= MAX_VALUES
        });
        if !all {
            self.0 = None;
        }
    }
}

/// A value as Parquet stores it; `None` where filters of its type are not asked.
fn stored(values: &ArrayRef, row: usize) -> Option<Box<[u8]>> {
    let bytes: &[u8] = match values.data_type() {
        DataType::Int32 => &values.as_primitive::<Int32Type>().value(row).to_le_bytes(),
        DataType::Date32 => &values.as_primitive::<Date32Type>().value(row).to_le_bytes(),
        DataType::Int64 => &values.as_primitive::<Int64Type>().value(row).to_le_bytes(),
        DataType::Timestamp(..) => {
            let times = values.as_primitive::<TimestampMicrosecondType>();
            &times.value(row).to_le_bytes()
        }
        DataType::Utf8 => values.as_string::<i32>().value(row).as_bytes(),
        DataType::FixedSizeBinary(_) => values.as_fixed_size_binary().value(row),
        _ => return None,
    };
    Some(bytes.into())
}

/// How Parquet stores values of a type.
const fn physical(r#type: &DataType) -> Option<Physical> {
    Some(match r#type {
        DataType::Int32 | DataType::Date32 => Physical::INT32,
        DataType::Int64 | DataType::Timestamp(..) => Physical::INT64,
        DataType::Utf8 => Physical::BYTE_ARRAY,
        DataType::FixedSizeBinary(_) => Physical::FIXED_LEN_BYTE_ARRAY,
        _ => return None,
    })
}

/// Whether a file may hold a row that has one of the values in each of these columns.
pub(super) async fn may_hold(
    file_io: &FileIO,
    file: &DataFile,
    looked: &[Looked<'_>],
) -> Result<bool> {
    let path = file.file_path();
    let unreadable = |error| failed("a file of the table cannot be read")(error).with("file", path);
    let malformed = |error: parquet::errors::ParquetError| {
        Error::new(ErrorKind::InvalidData, "a file of the table cannot be read")
            .with("file", path)
            .caused_by(error)
    };
    let input = file_io.new_input(path).map_err(unreadable)?;
    let reader = input.reader().await.map_err(unreadable)?;
    let size = file.file_size_in_bytes();
    let reader = ArrowFileReader::new(FileMetadata { size }, Box::new(reader));
    let opened = ParquetRecordBatchStreamBuilder::new(reader).await;
    let mut opened = opened.map_err(malformed)?;
    let columns = opened.parquet_schema().columns().to_vec();
    'group: for group in 0..opened.metadata().num_row_groups() {
        for one in looked {
            let FewValues(Some(values)) = one.values else {
                continue;
            };
            // Files from before a wider type have other values.
            let at = columns.iter().position(|column| {
                let own = column.self_type().get_basic_info();
                own.has_id()
                    && own.id() == one.column
                    && Some(column.physical_type()) == physical(one.r#type)
            });
            let Some(at) = at else { continue };
            let filter = opened.get_row_group_column_bloom_filter(group, at).await;
            if let Some(filter) = filter.map_err(malformed)?
                && !values.iter().any(|value| filter.check(&**value))
            {
                continue 'group;
            }
        }
        return Ok(true);
    }
    Ok(false)
}
