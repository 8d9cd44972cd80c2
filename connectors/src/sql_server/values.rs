//! Small answers as single values: keys, watermarks.
//!
//! Knows how a value of a column becomes a literal; knows nothing of what it is for.

use std::sync::Arc;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use uuid::Uuid;

use super::catalog::{self, Column};
use super::decode::Rows;
use super::kind::AllowLossy;
use super::session::Session;
use crate::error::Result;
use crate::value::Literal;

/// The first batch of an answer, whose columns are of these kinds; `None` where there is no row.
pub(super) async fn read(
    session: &mut Session,
    select: String,
    columns: &[&Column],
    allowed: &AllowLossy,
) -> Result<Option<RecordBatch>> {
    let columns: Vec<Column> = columns.iter().copied().cloned().collect();
    let schema = catalog::schema(&columns, allowed)?;
    let kinds: Vec<_> = columns.into_iter().map(|column| column.kind).collect();
    let mut rows = Rows::new(Arc::new(schema.as_ref().clone()), &kinds);
    session.start(select).await?;
    session.fill(&mut rows).await?;
    session.end().await?;
    rows.batch()
}

/// A value that can be compared with its column; `None` for NULL and for types that have no literal.
pub(super) fn literal(array: &dyn Array, row: usize) -> Option<Literal> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => Literal::Bool(array.as_boolean().value(row)),
        DataType::Int32 => Literal::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Literal::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Decimal128(_, _) => {
            Literal::Decimal(array.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        DataType::Date32 => Literal::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            match zone {
                None => Literal::Timestamp(micros),
                Some(_) => Literal::TimestampTz(micros),
            }
        }
        DataType::Utf8 => Literal::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::FixedSizeBinary(16) => {
            let bytes = array.as_fixed_size_binary().value(row);
            Literal::Uuid(Uuid::from_slice(bytes).ok()?.hyphenated().to_string())
        }
        _ => return None,
    })
}
