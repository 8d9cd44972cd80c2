//! One table: its rows, and what it remembers of the writes that they came by.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use serde_json::Value;

use super::remembering::Memory;
use crate::contract::{Write, WriteMode};
use crate::error::{Error, ErrorKind, Result};

/// Rows, and what is remembered of their writes.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// All rows.
    pub(super) rows: RecordBatch,
    /// The writes that are among them.
    pub(super) memory: Memory,
}

impl Table {
    /// A table of rows as a spec writes them.
    pub(super) fn of_values(schema: &SchemaRef, rows: &[Vec<Value>]) -> Result<Self> {
        let width = schema.fields().len();
        if let Some((row, values)) = rows
            .iter()
            .enumerate()
            .find(|(_, values)| values.len() != width)
        {
            let message = format!(
                "row {} has {} values, and there are {width} columns",
                row + 1,
                values.len()
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let mut columns = Vec::with_capacity(width);
        for (index, field) in schema.fields().iter().enumerate() {
            let texts: StringArray = rows
                .iter()
                .map(|values| values.get(index).and_then(text))
                .collect();
            let strict = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            let column =
                cast_with_options(&texts, field.data_type(), &strict).map_err(|error| {
                    let message = format!(
                        "a value of the column `{}` does not fit its type",
                        field.name()
                    );
                    Error::new(ErrorKind::InvalidInput, message).caused_by(error)
                })?;
            columns.push(column);
        }
        Ok(Self {
            rows: RecordBatch::try_new(Arc::clone(schema), columns)?,
            memory: Memory::default(),
        })
    }

    /// A table without rows.
    pub(super) fn empty(schema: SchemaRef) -> Self {
        Self {
            rows: RecordBatch::new_empty(schema),
            memory: Memory::default(),
        }
    }

    /// Takes the rows of a write, once; how many were added or changed.
    pub(super) fn take(&mut self, write: &Write, new: RecordBatch) -> Result<u64> {
        if !self.memory.take(write)? {
            return Ok(0);
        }
        let new = match (&write.mode, &write.known_by) {
            (WriteMode::Append, Some(known)) => without(&new, &self.rows, &known.key)?,
            (WriteMode::Merge { key }, _) => last_of_each(&new, key)?,
            _ => new,
        };
        let count = u64::try_from(new.num_rows()).unwrap_or(u64::MAX);
        self.rows = match &write.mode {
            WriteMode::Replace => new,
            WriteMode::Append => self.joined(&self.rows, &new)?,
            WriteMode::Merge { key } => self.joined(&without(&self.rows, &new, key)?, &new)?,
        };
        Ok(count)
    }

    fn joined(&self, old: &RecordBatch, new: &RecordBatch) -> Result<RecordBatch> {
        let fits = |(a, b): (&Arc<_>, &Arc<_>)| {
            let (a, b): (&arrow::datatypes::Field, &arrow::datatypes::Field) = (a, b);
            a.name() == b.name() && a.data_type() == b.data_type()
        };
        let schema = self.rows.schema();
        let new_schema = new.schema();
        let same = schema.fields().len() == new_schema.fields().len()
            && schema.fields().iter().zip(new_schema.fields()).all(fits);
        if !same {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the rows have other columns than the table",
            ));
        }
        Ok(concat_batches(&schema, [old, new])?)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn keys(rows: &RecordBatch, key: &[String]) -> Result<Rows> {
    let column = |name: &String| -> Result<ArrayRef> {
        rows.column_by_name(name).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no column `{name}` to merge by"),
            )
        })
    };
    let columns: Vec<ArrayRef> = key.iter().map(column).collect::<Result<_>>()?;
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()))
        .collect();
    Ok(RowConverter::new(fields)?.convert_columns(&columns)?)
}

/// The last row of each key.
fn last_of_each(rows: &RecordBatch, key: &[String]) -> Result<RecordBatch> {
    let keys = keys(rows, key)?;
    let last: HashMap<OwnedRow, usize> = keys
        .iter()
        .enumerate()
        .map(|(row, key)| (key.owned(), row))
        .collect();
    let keep: BooleanArray = keys
        .iter()
        .enumerate()
        .map(|(row, key)| Some(last.get(&key.owned()) == Some(&row)))
        .collect();
    Ok(filter_record_batch(rows, &keep)?)
}

/// The rows whose key is not among those of the others.
fn without(rows: &RecordBatch, others: &RecordBatch, key: &[String]) -> Result<RecordBatch> {
    let others = keys(others, key)?;
    let others: HashSet<OwnedRow> = others.iter().map(|key| key.owned()).collect();
    let keep: BooleanArray = keys(rows, key)?
        .iter()
        .map(|key| Some(!others.contains(&key.owned())))
        .collect();
    Ok(filter_record_batch(rows, &keep)?)
}
