//! Arrow columns as the rows of a binary `COPY … FROM STDIN`, and the column types that hold them.
//!
//! Knows the binary format and which Arrow types have a place in a table; sends nothing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::FormatOptions;

use super::numeric;
use crate::error::{Error, ErrorKind, Result};

/// Microseconds from 1970 to 2000, where the server begins to count.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;
/// What a binary `COPY` begins with: signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];

/// A value that does not fit is an error, never a NULL.
const LOSSLESS: CastOptions<'static> = CastOptions {
    safe: false,
    format_options: FormatOptions::new(),
};

/// How a column is written: the Arrow type it is brought into, and the type of the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    arrow: DataType,
    element: Option<Box<Self>>,
    name: String,
    oid: u32,
}

impl Target {
    /// How a field is written.
    pub(super) fn of(field: &Field) -> Result<Self> {
        let (arrow, name, oid) = match field.data_type() {
            DataType::Boolean => (DataType::Boolean, "bool", 16),
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => (DataType::Int16, "int2", 21),
            DataType::Int32 | DataType::UInt16 => (DataType::Int32, "int4", 23),
            DataType::Int64 | DataType::UInt32 => (DataType::Int64, "int8", 20),
            DataType::Float16 | DataType::Float32 => (DataType::Float32, "float4", 700),
            DataType::Float64 => (DataType::Float64, "float8", 701),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                (DataType::Utf8, "text", 25)
            }
            DataType::FixedSizeBinary(16) if is_uuid(field) => (DataType::Binary, "uuid", 2950),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => (DataType::Binary, "bytea", 17),
            DataType::Date32 => (DataType::Date32, "date", 1082),
            DataType::Time32(_) | DataType::Time64(_) => {
                (DataType::Time64(TimeUnit::Microsecond), "time", 1083)
            }
            DataType::Timestamp(_, None) => (
                DataType::Timestamp(TimeUnit::Microsecond, None),
                "timestamp",
                1114,
            ),
            DataType::Timestamp(_, Some(_)) => (
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                "timestamptz",
                1184,
            ),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                let name = format!("numeric({precision},{scale})");
                return Ok(Self {
                    arrow: field.data_type().clone(),
                    element: None,
                    name,
                    oid: 1700,
                });
            }
            DataType::List(element) => return Self::list(field, element),
            _ => return Err(unsupported(field)),
        };
        Ok(Self {
            arrow,
            element: None,
            name: name.to_owned(),
            oid,
        })
    }

    fn list(field: &Field, element: &Field) -> Result<Self> {
        let element = Self::of(element)?;
        if element.element.is_some() {
            return Err(unsupported(field));
        }
        let inner = Arc::new(Field::new("item", element.arrow.clone(), true));
        let name = format!("{}[]", element.name);
        Ok(Self {
            arrow: DataType::List(inner),
            element: Some(Box::new(element)),
            name,
            oid: 0,
        })
    }

    /// The type in a `CREATE TABLE`.
    pub(super) fn type_name(&self) -> &str {
        &self.name
    }
}

fn is_uuid(field: &Field) -> bool {
    field
        .metadata()
        .get("ARROW:extension:name")
        .is_some_and(|name| name == "arrow.uuid")
}

fn unsupported(field: &Field) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "column `{}` has a type that no table here holds",
            field.name()
        ),
    )
    .with("type", field.data_type())
    .help("cast it in a transform, or leave it out")
}

/// Writes the rows of a batch behind what is in `out`.
pub(super) fn rows(batch: &RecordBatch, targets: &[Target], out: &mut Vec<u8>) -> Result<()> {
    let mut columns = Vec::with_capacity(targets.len());
    for ((target, array), field) in targets
        .iter()
        .zip(batch.columns())
        .zip(batch.schema_ref().fields())
    {
        let array = if *array.data_type() == target.arrow {
            Arc::clone(array)
        } else {
            cast_with_options(array, &target.arrow, &LOSSLESS)?
        };
        columns.push((Cells::of(&array, target), array, field.name().clone()));
    }
    let count = i16::try_from(columns.len()).map_err(|_| {
        Error::new(
            ErrorKind::LimitExceeded,
            "a table has no room for so many columns",
        )
        .with("columns", columns.len())
    })?;
    for row in 0..batch.num_rows() {
        out.extend_from_slice(&count.to_be_bytes());
        for (cells, array, name) in &columns {
            if array.is_null(row) {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
            } else {
                cells
                    .write(row, out)
                    .map_err(|error| error.with("column", name))?;
            }
        }
    }
    Ok(())
}

/// A column with its type known, so that no cell asks for it again.
enum Cells {
    Bool(arrow::array::BooleanArray),
    Int2(arrow::array::PrimitiveArray<Int16Type>),
    Int4(arrow::array::PrimitiveArray<Int32Type>),
    Int8(arrow::array::PrimitiveArray<Int64Type>),
    Float4(arrow::array::PrimitiveArray<Float32Type>),
    Float8(arrow::array::PrimitiveArray<Float64Type>),
    Text(arrow::array::StringArray),
    Binary(arrow::array::BinaryArray),
    Date(arrow::array::PrimitiveArray<Date32Type>),
    Time(arrow::array::PrimitiveArray<Time64MicrosecondType>),
    Timestamp(arrow::array::PrimitiveArray<TimestampMicrosecondType>),
    Numeric(arrow::array::PrimitiveArray<Decimal128Type>, u8),
    List {
        offsets: arrow::buffer::OffsetBuffer<i32>,
        values: ArrayRef,
        element: Box<Self>,
        oid: u32,
    },
}

impl Cells {
    /// The array has the type of the target.
    fn of(array: &ArrayRef, target: &Target) -> Self {
        match &target.arrow {
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int16 => Self::Int2(array.as_primitive().clone()),
            DataType::Int32 => Self::Int4(array.as_primitive().clone()),
            DataType::Int64 => Self::Int8(array.as_primitive().clone()),
            DataType::Float32 => Self::Float4(array.as_primitive().clone()),
            DataType::Float64 => Self::Float8(array.as_primitive().clone()),
            DataType::Date32 => Self::Date(array.as_primitive().clone()),
            DataType::Time64(_) => Self::Time(array.as_primitive().clone()),
            DataType::Timestamp(_, _) => Self::Timestamp(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => {
                Self::Numeric(array.as_primitive().clone(), scale.unsigned_abs())
            }
            DataType::Utf8 => Self::Text(array.as_string().clone()),
            _ => match &target.element {
                Some(element) => {
                    let list = array.as_list::<i32>();
                    Self::List {
                        offsets: list.offsets().clone(),
                        values: Arc::clone(list.values()),
                        element: Box::new(Self::of(list.values(), element)),
                        oid: element.oid,
                    }
                }
                None => Self::Binary(array.as_binary().clone()),
            },
        }
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Bool(values) => value(out, &[u8::from(values.value(row))]),
            Self::Int2(values) => value(out, &values.value(row).to_be_bytes()),
            Self::Int4(values) => value(out, &values.value(row).to_be_bytes()),
            Self::Int8(values) => value(out, &values.value(row).to_be_bytes()),
            Self::Float4(values) => value(out, &values.value(row).to_be_bytes()),
            Self::Float8(values) => value(out, &values.value(row).to_be_bytes()),
            Self::Text(values) => value(out, text(values.value(row))?),
            Self::Binary(values) => value(out, values.value(row)),
            Self::Date(values) => {
                let days = values
                    .value(row)
                    .checked_sub(EPOCH_DAYS)
                    .ok_or_else(out_of_range)?;
                value(out, &days.to_be_bytes())
            }
            Self::Time(values) => value(out, &values.value(row).to_be_bytes()),
            Self::Timestamp(values) => {
                let micros = values
                    .value(row)
                    .checked_sub(EPOCH_MICROS)
                    .ok_or_else(out_of_range)?;
                value(out, &micros.to_be_bytes())
            }
            Self::Numeric(values, scale) => sized(out, |out| {
                numeric::encode(values.value(row), *scale, out);
                Ok(())
            }),
            Self::List {
                offsets,
                values,
                element,
                oid,
            } => sized(out, |out| {
                let bounds = offsets.get(row).zip(offsets.get(row + 1));
                let (from, to) = bounds.map_or((0, 0), |(from, to)| (*from, *to));
                list(out, from..to, values, element, *oid)
            }),
        }
    }
}

fn out_of_range() -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "a time is beyond what the server keeps",
    )
}

/// The server keeps no zero byte in text.
fn text(value: &str) -> Result<&[u8]> {
    if value.as_bytes().contains(&0) {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "a text holds a zero byte, which the server does not keep",
        )
        .help("remove it in a transform: `replace(column, chr(0), '')`"));
    }
    Ok(value.as_bytes())
}

#[inline]
fn value(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    out.extend_from_slice(&length(bytes.len())?);
    out.extend_from_slice(bytes);
    Ok(())
}

fn length(bytes: usize) -> Result<[u8; 4]> {
    let length = i32::try_from(bytes).map_err(|_| {
        Error::new(
            ErrorKind::LimitExceeded,
            "a value is too long for the server",
        )
        .with("bytes", bytes)
    })?;
    Ok(length.to_be_bytes())
}

/// Writes a value whose length is known only afterwards.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let written = length(out.len() - start - 4)?;
    if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *place = written;
    }
    Ok(())
}

fn list(
    out: &mut Vec<u8>,
    range: std::ops::Range<i32>,
    values: &ArrayRef,
    element: &Cells,
    oid: u32,
) -> Result<()> {
    let dimensions = i32::from(!range.is_empty());
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    out.extend_from_slice(&oid.to_be_bytes());
    if range.is_empty() {
        return Ok(());
    }
    out.extend_from_slice(&(range.end - range.start).to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    for index in range {
        let index = usize::try_from(index).unwrap_or_default();
        if values.is_null(index) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            element.write(index, out)?;
        }
    }
    Ok(())
}
