//! The order of columns.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{NestedFieldRef, Schema};

/// Puts columns into the order of the rows; those that the rows have not come last, in the order in which they were.
pub(super) fn like_rows(fields: &mut [NestedFieldRef], rows: &SchemaRef) {
    let names = rows.fields().iter().map(|field| field.name().as_str());
    let places: HashMap<&str, usize> = names.zip(0..).collect();
    fields.sort_by_key(|field| {
        let place = places.get(field.name.as_str());
        place.copied().unwrap_or(usize::MAX)
    });
}

/// Refuses rows that have the table's columns in another order.
pub(in crate::lake) fn require_same_order(table: &Schema, rows: &SchemaRef) -> Result<()> {
    let there = table.as_struct().fields().iter();
    let there = there.map(|field| field.name.as_str());
    let there = there.filter(|name| rows.field_with_name(name).is_ok());
    let come = rows.fields().iter().map(|field| field.name().as_str());
    let come = come.filter(|name| table.as_struct().field_by_name(name).is_some());
    let moved = there.zip(come).find(|(there, comes)| there != comes);
    let Some((there, comes)) = moved else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidData,
        format!("the columns come in another order: `{comes}` where the table has `{there}`"),
    )
    .help(
        "allow it with `on_schema_change: { reorder: accept }`, or `keep` the order of the table",
    ))
}
