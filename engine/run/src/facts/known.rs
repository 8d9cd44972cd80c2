//! The columns by which a load knows the rows that its table has already.

use arrow::datatypes::{DataType, SchemaRef};
use connectors::{Error, ErrorKind, Result};
use spec::model::Dedupe;

use super::{require_exact, require_free_names, require_key, require_named};
use crate::lake::LakeTable;

/// The columns by which rows are known must be among those that are read.
pub(super) fn require_dedupe_columns(dedupe: &Dedupe, rows: &SchemaRef) -> Result<()> {
    let named = [("key", dedupe.key.as_slice()), ("by", dedupe.by.as_slice())];
    require_named(&named, rows)?;
    require_free_names(rows)?;
    require_exact(&dedupe.key, rows)?;
    let Some(by) = &dedupe.by else {
        return Ok(());
    };
    let r#type = rows.field_with_name(by)?.data_type();
    if dedupe.within.is_some() {
        return require_times(by, r#type);
    }
    if r#type.is_nested() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`by` names column `{by}`, whose values have no order"),
        )
        .help("name a column of plain values"));
    }
    Ok(())
}

/// Rows of a table that lacks a column of the key, or has no times where they count, are never known again.
pub(super) fn require_known(dedupe: &Dedupe, table: &LakeTable) -> Result<()> {
    require_key(&dedupe.key, table)?;
    let by = dedupe.by.as_ref().filter(|_| dedupe.within.is_some());
    let Some(by) = by.filter(|_| table.snapshot_id().is_some()) else {
        return Ok(());
    };
    match table.arrow_schema().field_with_name(by) {
        Ok(field) => {
            require_times(by, field.data_type()).map_err(|error| error.with("table", table.id()))
        }
        Err(_) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the table has no column `{by}`, whose times tell which rows are the same"),
        )
        .with("table", table.id())
        .help("name a column that it has, or leave out `within`")),
    }
}

/// Only times and days lie a duration apart.
fn require_times(by: &str, r#type: &DataType) -> Result<()> {
    if matches!(
        r#type,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64
    ) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("`within` needs a time or a date, and column `{by}` is `{type}`"),
    )
    .help("cast it in a transform before, or leave out `within`"))
}
