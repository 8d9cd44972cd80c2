//! Gives batches the columns of a table: order, types, identifiers; NULL where the rows have no such column.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema as ArrowSchema, SchemaRef};
use connectors::{Error, ErrorKind, Result};

/// A value that does not fit is an error, never NULL.
const STRICT: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: arrow::util::display::FormatOptions::new(),
};

/// The way from the rows' columns to the table's, worked out once for all batches.
pub(in crate::lake) struct Conform {
    from: SchemaRef,
    to: SchemaRef,
    steps: Vec<Step>,
}

/// How one column of the table is made.
enum Step {
    /// The rows' column as it is.
    Take(usize),
    /// The rows' column in another type.
    Cast(usize, DataType),
    /// No column of the rows.
    Null(DataType),
}

impl Conform {
    /// The way between two schemas. Columns named in `exact` get the table's type to the letter; the Parquet writer
    /// takes others in any of Arrow's layouts of strings and bytes, which saves a copy.
    pub(in crate::lake) fn between(
        from: &SchemaRef,
        table: &ArrowSchema,
        exact: &BTreeSet<String>,
    ) -> Result<Self> {
        let mut steps = Vec::with_capacity(table.fields().len());
        let mut fields = Vec::with_capacity(table.fields().len());
        for field in table.fields() {
            let Some((index, found)) = from.column_with_name(field.name()) else {
                if !field.is_nullable() {
                    return Err(Error::new(
                        ErrorKind::InvalidData,
                        format!(
                            "column `{}` of the table is required and not in the rows",
                            field.name()
                        ),
                    ));
                }
                steps.push(Step::Null(field.data_type().clone()));
                fields.push(Arc::clone(field));
                continue;
            };
            let same = found.data_type() == field.data_type();
            if same
                || (!exact.contains(field.name())
                    && same_values(found.data_type(), field.data_type()))
            {
                steps.push(Step::Take(index));
                let kept = field
                    .as_ref()
                    .clone()
                    .with_data_type(found.data_type().clone());
                fields.push(Arc::new(kept));
            } else {
                steps.push(Step::Cast(index, field.data_type().clone()));
                fields.push(Arc::clone(field));
            }
        }
        Ok(Self {
            from: Arc::clone(from),
            to: Arc::new(ArrowSchema::new(fields)),
            steps,
        })
    }

    /// Whether this is the way for batches of this schema.
    pub(in crate::lake) fn is_from(&self, schema: &SchemaRef) -> bool {
        Arc::ptr_eq(&self.from, schema) || self.from == *schema
    }

    /// A batch in the table's columns.
    pub(in crate::lake) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.steps.len());
        for (step, field) in self.steps.iter().zip(self.to.fields()) {
            columns.push(match step {
                Step::Take(index) => Arc::clone(batch.column(*index)),
                Step::Null(type_) => new_null_array(type_, batch.num_rows()),
                Step::Cast(index, type_) => cast_with_options(batch.column(*index), type_, &STRICT)
                    .map_err(|error| {
                        let message = format!(
                            "a value of column `{}` does not fit the table",
                            field.name()
                        );
                        Error::new(ErrorKind::InvalidData, message)
                            .with("type", type_)
                            .help("cast the column in a transform before, `TRY_CAST(… AS …)` for NULL where it does not fit")
                            .caused_by(error)
                    })?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.to), columns, &options).map_err(
            |error| {
                Error::new(
                    ErrorKind::InvalidData,
                    "the rows do not fit the columns of the table",
                )
                .caused_by(error)
            },
        )
    }
}

/// Whether two types are layouts of the same values as far as the Parquet writer cares.
fn same_values(found: &DataType, wanted: &DataType) -> bool {
    let found = match found {
        DataType::Dictionary(_, values) => values.as_ref(),
        plain => plain,
    };
    match wanted {
        DataType::Utf8 => matches!(
            found,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
        DataType::LargeBinary => {
            matches!(
                found,
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView
            )
        }
        _ => false,
    }
}
