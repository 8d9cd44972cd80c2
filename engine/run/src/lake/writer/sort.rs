//! Sorts a run of rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take_record_batch};
use connectors::Result;
use iceberg::spec::{NullOrder, Schema, SortDirection, SortOrder};

/// A column to sort by.
pub(super) struct SortKey {
    column: String,
    options: SortOptions,
}

/// The columns of a sort order. Only columns themselves: our sort orders have no other transform.
pub(super) fn sort_keys(order: &SortOrder, schema: &Schema) -> Vec<SortKey> {
    let key = |field: &iceberg::spec::SortField| {
        Some(SortKey {
            column: schema.name_by_field_id(field.source_id)?.to_owned(),
            options: SortOptions {
                descending: field.direction == SortDirection::Descending,
                nulls_first: field.null_order == NullOrder::First,
            },
        })
    };
    order.fields.iter().filter_map(key).collect()
}

/// The rows in order.
pub(super) fn sorted(rows: &RecordBatch, keys: &[SortKey]) -> Result<RecordBatch> {
    let column = |key: &SortKey| {
        let values = Arc::clone(rows.column_by_name(&key.column)?);
        Some(SortColumn {
            values,
            options: Some(key.options),
        })
    };
    let columns: Vec<SortColumn> = keys.iter().filter_map(column).collect();
    let order = lexsort_to_indices(&columns, None)?;
    Ok(take_record_batch(rows, &order)?)
}
