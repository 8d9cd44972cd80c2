//! Values as the driver takes them off the wire, into columns: no allocation a row or a cell.
//!
//! Knows the driver's way of handing over values and Arrow's layout; knows nothing of sessions. The driver's calls cannot
//! fail, so the first value that is refused is remembered and told when its row is asked for.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use mssql_tds::datatypes::column_values::{
    SqlDate, SqlDateTime, SqlDateTime2, SqlDateTimeOffset, SqlMoney, SqlSmallDateTime,
    SqlSmallMoney, SqlTime, SqlXml,
};
use mssql_tds::datatypes::decoder::DecimalParts;
use mssql_tds::datatypes::row_writer::RowWriter;
use mssql_tds::datatypes::sql_json::SqlJson;
use mssql_tds::datatypes::sql_string::EncodingType;
use mssql_tds::datatypes::sql_vector::SqlVector;
use uuid::Uuid;

use super::column::{Column, Reject, Values};
use super::kind::Kind;
use super::shown::{Clock, Day, Hex, Scaled, TimeOfDay};
use super::text;
use crate::error::{Error, ErrorKind, Result};

/// Rows in a batch, at most.
const BATCH_ROWS: usize = 8192;
/// Bytes of text and binary values after which a batch ends early.
const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of the largest value whose size is fixed.
const LARGEST_VALUE: usize = 16;
/// Days from 0001-01-01 to 1970-01-01.
const DAYS_FROM_YEAR_ONE: i64 = 719_162;
/// Days from 1900-01-01 to 1970-01-01.
const DAYS_FROM_1900: i64 = 25_567;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;
/// Digits behind the point of `money` and `smallmoney`.
const MONEY_SCALE: u8 = 4;

/// Rows on their way into a batch.
pub(super) struct Rows {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Rows in a batch, at most.
    most: usize,
    count: usize,
    bytes: usize,
    /// Rows in the batches before.
    before: usize,
    /// The first value that was refused, by the place of its column.
    refused: Option<(usize, Reject)>,
}

impl Rows {
    /// No rows yet, of these columns. Where there are none, whatever is selected in their place only counts rows.
    pub(super) fn new(schema: SchemaRef, kinds: &[Kind]) -> Self {
        // Very many columns make fewer rows.
        let most = (BATCH_BYTES / (kinds.len().max(1) * LARGEST_VALUE)).clamp(1, BATCH_ROWS);
        let columns = kinds.iter().filter_map(|kind| Column::new(kind, most));
        Self {
            schema,
            columns: columns.collect(),
            most,
            count: 0,
            bytes: 0,
            before: 0,
            refused: None,
        }
    }

    /// Whether the batch has to be taken before more is read.
    pub(super) const fn full(&self) -> bool {
        self.count >= self.most || self.bytes >= BATCH_BYTES
    }

    /// How many rows there were so far.
    pub(super) const fn seen(&self) -> usize {
        self.before + self.count
    }

    /// An error where a value of the rows that were read was refused.
    pub(super) fn check(&self) -> Result<()> {
        match self.refused {
            None => Ok(()),
            Some((column, reject)) => Err(self.rejected(column, reject)),
        }
    }

    #[cold]
    fn rejected(&self, column: usize, reject: Reject) -> Error {
        let name = self
            .schema
            .fields()
            .get(column)
            .map_or("", |field| field.name());
        let (kind, what, help) = match reject {
            Reject::Malformed => (ErrorKind::Internal, "a value that is not of its type", None),
            Reject::Text => (
                ErrorKind::InvalidData,
                "text that is not well formed",
                Some(
                    "correct it at the source, or read a query that turns it into binary: `CAST({} AS varbinary(max))`",
                ),
            ),
            Reject::TooLarge => (
                ErrorKind::LimitExceeded,
                "a value of more than 2 GiB",
                Some("leave {} out of `columns:`"),
            ),
        };
        let error =
            Error::new(kind, format!("column `{name}` holds {what}")).with("row", self.seen());
        match help {
            Some(help) => error.help(help.replace("{}", &super::sql::identifier(name))),
            None => error,
        }
    }

    /// The batch of what was read; `None` where that is nothing.
    pub(super) fn batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.count == 0 {
            return Ok(None);
        }
        let columns = self
            .columns
            .iter_mut()
            .map(|column| column.finish(self.most))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.before += self.count;
        self.count = 0;
        self.bytes = 0;
        Ok(Some(batch))
    }

    /// Hands a value to its column.
    #[inline]
    fn push(&mut self, at: usize, fill: impl FnOnce(&mut Values) -> Result<(), Reject>) {
        let Some(column) = self.columns.get_mut(at) else {
            return self.unexpected(at);
        };
        match fill(&mut column.values) {
            Ok(()) => column.nulls.append_non_null(),
            Err(reject) => self.refuse(at, reject),
        }
    }

    /// What only counts rows goes nowhere; anything else has a column.
    #[cold]
    fn unexpected(&mut self, at: usize) {
        if !self.schema.fields().is_empty() {
            self.refused.get_or_insert((at, Reject::Malformed));
        }
    }

    #[cold]
    fn refuse(&mut self, at: usize, reject: Reject) {
        self.refused.get_or_insert((at, reject));
        if let Some(column) = self.columns.get_mut(at) {
            // The row keeps its shape; it is never seen.
            column.push_null().ok();
        }
    }

    #[inline]
    fn push_int(&mut self, at: usize, value: i32) {
        self.push(at, |values| match values {
            Values::Int(values) => {
                values.push(value);
                Ok(())
            }
            other => other.otherwise(value),
        });
    }

    #[inline]
    fn push_decimal(&mut self, at: usize, value: i128, scale: u8) {
        self.push(at, |values| match values {
            Values::Decimal {
                values, precision, ..
            } => {
                if value.unsigned_abs() >= 10_u128.pow(u32::from(*precision)) {
                    return Err(Reject::Malformed);
                }
                values.push(value);
                Ok(())
            }
            other => other.otherwise(Scaled(value, scale)),
        });
    }

    #[inline]
    fn push_micros(&mut self, at: usize, micros: Option<i64>, zone: &str) {
        self.push(at, |values| match values {
            Values::Timestamp { values, .. } => {
                values.push(micros.ok_or(Reject::Malformed)?);
                Ok(())
            }
            other => other.otherwise(Clock(micros.ok_or(Reject::Malformed)?, zone)),
        });
    }
}

/// Microseconds since 1970 of a day counted from `first` days before 1970, and a time of it.
#[inline]
fn micros(day: i64, first: i64, time: i64) -> Option<i64> {
    (day - first).checked_mul(DAY_MICROS)?.checked_add(time)
}

/// Microseconds of a day. The driver's field counts 100 nanoseconds, whatever its name says.
#[inline]
fn time_micros(time: &SqlTime) -> Option<i64> {
    i64::try_from(time.time_nanoseconds / 10).ok()
}

#[inline]
fn datetime2_micros(value: &SqlDateTime2) -> Option<i64> {
    micros(
        i64::from(value.days),
        DAYS_FROM_YEAR_ONE,
        time_micros(&value.time)?,
    )
}

/// Microseconds of 1/300 seconds, rounded as the server does when it casts to `datetime2(6)`.
#[inline]
pub(super) const fn tick_micros(ticks: i64) -> i64 {
    (ticks * 20_000 + 3) / 6
}

impl RowWriter for Rows {
    fn write_null(&mut self, col: usize) {
        match self.columns.get_mut(col) {
            Some(column) => {
                if let Err(reject) = column.push_null() {
                    self.refused.get_or_insert((col, reject));
                }
            }
            None => self.unexpected(col),
        }
    }

    fn write_bool(&mut self, col: usize, val: bool) {
        self.push(col, |values| match values {
            Values::Bool(values) => {
                values.append(val);
                Ok(())
            }
            other => other.otherwise(val),
        });
    }

    fn write_u8(&mut self, col: usize, val: u8) {
        self.push_int(col, i32::from(val));
    }

    fn write_i16(&mut self, col: usize, val: i16) {
        self.push_int(col, i32::from(val));
    }

    fn write_i32(&mut self, col: usize, val: i32) {
        self.push_int(col, val);
    }

    fn write_i64(&mut self, col: usize, val: i64) {
        self.push(col, |values| match values {
            Values::Long(values) => {
                values.push(val);
                Ok(())
            }
            other => other.otherwise(val),
        });
    }

    fn write_f32(&mut self, col: usize, val: f32) {
        self.push(col, |values| match values {
            Values::Float(values) => {
                values.push(val);
                Ok(())
            }
            other => other.otherwise(val),
        });
    }

    fn write_f64(&mut self, col: usize, val: f64) {
        self.push(col, |values| match values {
            Values::Double(values) => {
                values.push(val);
                Ok(())
            }
            other => other.otherwise(val),
        });
    }

    fn write_string(&mut self, col: usize, bytes: Cow<'_, [u8]>, encoding_type: EncodingType) {
        self.bytes += bytes.len();
        self.push(col, |values| match (values, encoding_type) {
            (Values::Wide(column) | Values::Variant(column), EncodingType::Utf16) => {
                text::push_utf16(&bytes, &mut column.data)?;
                Ok(column.end()?)
            }
            (Values::Narrow(column, known), encoding) => {
                let encoding = match *known {
                    Some(encoding) => encoding,
                    None => *known.insert(encoding.resolved_encoding().ok_or(Reject::Malformed)?),
                };
                text::push_narrow(&bytes, encoding, &mut column.data)?;
                Ok(column.end()?)
            }
            (Values::Variant(column), encoding) => {
                let encoding = encoding.resolved_encoding().ok_or(Reject::Malformed)?;
                text::push_narrow(&bytes, encoding, &mut column.data)?;
                Ok(column.end()?)
            }
            _ => Err(Reject::Malformed),
        });
    }

    fn write_bytes(&mut self, col: usize, bytes: Cow<'_, [u8]>) {
        self.bytes += bytes.len();
        self.push(col, |values| match values {
            Values::Binary(column) => Ok(column.push(&bytes)?),
            Values::RowVersion(values) => {
                let bytes = <[u8; 8]>::try_from(&*bytes).map_err(|_| Reject::Malformed)?;
                let version = i64::from_be_bytes(bytes);
                values.push(version);
                Ok(())
            }
            other => other.otherwise(Hex(&bytes)),
        });
    }

    fn write_decimal(&mut self, col: usize, val: DecimalParts) {
        // 38 digits fit; what does not has more than any column's precision, and is refused as such.
        let magnitude = i128::try_from(val.magnitude()).unwrap_or(i128::MAX);
        let value = if val.is_positive {
            magnitude
        } else {
            -magnitude
        };
        self.push_decimal(col, value, val.scale);
    }

    fn write_numeric(&mut self, col: usize, val: DecimalParts) {
        self.write_decimal(col, val);
    }

    fn write_date(&mut self, col: usize, val: SqlDate) {
        self.push(col, |values| match values {
            Values::Date(values) => {
                let days = i64::from(val.get_days()) - DAYS_FROM_YEAR_ONE;
                values.push(i32::try_from(days).map_err(|_| Reject::Malformed)?);
                Ok(())
            }
            other => {
                let micros = micros(i64::from(val.get_days()), DAYS_FROM_YEAR_ONE, 0);
                other.otherwise(Day(micros.ok_or(Reject::Malformed)?))
            }
        });
    }

    fn write_time(&mut self, col: usize, val: SqlTime) {
        self.push(col, |values| match (values, time_micros(&val)) {
            (Values::Time(values), Some(micros)) if micros < DAY_MICROS => {
                values.push(micros);
                Ok(())
            }
            (other, Some(micros)) => other.otherwise(TimeOfDay(micros)),
            (_, None) => Err(Reject::Malformed),
        });
    }

    fn write_datetime(&mut self, col: usize, val: SqlDateTime) {
        let time = tick_micros(i64::from(val.time));
        self.push_micros(col, micros(i64::from(val.days), DAYS_FROM_1900, time), "");
    }

    fn write_smalldatetime(&mut self, col: usize, val: SqlSmallDateTime) {
        let time = i64::from(val.time) * 60_000_000;
        self.push_micros(col, micros(i64::from(val.days), DAYS_FROM_1900, time), "");
    }

    fn write_datetime2(&mut self, col: usize, val: SqlDateTime2) {
        self.push_micros(col, datetime2_micros(&val), "");
    }

    fn write_datetimeoffset(&mut self, col: usize, val: SqlDateTimeOffset) {
        // The wire has the moment in UTC; the offset only says where it was written down.
        self.push_micros(col, datetime2_micros(&val.datetime2), "Z");
    }

    fn write_money(&mut self, col: usize, val: SqlMoney) {
        let low = i64::from(val.lsb_part.cast_unsigned());
        let value = (i64::from(val.msb_part) << 32) | low;
        self.push_decimal(col, i128::from(value), MONEY_SCALE);
    }

    fn write_smallmoney(&mut self, col: usize, val: SqlSmallMoney) {
        self.push_decimal(col, i128::from(val.int_val), MONEY_SCALE);
    }

    fn write_uuid(&mut self, col: usize, val: Uuid) {
        self.push(col, |values| match values {
            Values::Uuid(values) => {
                values.extend_from_slice(val.as_bytes());
                Ok(())
            }
            other => other.otherwise(val.hyphenated()),
        });
    }

    fn write_xml(&mut self, col: usize, val: SqlXml) {
        self.bytes += val.bytes.len();
        self.push(col, |values| match values {
            Values::Wide(column) => {
                text::push_xml(&val.bytes, &mut column.data)?;
                Ok(column.end()?)
            }
            _ => Err(Reject::Malformed),
        });
    }

    fn write_json(&mut self, col: usize, _val: SqlJson) {
        self.refuse(col, Reject::Malformed);
    }

    fn write_vector(&mut self, col: usize, _val: SqlVector) {
        self.refuse(col, Reject::Malformed);
    }

    fn end_row(&mut self) {
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array as _, AsArray as _};
    use arrow::datatypes::{Decimal128Type, Int32Type, Schema};

    use super::*;
    use crate::sql_server::kind::AllowLossy;

    fn rows(kinds: &[Kind]) -> Rows {
        let allowed = AllowLossy::default();
        let fields = kinds
            .iter()
            .map(|kind| kind.field("c", true, &allowed).unwrap());
        Rows::new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), kinds)
    }

    #[test]
    fn values_and_nulls_alternate() {
        let mut rows = rows(&[Kind::Int, Kind::Wide]);
        rows.write_i16(0, -7);
        rows.write_string(1, Cow::Borrowed(&[b'a', 0]), EncodingType::Utf16);
        rows.end_row();
        rows.write_null(0);
        rows.write_null(1);
        rows.end_row();
        rows.check().unwrap();
        let batch = rows.batch().unwrap().unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(0), -7);
        assert_eq!(batch.column(1).as_string::<i32>().value(0), "a");
        assert!(batch.column(0).is_null(1) && batch.column(1).is_null(1));
        assert!(rows.batch().unwrap().is_none());
    }

    #[test]
    fn money_is_exact() {
        let mut rows = rows(&[Kind::Money]);
        rows.write_money(
            0,
            SqlMoney {
                lsb_part: -1,
                msb_part: i32::MAX,
            },
        );
        rows.end_row();
        let batch = rows.batch().unwrap().unwrap();
        let value = batch.column(0).as_primitive::<Decimal128Type>().value(0);
        assert_eq!(value, i128::from(i64::MAX));
    }

    #[test]
    fn a_refused_value_names_its_column_and_row() {
        let mut rows = rows(&[Kind::Wide]);
        rows.write_null(0);
        rows.end_row();
        rows.write_string(0, Cow::Borrowed(&[0, 0xd8]), EncodingType::Utf16);
        rows.end_row();
        let error = rows.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            error.to_string(),
            "column `c` holds text that is not well formed (row: 2)"
        );
    }

    #[test]
    fn values_of_another_type_are_refused() {
        let mut rows = rows(&[Kind::Date]);
        rows.write_i64(0, 1);
        rows.end_row();
        assert_eq!(rows.check().unwrap_err().kind(), ErrorKind::Internal);
        // The row has kept its shape.
        assert_eq!(rows.batch().unwrap().unwrap().num_rows(), 1);
    }

    #[test]
    fn ticks_of_a_datetime_are_thirds_of_ten_milliseconds() {
        assert_eq!(tick_micros(0), 0);
        assert_eq!(tick_micros(1), 3_333);
        assert_eq!(tick_micros(2), 6_667);
        assert_eq!(tick_micros(3), 10_000);
        assert_eq!(tick_micros(25_919_999), 86_399_996_667);
    }
}
