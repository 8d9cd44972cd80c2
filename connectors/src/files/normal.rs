//! Arrow types as the lake holds them.
//!
//! Pure. Files carry more types than Iceberg has; here each is given the narrowest one that holds all its values.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use crate::column_type::UTC;

/// The precision that holds every unsigned 64-bit integer.
const U64_DIGITS: u8 = 20;

/// The largest precision of a decimal that Iceberg holds.
const MAX_PRECISION: u8 = 38;

/// The type a column of this type is read as; `None` where there is none.
pub(super) fn normal(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Boolean
        | T::Int32
        | T::Int64
        | T::Float32
        | T::Float64
        | T::Date32
        | T::Utf8
        | T::Binary
        | T::FixedSizeBinary(_) => data_type.clone(),
        T::Int8 | T::Int16 | T::UInt8 | T::UInt16 => T::Int32,
        T::UInt32 => T::Int64,
        T::UInt64 => T::Decimal128(U64_DIGITS, 0),
        T::Float16 => T::Float32,
        T::Null | T::Utf8View | T::LargeUtf8 => T::Utf8,
        T::LargeBinary | T::BinaryView => T::Binary,
        T::Date64 => T::Date32,
        T::Time32(_) | T::Time64(_) => T::Time64(TimeUnit::Microsecond),
        T::Timestamp(_, None) => T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(_, Some(_)) => T::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        T::Decimal32(precision, scale)
        | T::Decimal64(precision, scale)
        | T::Decimal128(precision, scale) => T::Decimal128(*precision, *scale),
        T::Decimal256(precision, scale) if *precision <= MAX_PRECISION => {
            T::Decimal128(*precision, *scale)
        }
        T::Dictionary(_, value) => return normal(value),
        T::List(item) | T::LargeList(item) => T::List(normal_field(item)?),
        T::Struct(fields) => T::Struct(
            fields
                .iter()
                .map(normal_field)
                .collect::<Option<Fields>>()?,
        ),
        T::Map(entries, sorted) => T::Map(normal_field(entries)?, *sorted),
        _ => return None,
    })
}

fn normal_field(field: &FieldRef) -> Option<FieldRef> {
    Some(Arc::new(Field::new(
        field.name(),
        normal(field.data_type())?,
        field.is_nullable(),
    )))
}

/// The narrowest type that holds both without loss; `None` where there is none.
pub(super) fn widen(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    match (a, b) {
        _ if a == b => Some(a.clone()),
        (T::Int32, T::Int64) | (T::Int64, T::Int32) => Some(T::Int64),
        (T::Float32 | T::Int32, T::Float64) | (T::Float64, T::Float32 | T::Int32) => {
            Some(T::Float64)
        }
        (T::Decimal128(one, scale), T::Decimal128(other, same)) if scale == same => {
            Some(T::Decimal128(*one.max(other), *scale))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integer_keeps_its_values() {
        assert_eq!(normal(&DataType::UInt32), Some(DataType::Int64));
        assert_eq!(normal(&DataType::UInt64), Some(DataType::Decimal128(20, 0)));
        let dictionary =
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8));
        assert_eq!(normal(&dictionary), Some(DataType::Utf8));
        assert_eq!(normal(&DataType::Duration(TimeUnit::Second)), None);
    }

    #[test]
    fn widening_loses_nothing() {
        assert_eq!(
            widen(&DataType::Int32, &DataType::Int64),
            Some(DataType::Int64)
        );
        assert_eq!(widen(&DataType::Int64, &DataType::Float64), None);
        let narrow = DataType::Decimal128(10, 2);
        assert_eq!(
            widen(&narrow, &DataType::Decimal128(12, 2)),
            Some(DataType::Decimal128(12, 2))
        );
        assert_eq!(widen(&narrow, &DataType::Decimal128(12, 3)), None);
    }
}
