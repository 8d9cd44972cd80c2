//! Reading a table: the rows of the window, cut by number.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions,
};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt as _, stream};

use super::{Tables, lock};
use crate::contract::{BatchStream, From, Nulls, Read, Scan, Source, Split, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Literal, Watermark};

/// About how many rows a split has.
const SPLIT_ROWS: u64 = 1024;

#[async_trait]
impl Source for Tables {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        let rows = self.rows(read)?;
        let Some(name) = read
            .window
            .as_ref()
            .and_then(|window| window.column.as_deref())
        else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a table in memory is watched by a column",
            )
            .help("name the `watermark` column"));
        };
        let column = column(&rows, name)?;
        let mut highest: Option<Literal> = None;
        for row in 0..column.len() {
            let Some(value) = literal(column, row)? else {
                continue;
            };
            if highest
                .as_ref()
                .is_none_or(|highest| order(&value, highest) == Ordering::Greater)
            {
                highest = Some(value);
            }
        }
        Ok(highest.map(Watermark::Value))
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        let mut rows = self.rows(read)?;
        if let Some(window) = &read.window {
            rows = in_window(&rows, window)?;
        }
        let rows = projected(&rows, read.columns.as_deref())?;
        let limit = read.limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let rows = rows.slice(0, rows.num_rows().min(limit));
        let target = read.splits.target_rows.unwrap_or(SPLIT_ROWS).max(1);
        let step = usize::try_from(target).unwrap_or(usize::MAX);
        let starts = (0..rows.num_rows()).step_by(step);
        let splits = starts
            .map(|start| split(start, step.min(rows.num_rows() - start)))
            .collect();
        Ok(Box::new(TableScan { rows, splits }))
    }
}

impl Tables {
    fn rows(&self, read: &Read) -> Result<RecordBatch> {
        let From::Table(name) = &read.from else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "tables in memory cannot answer a query",
            ));
        };
        let tables = lock(&self.tables);
        let names = || {
            tables
                .keys()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        tables
            .get(name)
            .map(|table| table.rows.clone())
            .ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no table `{name}`"))
                    .help(format!("there are {}", names()))
            })
    }
}

fn split(start: usize, rows: usize) -> Split {
    Split {
        name: format!("rows {start}..{}", start + rows),
        payload: serde_json::json!([start, rows]),
        rows: u64::try_from(rows).ok(),
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no column `{name}`")))
}

fn projected(rows: &RecordBatch, columns: Option<&[String]>) -> Result<RecordBatch> {
    let Some(names) = columns else {
        return Ok(rows.clone());
    };
    let schema = rows.schema();
    let field = |name: &String| {
        let field = schema.field_with_name(name).cloned();
        field.map_err(|_| Error::new(ErrorKind::NotFound, format!("there is no column `{name}`")))
    };
    let fields = names.iter().map(field).collect::<Result<Vec<_>>>()?;
    let arrays = names
        .iter()
        .map(|name| column(rows, name).cloned())
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        arrays,
        &options,
    )?)
}

/// The rows with `after < watermark <= until`, or `after <= watermark`, and those without one as asked.
fn in_window(rows: &RecordBatch, window: &Window) -> Result<RecordBatch> {
    let Some(name) = window.column.as_deref() else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "a table in memory is read by a watermark column",
        ));
    };
    let column = column(rows, name)?;
    let (after, until) = (value(window.after.as_ref())?, value(window.until.as_ref())?);
    let mut keep = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        let Some(value) = literal(column, row)? else {
            if window.nulls == Nulls::Fail {
                let message = format!(
                    "the watermark column `{name}` has a NULL: such a row would never be seen"
                );
                return Err(Error::new(ErrorKind::InvalidData, message)
                    .help("choose what becomes of them with `nulls: skip` or `nulls: read`"));
            }
            keep.push(window.nulls == Nulls::Read);
            continue;
        };
        let above = after.is_none_or(|after| match order(&value, after) {
            Ordering::Greater => true,
            Ordering::Equal => window.inclusive,
            Ordering::Less => false,
        });
        keep.push(above && until.is_some_and(|until| order(&value, until) != Ordering::Greater));
    }
    Ok(filter_record_batch(rows, &BooleanArray::from(keep))?)
}

fn value(watermark: Option<&Watermark>) -> Result<Option<&Literal>> {
    match watermark {
        None => Ok(None),
        Some(Watermark::Value(value)) => Ok(Some(value)),
        Some(Watermark::Files(_)) => Err(Error::new(
            ErrorKind::InvalidInput,
            "the watermark of this read is of files, and this is a table",
        )),
    }
}

/// The value of a row; `None` for NULL. Types without an order that a watermark needs are refused.
fn literal(column: &dyn Array, row: usize) -> Result<Option<Literal>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let one = column.slice(row, 1);
    let long = |one: &ArrayRef| -> Result<i64> {
        let long = cast(one, &DataType::Int64)?;
        Ok(long
            .as_any()
            .downcast_ref::<Int64Array>()
            .map(|long| long.value(0))
            .unwrap_or_default())
    };
    Ok(Some(match column.data_type() {
        DataType::Int32 | DataType::Int64 => Literal::Int(long(&one)?),
        DataType::Date32 => {
            let days = cast(&one, &DataType::Int32)?;
            Literal::Date(days.as_primitive::<arrow::datatypes::Int32Type>().value(0))
        }
        DataType::Timestamp(_, None) => Literal::Timestamp(long(&one)?),
        DataType::Timestamp(_, Some(_)) => Literal::TimestampTz(long(&one)?),
        DataType::Utf8 => Literal::Text(one.as_string::<i32>().value(0).to_owned()),
        DataType::Float32 | DataType::Float64 => {
            let double = cast(&one, &DataType::Float64)?;
            Literal::Float(
                double
                    .as_any()
                    .downcast_ref::<Float64Array>()
                    .map(|double| double.value(0))
                    .unwrap_or_default(),
            )
        }
        other => {
            let message = format!("a column of type {other} cannot be a watermark in memory");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    }))
}

fn order(a: &Literal, b: &Literal) -> Ordering {
    match (a, b) {
        (Literal::Int(a), Literal::Int(b))
        | (Literal::Timestamp(a), Literal::Timestamp(b))
        | (Literal::TimestampTz(a), Literal::TimestampTz(b)) => a.cmp(b),
        (Literal::Date(a), Literal::Date(b)) => a.cmp(b),
        (Literal::Float(a), Literal::Float(b)) => a.total_cmp(b),
        (Literal::Text(a), Literal::Text(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

struct TableScan {
    rows: RecordBatch,
    splits: Vec<Split>,
}

#[async_trait]
impl Scan for TableScan {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn splits(&self) -> &[Split] {
        &self.splits
    }

    fn describe(&self) -> String {
        format!(
            "{} rows in memory, {} splits",
            self.rows.num_rows(),
            self.splits.len()
        )
    }

    async fn read(&self, split: &Split) -> Result<BatchStream> {
        let foreign = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("the split `{}` is not of this scan", split.name),
            )
        };
        let (start, rows): (usize, usize) = serde_json::from_value(split.payload.clone())
            .map_err(|error| foreign().caused_by(error))?;
        if start.saturating_add(rows) > self.rows.num_rows() {
            return Err(foreign());
        }
        let batch = self.rows.slice(start, rows);
        Ok(stream::iter([Ok(batch)]).boxed())
    }
}
