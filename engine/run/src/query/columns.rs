//! Arrow columns in the plan's words.

use arrow::datatypes::SchemaRef;
use connectors::Result;
use spec::plan::Column;

use crate::lake::{TableChange, schema_change};

/// The columns of a schema, types in Iceberg's words.
pub(crate) fn columns_of(schema: &SchemaRef) -> Result<Vec<Column>> {
    let TableChange::Create { columns } = schema_change(None, schema)? else {
        return Ok(Vec::new());
    };
    Ok(columns
        .into_iter()
        .map(|column| Column {
            name: column.name,
            r#type: column.type_,
            required: column.required,
        })
        .collect())
}
