//! One column while it is filled, and the array that it becomes.
//!
//! Knows the types that are read and Arrow's layout; knows nothing of the driver's way of handing over values.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array,
    FixedSizeBinaryArray, NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::datatypes::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use mssql_tds::datatypes::sql_string::ResolvedEncoding;

use super::kind::Kind;
use super::text::Malformed;
use crate::builders::{Bytes, Full, primitive, take};

/// Why a value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reject {
    /// Not of the column's type: a defect of ours or the server's.
    Malformed,
    /// Text that its encoding does not have.
    Text,
    /// More bytes than a batch can hold.
    TooLarge,
}

impl From<Full> for Reject {
    fn from(_: Full) -> Self {
        Self::TooLarge
    }
}

impl From<Malformed> for Reject {
    fn from(_: Malformed) -> Self {
        Self::Text
    }
}

/// A column being filled.
pub(super) struct Column {
    pub(super) values: Values,
    pub(super) nulls: NullBufferBuilder,
}

pub(super) enum Values {
    Bool(BooleanBufferBuilder),
    Int(Vec<i32>),
    Long(Vec<i64>),
    RowVersion(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp {
        values: Vec<i64>,
        zone: Option<Arc<str>>,
    },
    /// The code page is known from the first value on.
    Narrow(Bytes, Option<ResolvedEncoding>),
    Wide(Bytes),
    Binary(Bytes),
    Uuid(Vec<u8>),
    /// Values of any type, as text.
    Variant(Bytes),
}

impl Values {
    /// A value of another type than the column's: text, where the column has values of every type.
    #[cold]
    pub(super) fn otherwise(&mut self, value: impl fmt::Display) -> Result<(), Reject> {
        let Self::Variant(bytes) = self else {
            return Err(Reject::Malformed);
        };
        // Writing into memory does not fail.
        write!(bytes.data, "{value}").ok();
        Ok(bytes.end()?)
    }
}

impl Column {
    pub(super) fn new(kind: &Kind, rows: usize) -> Option<Self> {
        let values = match kind {
            Kind::Bit => Values::Bool(BooleanBufferBuilder::new(rows)),
            Kind::TinyInt | Kind::SmallInt | Kind::Int => Values::Int(Vec::with_capacity(rows)),
            Kind::BigInt => Values::Long(Vec::with_capacity(rows)),
            Kind::RowVersion => Values::RowVersion(Vec::with_capacity(rows)),
            Kind::Real => Values::Float(Vec::with_capacity(rows)),
            Kind::Float => Values::Double(Vec::with_capacity(rows)),
            Kind::Decimal { .. } | Kind::Money | Kind::SmallMoney => {
                let (precision, scale) = kind.digits()?;
                Values::Decimal {
                    values: Vec::with_capacity(rows),
                    precision,
                    scale,
                }
            }
            Kind::Date => Values::Date(Vec::with_capacity(rows)),
            Kind::Time { .. } => Values::Time(Vec::with_capacity(rows)),
            Kind::SmallDateTime | Kind::DateTime | Kind::DateTime2 { .. } => Values::Timestamp {
                values: Vec::with_capacity(rows),
                zone: None,
            },
            Kind::DateTimeOffset { .. } => Values::Timestamp {
                values: Vec::with_capacity(rows),
                zone: Some("UTC".into()),
            },
            Kind::Narrow | Kind::Text => Values::Narrow(Bytes::new(rows), None),
            Kind::Wide | Kind::NText | Kind::Xml => Values::Wide(Bytes::new(rows)),
            Kind::Variant => Values::Variant(Bytes::new(rows)),
            Kind::Binary => Values::Binary(Bytes::new(rows)),
            Kind::Uuid => Values::Uuid(Vec::with_capacity(rows * 16)),
            Kind::Clr(_) | Kind::Other(_) => return None,
        };
        Some(Self {
            values,
            nulls: NullBufferBuilder::new(rows),
        })
    }

    pub(super) fn push_null(&mut self) -> Result<(), Reject> {
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int(values) | Values::Date(values) => values.push(0),
            Values::Long(values)
            | Values::RowVersion(values)
            | Values::Time(values)
            | Values::Timestamp { values, .. } => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Narrow(bytes, _)
            | Values::Wide(bytes)
            | Values::Variant(bytes)
            | Values::Binary(bytes) => {
                bytes.abandon();
                bytes.end()?;
            }
            Values::Uuid(values) => values.extend_from_slice(&[0; 16]),
        }
        self.nulls.append_null();
        Ok(())
    }

    /// Ends the column and begins the next one.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int(values) => primitive::<Int32Type>(values, nulls, rows)?,
            Values::Long(values) | Values::RowVersion(values) => {
                primitive::<Int64Type>(values, nulls, rows)?
            }
            Values::Float(values) => primitive::<Float32Type>(values, nulls, rows)?,
            Values::Double(values) => primitive::<Float64Type>(values, nulls, rows)?,
            Values::Decimal {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::try_new(take(values, rows), nulls)?
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Values::Date(values) => primitive::<Date32Type>(values, nulls, rows)?,
            Values::Time(values) => primitive::<Time64MicrosecondType>(values, nulls, rows)?,
            Values::Timestamp { values, zone } => Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::try_new(take(values, rows), nulls)?
                    .with_timezone_opt(zone.clone()),
            ),
            Values::Narrow(bytes, _) | Values::Wide(bytes) | Values::Variant(bytes) => {
                let (offsets, data) = bytes.take(rows);
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Values::Binary(bytes) => {
                let (offsets, data) = bytes.take(rows);
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Values::Uuid(values) => {
                let data = std::mem::replace(values, Vec::with_capacity(rows * 16));
                Arc::new(FixedSizeBinaryArray::try_new(16, data.into(), nulls)?)
            }
        })
    }
}
