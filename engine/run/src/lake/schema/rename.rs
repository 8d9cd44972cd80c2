//! Columns that get another name, and stay what they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{NestedField, Schema};

use super::change::with_fields;

/// A table's columns under the names that the rows have, where some differ; `renamed_from` are old names by new ones.
pub(in crate::lake) fn renamed(
    table: &Schema,
    rows: &SchemaRef,
    renamed_from: &BTreeMap<String, String>,
) -> Result<Option<Schema>> {
    let mut fields = table.as_struct().fields().to_vec();
    let mut changed = false;
    for (new, old) in renamed_from {
        require_one_name(rows, new, old)?;
        let has = |name: &str| table.as_struct().field_by_name(name).is_some();
        if has(new) && has(old) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the table has both `{new}` and `{old}`, which is to be renamed to it"),
            )
            .help("remove the line of `renamed_from`, or drop one of the two columns first"));
        }
        let renamed = fields.iter_mut().find(|field| field.name == *old);
        if let Some(field) = renamed.filter(|_| rows.field_with_name(new).is_ok()) {
            *field = Arc::new(NestedField {
                name: new.clone(),
                ..NestedField::clone(field)
            });
            changed = true;
        }
    }
    changed.then(|| with_fields(table, fields)).transpose()
}

/// Of two names of one column the rows have one: with both, nothing would say which of them goes on with it; with none
/// of them the name is a mistake, or that of a part.
fn require_one_name(rows: &SchemaRef, new: &str, old: &str) -> Result<()> {
    let comes = |name: &str| rows.field_with_name(name).is_ok();
    match (comes(new), comes(old)) {
        (true, false) | (false, true) => return Ok(()),
        (true, true) => {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the rows have both `{new}` and `{old}`, which is to be renamed to it"),
            )
            .help(
                "remove the line of `renamed_from`, or leave one of the two out in a transform",
            ));
        }
        (false, false) => {}
    }
    let is_part = |name: &str| {
        let whole = name.split_once('.').map(|(whole, _)| whole);
        whole.is_some_and(|whole| comes(whole) && !comes(name))
    };
    if is_part(old) || is_part(new) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("`{old}` is a part of a column, and only whole columns can be renamed"),
        )
        .help("remove the line of `renamed_from`"));
    }
    let there = rows.fields().iter().map(|field| field.name().as_str());
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("`renamed_from` names column `{new}`, which the rows do not have"),
    )
    .help(format!(
        "they have `{}`",
        there.collect::<Vec<_>>().join("`, `")
    )))
}
