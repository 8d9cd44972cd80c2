//! Batches of one file, made to fit the schema of the scan: columns by name, types by cast.
//!
//! Knows columns; knows nothing of formats. What does not fit is an error that names file, column and row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::util::display::FormatOptions;

use super::failure;
use super::normal::{normal, widen};
use crate::column_type::word;
use crate::error::{Error, Result};

/// How strictly the types of a file must be those of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    /// The file has texts: whatever can be read as the type is.
    Texts,
    /// The file has types and the user declared others: whatever can be cast is, and a value that cannot is an error.
    Declared,
    /// The file has types and the schema came from such files: only widening is allowed.
    Inferred,
}

/// Makes the batches of one file fit.
pub(super) struct Conform {
    /// The schema to fit.
    pub(super) target: SchemaRef,
    /// The file, for messages.
    pub(super) file: String,
    /// Columns whose value the path gives; NULL as `None`.
    pub(super) constants: BTreeMap<String, Option<String>>,
    /// How strict to be.
    pub(super) typing: Typing,
    /// Rows seen so far.
    pub(super) rows: usize,
}

impl Conform {
    /// The next batch of the file.
    pub(super) fn apply(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.target.fields().len());
        for field in self.target.fields() {
            let column = self.column(batch, field)?;
            if !field.is_nullable() && column.null_count() > 0 {
                let row = (0..column.len())
                    .find(|&row| column.is_null(row))
                    .unwrap_or_default();
                return Err(self.fault("is NULL where the schema allows none", field, Some(row)));
            }
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        self.rows += batch.num_rows();
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.target),
            columns,
            &options,
        )?)
    }

    fn column(&self, batch: &RecordBatch, field: &Field) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        if let Some(value) = self.constants.get(field.name()) {
            let texts: ArrayRef = Arc::new(StringArray::from(vec![value.as_deref(); rows]));
            return self.cast(&texts, field);
        }
        match batch.column_by_name(field.name()) {
            Some(column) => {
                self.check(column.data_type(), field)?;
                self.cast(column, field)
            }
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
            None => Err(self.fault(
                "is missing, and the schema does not allow NULL",
                field,
                None,
            )),
        }
    }

    /// Whether a column of the file may become a column of the schema at all.
    fn check(&self, from: &DataType, field: &Field) -> Result<()> {
        let to = field.data_type();
        let fits = match self.typing {
            Typing::Texts | Typing::Declared => can_cast_types(from, to),
            Typing::Inferred => normal(from)
                .and_then(|from| widen(&from, to))
                .is_some_and(|wide| wide == *to),
        };
        if fits {
            return Ok(());
        }
        let what = format!(
            "is {} in this file and {} in the others",
            word(from),
            word(to)
        );
        Err(self
            .fault(&what, field, None)
            .help("read these files apart, or declare `schema:`"))
    }

    fn cast(&self, column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let strict = CastOptions {
            safe: false,
            format_options: FormatOptions::default(),
        };
        cast_with_options(column, field.data_type(), &strict).map_err(|error| {
            // Only the failing batch is looked at again, value by value, to name the row.
            let lenient = CastOptions {
                safe: true,
                format_options: FormatOptions::default(),
            };
            let cast = cast_with_options(column, field.data_type(), &lenient).ok();
            let row = cast.and_then(|cast| {
                (0..column.len()).find(|&row| column.is_valid(row) && cast.is_null(row))
            });
            let what = format!("has a value that is no {}", word(field.data_type()));
            self.fault(&what, field, row).caused_by(error)
        })
    }

    fn fault(&self, what: &str, field: &Field, row: Option<usize>) -> Error {
        let error = failure::bad_data(format!("the column `{}` {what}", field.name()), &self.file);
        match row {
            Some(row) => error
                .with("row", self.rows + row + 1)
                .help("correct the file, or declare the column with another type in `schema:`"),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::datatypes::Schema;

    use super::*;
    use crate::error::ErrorKind;

    fn conform(target: Field, typing: Typing) -> Conform {
        Conform {
            target: Arc::new(Schema::new(vec![target])),
            file: "a.csv".to_owned(),
            constants: BTreeMap::new(),
            typing,
            rows: 8192,
        }
    }

    fn one(name: &str, column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap()
    }

    #[test]
    fn a_bad_value_is_named_with_its_row() {
        let batch = one("a", Arc::new(StringArray::from(vec!["1", "x"])));
        let mut conform = conform(Field::new("a", DataType::Int64, true), Typing::Texts);
        let error = conform.apply(&batch).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the column `a` has a value that is no long (file: a.csv, row: 8194)"
        );
    }

    #[test]
    fn a_missing_column_is_null_where_it_may_be() {
        let batch = one("b", Arc::new(Int32Array::from(vec![1])));
        let got = conform(Field::new("a", DataType::Int64, true), Typing::Inferred)
            .apply(&batch)
            .unwrap();
        assert_eq!(got.column(0).null_count(), 1);
        let error =
            conform(Field::new("a", DataType::Int64, false), Typing::Inferred).apply(&batch);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn narrowing_is_refused_unless_declared() {
        let batch = one("a", Arc::new(arrow::array::Int64Array::from(vec![1])));
        let narrow = Field::new("a", DataType::Int32, true);
        assert!(
            conform(narrow.clone(), Typing::Inferred)
                .apply(&batch)
                .is_err()
        );
        assert!(conform(narrow, Typing::Declared).apply(&batch).is_ok());
    }
}
