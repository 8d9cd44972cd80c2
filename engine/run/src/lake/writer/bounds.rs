//! Which columns of a file have bounds that may be believed.
//!
//! Parquet's writer cuts long values in its statistics, and the library leaves out the row groups where that was so: the
//! bounds of a file with such a row group and others would be those of the others. A column with a long value gets none.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{DataFileBuilder, Datum};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

/// Bytes of the longest value that statistics hold whole.
pub(super) const LONGEST_BYTES: usize = 256;

/// Notes the columns in which some value is longer than statistics hold, nested ones among them.
pub(super) fn find_long(field: &Field, column: &ArrayRef, found: &mut BTreeSet<i32>) {
    let longest = match column.data_type() {
        DataType::Utf8 => longest(column.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => longest(column.as_string::<i64>().value_offsets()),
        DataType::Binary => longest(column.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => longest(column.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => longest_view(column.as_string_view().views()),
        DataType::BinaryView => longest_view(column.as_binary_view().views()),
        DataType::Dictionary(..) => {
            let values = column.as_any_dictionary().values();
            return find_long(
                &field.clone().with_data_type(values.data_type().clone()),
                values,
                found,
            );
        }
        DataType::Struct(fields) => {
            for (field, column) in fields.iter().zip(column.as_struct().columns()) {
                find_long(field, column, found);
            }
            return;
        }
        DataType::List(field) => return find_long(field, column.as_list::<i32>().values(), found),
        DataType::LargeList(field) => {
            return find_long(field, column.as_list::<i64>().values(), found);
        }
        DataType::Map(entries, _) => {
            let values: ArrayRef = std::sync::Arc::new(column.as_map().entries().clone());
            return find_long(entries, &values, found);
        }
        _ => return,
    };
    if longest > LONGEST_BYTES {
        let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY);
        found.extend(id.and_then(|id| id.parse::<i32>().ok()));
    }
}

fn longest<O: Copy + std::ops::Sub<Output = O> + TryInto<usize>>(offsets: &[O]) -> usize {
    let length = |pair: &[O]| match pair {
        [start, end] => (*end - *start).try_into().unwrap_or(usize::MAX),
        _ => 0,
    };
    offsets.windows(2).map(length).max().unwrap_or(0)
}

/// The length of a value is the lower half of its view's first 64 bits.
fn longest_view(views: &[u128]) -> usize {
    let length = |view: &u128| usize::try_from(*view & u128::from(u32::MAX)).unwrap_or(usize::MAX);
    views.iter().map(length).max().unwrap_or(0)
}

/// Takes the bounds of these columns out of a file's description.
pub(super) fn forget(file: &mut DataFileBuilder, columns: &BTreeSet<i32>) -> Result<()> {
    let described = file.build().map_err(|error| {
        Error::new(ErrorKind::Internal, "a data file lacks its description").caused_by(error)
    })?;
    let kept = |bounds: &HashMap<i32, Datum>| -> HashMap<i32, Datum> {
        let kept = bounds.iter().filter(|(id, _)| !columns.contains(id));
        kept.map(|(id, bound)| (*id, bound.clone())).collect()
    };
    file.lower_bounds(kept(described.lower_bounds()))
        .upper_bounds(kept(described.upper_bounds()));
    Ok(())
}
