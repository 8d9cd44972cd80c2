//! The answer of a query as a table for people.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connectors::Error;

use super::amount::{count, counted};
use super::style::{FAINT, STRONG, paint};
use super::table::{Align, Columns};

/// The most characters that are shown of a value.
const WIDEST: usize = 120;

/// The first rows of an answer.
pub(crate) struct Table {
    columns: Columns,
    limit: usize,
    rows: usize,
    more: bool,
}

impl Table {
    /// A table of these columns that shows at most `limit` rows.
    pub(crate) fn new(schema: &Schema, limit: usize) -> Self {
        let align = |data_type: &DataType| {
            if data_type.is_numeric() {
                Align::Right
            } else {
                Align::Left
            }
        };
        let mut columns = Columns::new(
            schema
                .fields()
                .iter()
                .map(|field| align(field.data_type()))
                .collect(),
        );
        columns.row(
            schema
                .fields()
                .iter()
                .map(|field| paint(STRONG, shown(field.name())))
                .collect(),
        );
        Self {
            columns,
            limit,
            rows: 0,
            more: false,
        }
    }

    /// Adds rows; `false` when there is no room for more.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<bool, Error> {
        let options = FormatOptions::default().with_display_error(true);
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
            .collect::<Result<Vec<_>, _>>()?;
        let room = self.limit - self.rows;
        let fits = batch.num_rows().min(room);
        for row in 0..fits {
            let cells = batch.columns().iter().zip(&formatters);
            self.columns.row(
                cells
                    .map(|(column, formatter)| {
                        if column.is_null(row) {
                            paint(FAINT, "NULL")
                        } else {
                            shown(&formatter.value(row).to_string())
                        }
                    })
                    .collect(),
            );
        }
        self.rows += fits;
        self.more = batch.num_rows() > room;
        Ok(!self.more)
    }

    /// The lines.
    pub(crate) fn text(&self) -> String {
        self.columns.text()
    }

    /// How many rows there are, or that there are more.
    pub(crate) fn count(&self) -> String {
        if self.more {
            let limit = count(self.limit as u64);
            return format!(
                "the first {limit} rows; there are more: raise `--limit`, or see all with `--format csv`"
            );
        }
        counted(self.rows as u64, "row", "rows")
    }
}

/// A value on one line: control characters stand as escapes, so that no data can move the cursor.
fn shown(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (i, c) in value.chars().enumerate() {
        if i == WIDEST {
            text.push('…');
            break;
        }
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn table(limit: usize) -> Table {
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int64, false),
            Field::new("text", DataType::Utf8, true),
        ]);
        let mut table = Table::new(&schema, limit);
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 100])),
            Arc::new(StringArray::from(vec![Some("a\x1b[2J\nb"), None])),
        ];
        let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        table.add(&batch).unwrap();
        table
    }

    #[test]
    fn numbers_lean_right_and_data_cannot_move_the_cursor() {
        let table = table(10);
        let text = anstream::adapter::strip_str(&table.text()).to_string();
        assert_eq!(text, "  n  text\n  1  a\\u{1b}[2J\\nb\n100  NULL\n");
        assert_eq!(table.count(), "2 rows");
    }

    #[test]
    fn what_is_left_out_is_said() {
        assert!(
            table(1)
                .count()
                .starts_with("the first 1 rows; there are more")
        );
        assert_eq!(table(2).count(), "2 rows");
    }
}
