//! Values on the wire into columns: one decoder a column, no allocation a row or a cell.
//!
//! Knows the binary format of each type that is read and Arrow's layout; knows nothing of sessions or messages.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array,
    FixedSizeBinaryArray, Int64Array, ListArray, NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    Date32Type, Float32Type, Float64Type, Int32Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use super::kind::Kind;
use super::numeric;
use crate::builders::{Bytes, Full, primitive, take};

/// Microseconds from 1970 to 2000, where the server begins to count.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;
/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;

/// Why a value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reject {
    /// Not of the declared binary form: a defect of ours or the server's.
    Malformed,
    NotANumber,
    Infinite,
    TooLarge,
    TooPrecise,
    /// A date or time beyond what 64 bits of microseconds since 1970 hold.
    OutOfRange,
    /// `24:00:00`, which the server has and no other clock.
    EndOfDay,
    ManyDimensions,
}

impl From<Full> for Reject {
    fn from(_: Full) -> Self {
        Self::TooLarge
    }
}

/// A column being filled.
pub(super) struct Decoder {
    values: Values,
    nulls: NullBufferBuilder,
}

enum Values {
    Bool(BooleanBufferBuilder),
    Int2(Vec<i32>),
    Int4(Vec<i32>),
    Int8(Vec<i64>),
    Oid(Vec<i64>),
    Float4(Vec<f32>),
    Float8(Vec<f64>),
    Numeric {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Text(Bytes),
    Jsonb(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp {
        values: Vec<i64>,
        zone: Option<Arc<str>>,
    },
    Uuid(Vec<u8>),
    List {
        offsets: Vec<i32>,
        element: Box<Decoder>,
        kind: Kind,
    },
}

impl Decoder {
    /// An empty column with room for this many rows.
    pub(super) fn new(kind: &Kind, rows: usize) -> Self {
        let values = match kind {
            Kind::Bool => Values::Bool(BooleanBufferBuilder::new(rows)),
            Kind::Int2 => Values::Int2(Vec::with_capacity(rows)),
            Kind::Int4 => Values::Int4(Vec::with_capacity(rows)),
            Kind::Int8 => Values::Int8(Vec::with_capacity(rows)),
            Kind::Oid => Values::Oid(Vec::with_capacity(rows)),
            Kind::Float4 => Values::Float4(Vec::with_capacity(rows)),
            Kind::Float8 => Values::Float8(Vec::with_capacity(rows)),
            Kind::Numeric {
                precision, scale, ..
            } => Values::Numeric {
                values: Vec::with_capacity(rows),
                precision: *precision,
                scale: *scale,
            },
            Kind::Text | Kind::Label | Kind::Cast => Values::Text(Bytes::new(rows)),
            Kind::Jsonb => Values::Jsonb(Bytes::new(rows)),
            Kind::Bytes => Values::Binary(Bytes::new(rows)),
            Kind::Date => Values::Date(Vec::with_capacity(rows)),
            Kind::Time => Values::Time(Vec::with_capacity(rows)),
            Kind::Timestamp => Values::Timestamp {
                values: Vec::with_capacity(rows),
                zone: None,
            },
            Kind::TimestampTz => Values::Timestamp {
                values: Vec::with_capacity(rows),
                zone: Some("UTC".into()),
            },
            Kind::Uuid => Values::Uuid(Vec::with_capacity(rows * 16)),
            Kind::List(element) => {
                let mut offsets = Vec::with_capacity(rows + 1);
                offsets.push(0);
                Values::List {
                    offsets,
                    element: Box::new(Self::new(element, rows)),
                    kind: (**element).clone(),
                }
            }
        };
        Self {
            values,
            nulls: NullBufferBuilder::new(rows),
        }
    }

    /// Takes a value.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Reject> {
        match &mut self.values {
            Values::Int4(values) => values.push(i32::from_be_bytes(exact(bytes)?)),
            Values::Numeric {
                values,
                precision,
                scale,
            } => {
                values.push(numeric::decode(bytes, *precision, *scale)?);
            }
            Values::Text(text) => text.push(bytes)?,
            Values::Date(values) => values.push(date(i32::from_be_bytes(exact(bytes)?))?),
            Values::Int8(values) => values.push(i64::from_be_bytes(exact(bytes)?)),
            Values::Time(values) => values.push(time(i64::from_be_bytes(exact(bytes)?))?),
            Values::Timestamp { values, .. } => {
                values.push(timestamp(i64::from_be_bytes(exact(bytes)?))?);
            }
            Values::Int2(values) => values.push(i32::from(i16::from_be_bytes(exact(bytes)?))),
            Values::Oid(values) => values.push(i64::from(u32::from_be_bytes(exact(bytes)?))),
            Values::Bool(values) => values.append(exact::<1>(bytes)? != [0]),
            Values::Float4(values) => values.push(f32::from_be_bytes(exact(bytes)?)),
            Values::Float8(values) => values.push(f64::from_be_bytes(exact(bytes)?)),
            // One byte of version stands before the text.
            Values::Jsonb(text) => text.push(bytes.strip_prefix(&[1]).ok_or(Reject::Malformed)?)?,
            Values::Binary(values) => values.push(bytes)?,
            Values::Uuid(values) => values.extend_from_slice(&exact::<16>(bytes)?),
            Values::List {
                offsets, element, ..
            } => {
                elements(bytes, element)?;
                offsets.push(i32::try_from(element.nulls.len()).map_err(|_| Reject::TooLarge)?);
            }
        }
        self.nulls.append_non_null();
        Ok(())
    }

    /// Takes a NULL.
    #[inline]
    pub(super) fn push_null(&mut self) -> Result<(), Reject> {
        match &mut self.values {
            Values::Int2(values) | Values::Int4(values) | Values::Date(values) => values.push(0),
            Values::Int8(values)
            | Values::Oid(values)
            | Values::Time(values)
            | Values::Timestamp { values, .. } => values.push(0),
            Values::Bool(values) => values.append(false),
            Values::Float4(values) => values.push(0.0),
            Values::Float8(values) => values.push(0.0),
            Values::Numeric { values, .. } => values.push(0),
            Values::Text(bytes) | Values::Jsonb(bytes) | Values::Binary(bytes) => bytes.end()?,
            Values::Uuid(values) => values.extend_from_slice(&[0; 16]),
            Values::List {
                offsets, element, ..
            } => {
                offsets.push(i32::try_from(element.nulls.len()).map_err(|_| Reject::TooLarge)?);
            }
        }
        self.nulls.append_null();
        Ok(())
    }

    /// Ends the column and begins the next one. Fails where text is not UTF-8.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int2(values) | Values::Int4(values) => {
                primitive::<Int32Type>(values, nulls, rows)?
            }
            Values::Int8(values) | Values::Oid(values) => {
                Arc::new(Int64Array::try_new(take(values, rows), nulls)?)
            }
            Values::Float4(values) => primitive::<Float32Type>(values, nulls, rows)?,
            Values::Float8(values) => primitive::<Float64Type>(values, nulls, rows)?,
            Values::Numeric {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::try_new(take(values, rows), nulls)?
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Values::Text(bytes) | Values::Jsonb(bytes) => {
                let (offsets, data) = bytes.take(rows);
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Values::Binary(bytes) => {
                let (offsets, data) = bytes.take(rows);
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Values::Date(values) => primitive::<Date32Type>(values, nulls, rows)?,
            Values::Time(values) => primitive::<Time64MicrosecondType>(values, nulls, rows)?,
            Values::Timestamp { values, zone } => Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::try_new(take(values, rows), nulls)?
                    .with_timezone_opt(zone.clone()),
            ),
            Values::Uuid(values) => {
                let data = std::mem::replace(values, Vec::with_capacity(rows * 16));
                Arc::new(FixedSizeBinaryArray::try_new(16, data.into(), nulls)?)
            }
            Values::List {
                offsets,
                element,
                kind,
            } => {
                let mut fresh = Vec::with_capacity(rows + 1);
                fresh.push(0);
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, fresh).into());
                let field = Arc::new(kind.field("item", true));
                Arc::new(ListArray::try_new(
                    field,
                    offsets,
                    element.finish(rows)?,
                    nulls,
                )?)
            }
        })
    }
}

#[inline]
fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Reject> {
    <[u8; N]>::try_from(bytes).map_err(|_| Reject::Malformed)
}

#[inline]
fn date(days: i32) -> Result<i32, Reject> {
    if days == i32::MAX || days == i32::MIN {
        return Err(Reject::Infinite);
    }
    days.checked_add(EPOCH_DAYS).ok_or(Reject::OutOfRange)
}

#[inline]
fn time(micros: i64) -> Result<i64, Reject> {
    if micros == DAY_MICROS {
        return Err(Reject::EndOfDay);
    }
    if (0..DAY_MICROS).contains(&micros) {
        Ok(micros)
    } else {
        Err(Reject::Malformed)
    }
}

#[inline]
fn timestamp(micros: i64) -> Result<i64, Reject> {
    if micros == i64::MAX || micros == i64::MIN {
        return Err(Reject::Infinite);
    }
    micros.checked_add(EPOCH_MICROS).ok_or(Reject::OutOfRange)
}

/// An array: dimensions, a flag, the element's type, then for each dimension its length and lower bound.
fn elements(bytes: &[u8], element: &mut Decoder) -> Result<(), Reject> {
    let (header, rest) = bytes.split_first_chunk::<12>().ok_or(Reject::Malformed)?;
    match *header {
        [0, 0, 0, 0, ..] => return Ok(()),
        [0, 0, 0, 1, ..] => {}
        _ => return Err(Reject::ManyDimensions),
    }
    let (bounds, mut rest) = rest.split_first_chunk::<8>().ok_or(Reject::Malformed)?;
    let [c0, c1, c2, c3, ..] = *bounds;
    for _ in 0..i32::from_be_bytes([c0, c1, c2, c3]) {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(Reject::Malformed)?;
        rest = after;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Ok(length) => {
                let (value, after) = rest.split_at_checked(length).ok_or(Reject::Malformed)?;
                rest = after;
                element.push(value)?;
            }
            Err(_) => element.push_null()?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array as _, AsArray as _};

    use super::*;

    #[test]
    fn values_and_nulls_alternate() {
        let mut column = Decoder::new(&Kind::Int2, 4);
        column.push(&(-7_i16).to_be_bytes()).unwrap();
        column.push_null().unwrap();
        let array = column.finish(4).unwrap();
        assert_eq!(array.as_primitive::<Int32Type>().value(0), -7);
        assert!(array.is_null(1));
        assert_eq!(column.finish(4).unwrap().len(), 0);
    }

    #[test]
    fn the_ends_of_time_are_refused() {
        let mut column = Decoder::new(&Kind::TimestampTz, 1);
        assert_eq!(column.push(&i64::MAX.to_be_bytes()), Err(Reject::Infinite));
        assert_eq!(
            column.push(&(i64::MAX - 1).to_be_bytes()),
            Err(Reject::OutOfRange)
        );
        assert_eq!(column.push(&[0; 4]), Err(Reject::Malformed));
        let mut column = Decoder::new(&Kind::Time, 1);
        assert_eq!(column.push(&(DAY_MICROS - 1).to_be_bytes()), Ok(()));
        assert_eq!(
            column.push(&DAY_MICROS.to_be_bytes()),
            Err(Reject::EndOfDay)
        );
    }

    #[test]
    fn an_array_keeps_its_nulls() {
        let mut bytes = Vec::new();
        for word in [1, 1, 23, 2, 1, 4, 42, -1] {
            bytes.extend_from_slice(&i32::to_be_bytes(word));
        }
        let mut column = Decoder::new(&Kind::List(Box::new(Kind::Int4)), 2);
        column.push(&bytes).unwrap();
        column.push_null().unwrap();
        let array = column.finish(2).unwrap();
        let list = array.as_list::<i32>();
        assert_eq!(list.value_length(0), 2);
        assert_eq!(list.value(0).as_primitive::<Int32Type>().value(0), 42);
        assert!(list.value(0).is_null(1));
        assert!(list.is_null(1));
        bytes.splice(..4, 2_i32.to_be_bytes());
        assert_eq!(column.push(&bytes), Err(Reject::ManyDimensions));
    }

    #[test]
    fn text_must_be_utf8() {
        let mut column = Decoder::new(&Kind::Text, 1);
        column.push(&[0xff]).unwrap();
        assert!(column.finish(1).is_err());
    }
}
