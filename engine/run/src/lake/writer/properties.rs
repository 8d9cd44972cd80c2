//! How Parquet files are encoded.

use std::collections::HashSet;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{RowConverter, SortField};
use connectors::{Error, ErrorKind, Result};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::bloom::Blooms;
use super::bounds::LONGEST_BYTES;

/// Rows of a row group at most: what one reader thread takes at a time, and what a sorted run is.
pub(super) const ROW_GROUP_ROWS: usize = 256 * 1024;
/// Encoded bytes of a row group at most; it is in memory until it is full.
pub(super) const ROW_GROUP_BYTES: usize = 32 << 20;
/// Level 3 takes a tenth more processor time to write `lineitem`, for files half a percent smaller.
const ZSTD_LEVEL: i32 = 1;
/// Rows of a page at most; pages end at a megabyte before that in most columns.
const PAGE_ROWS: usize = 128 * 1024;
/// Rows of a page at most where many files are open: what waits for the end of a page is several times larger than
/// the page.
const PARTITIONED_PAGE_ROWS: usize = 4096;
/// Rows looked at to choose encodings.
const SAMPLE_ROWS: usize = 8192;
/// A dictionary pays as long as fewer than this share of the sampled values are different, in percent.
const DICTIONARY_MAX_DISTINCT_PERCENT: usize = 80;

/// How a file is encoded that begins with these rows.
///
/// A column whose values are nearly all different gets no dictionary: the writer would build one for every row group,
/// find it too large, and drop it.
pub(super) fn properties(
    first: &RecordBatch,
    partitioned: bool,
    blooms: &Blooms,
) -> Result<WriterProperties> {
    let page_rows = if partitioned {
        PARTITIONED_PAGE_ROWS
    } else {
        PAGE_ROWS
    };
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| {
        Error::new(ErrorKind::Internal, "the compression level does not exist").caused_by(error)
    })?;
    let mut builder = WriterProperties::builder()
        .set_created_by(concat!("lakewright ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_data_page_row_count_limit(page_rows)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(LONGEST_BYTES));
    let sample = first.slice(0, first.num_rows().min(SAMPLE_ROWS));
    for (field, column) in sample.schema().fields().iter().zip(sample.columns()) {
        if !field.data_type().is_nested() && nearly_unique(column)? {
            let path = ColumnPath::from(field.name().as_str());
            builder = builder.set_column_dictionary_enabled(path, false);
        }
    }
    Ok(blooms.set(builder).build())
}

/// Whether nearly all values are different.
fn nearly_unique(column: &ArrayRef) -> Result<bool> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    let rows = converter.convert_columns(&[ArrayRef::clone(column)])?;
    let distinct: HashSet<&[u8]> = rows.iter().map(|row| row.data()).collect();
    let enough = column.len() >= SAMPLE_ROWS / 8;
    Ok(enough && distinct.len() * 100 > column.len() * DICTIONARY_MAX_DISTINCT_PERCENT)
}
