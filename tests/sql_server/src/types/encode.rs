//! Types and values → bytes of the wire (MS-TDS 2.2.5.4 to 2.2.5.6).
//!
//! Knows how each type is announced and how each value is written. Does not know which token it stands in.

use super::{Collation, MAX, SqlType, Value};
use crate::error::{Result, SqlError};

/// The days from 0001-01-01 to 1900-01-01, where the old types begin.
pub(crate) const DAYS_TO_1900: i64 = 693_595;
pub(crate) const TICKS_OF_DAY: i64 = 864_000_000_000;

/// The bytes of a decimal of this precision, its sign included.
pub(crate) fn decimal_length(precision: u8) -> u8 {
    match precision {
        0..=9 => 5,
        10..=19 => 9,
        20..=28 => 13,
        _ => 17,
    }
}

pub(crate) fn time_length(scale: u8) -> u8 {
    match scale {
        0..=2 => 3,
        3..=4 => 4,
        _ => 5,
    }
}

/// The token and width of a type that has a fixed form for columns without NULL.
fn fixed(sql_type: SqlType) -> Option<(u8, u8, u8)> {
    Some(match sql_type {
        SqlType::Bit => (0x32, 0x68, 1),
        SqlType::TinyInt => (0x30, 0x26, 1),
        SqlType::SmallInt => (0x34, 0x26, 2),
        SqlType::Int => (0x38, 0x26, 4),
        SqlType::BigInt => (0x7f, 0x26, 8),
        SqlType::Real => (0x3b, 0x6d, 4),
        SqlType::Float => (0x3e, 0x6d, 8),
        SqlType::Money => (0x3c, 0x6e, 8),
        SqlType::SmallMoney => (0x7a, 0x6e, 4),
        SqlType::DateTime => (0x3d, 0x6f, 8),
        SqlType::SmallDateTime => (0x3a, 0x6f, 4),
        _ => return None,
    })
}

/// `TYPE_INFO`.
pub(crate) fn type_info(sql_type: SqlType, nullable: bool, database: &str, out: &mut Vec<u8>) {
    if let Some((plain, nulls, length)) = fixed(sql_type) {
        if nullable {
            out.extend([nulls, length]);
        } else {
            out.push(plain);
        }
        return;
    }
    match sql_type {
        SqlType::Decimal { precision, scale } => {
            out.extend([0x6a, decimal_length(precision), precision, scale]);
        }
        SqlType::Numeric { precision, scale } => {
            out.extend([0x6c, decimal_length(precision), precision, scale]);
        }
        SqlType::Date => out.push(0x28),
        SqlType::Time(scale) => out.extend([0x29, scale]),
        SqlType::DateTime2(scale) => out.extend([0x2a, scale]),
        SqlType::DateTimeOffset(scale) => out.extend([0x2b, scale]),
        SqlType::Char(n, collation) => text(0xaf, n, collation, out),
        SqlType::VarChar(n, collation) => text(0xa7, n, collation, out),
        SqlType::NChar(n, collation) => text(0xef, n * 2, collation, out),
        SqlType::NVarChar(MAX, collation) => text(0xe7, MAX, collation, out),
        SqlType::NVarChar(n, collation) => text(0xe7, n * 2, collation, out),
        SqlType::Binary(n) => sized(0xad, n, out),
        SqlType::RowVersion => sized(0xad, 8, out),
        SqlType::VarBinary(n) => sized(0xa5, n, out),
        SqlType::Text(collation) => large(0x23, i32::MAX, Some(collation), out),
        SqlType::NText(collation) => large(0x63, i32::MAX - 1, Some(collation), out),
        SqlType::Image => large(0x22, i32::MAX, None, out),
        SqlType::UniqueIdentifier => out.extend([0x24, 16]),
        SqlType::Xml => out.extend([0xf1, 0]),
        SqlType::Variant => {
            out.push(0x62);
            out.extend(8009_u32.to_le_bytes());
        }
        SqlType::HierarchyId => clr(892, database, "hierarchyid", "SqlHierarchyId", out),
        SqlType::Geography => clr(MAX, database, "geography", "SqlGeography", out),
        SqlType::Geometry => clr(MAX, database, "geometry", "SqlGeometry", out),
        _ => {}
    }
}

fn sized(token: u8, length: u16, out: &mut Vec<u8>) {
    out.push(token);
    out.extend(length.to_le_bytes());
}

fn text(token: u8, length: u16, collation: Collation, out: &mut Vec<u8>) {
    sized(token, length, out);
    out.extend(collation.wire());
}

/// The types before `(max)`; a column of one names its table too, which COLMETADATA writes.
fn large(token: u8, length: i32, collation: Option<Collation>, out: &mut Vec<u8>) {
    out.push(token);
    out.extend(length.to_le_bytes());
    if let Some(collation) = collation {
        out.extend(collation.wire());
    }
}

fn clr(length: u16, database: &str, name: &str, class: &str, out: &mut Vec<u8>) {
    out.push(0xf0);
    out.extend(length.to_le_bytes());
    for part in [database, "sys", name] {
        short_text(part, out);
    }
    let assembly = format!(
        "Microsoft.SqlServer.Types.{class}, Microsoft.SqlServer.Types, Version=11.0.0.0, Culture=neutral, PublicKeyToken=89845dcd8080cc91"
    );
    long_text(&assembly, out);
}

/// `B_VARCHAR`: a byte of length in characters, at most 255 of them.
pub(crate) fn short_text(value: &str, out: &mut Vec<u8>) {
    let units: Vec<u16> = value.encode_utf16().take(255).collect();
    out.push(u8::try_from(units.len()).unwrap_or(255));
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
}

/// `US_VARCHAR`: two bytes of length.
pub(crate) fn long_text(value: &str, out: &mut Vec<u8>) {
    let units: Vec<u16> = value.encode_utf16().take(4000).collect();
    out.extend(u16::try_from(units.len()).unwrap_or(4000).to_le_bytes());
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
}

pub(crate) fn utf16(value: &str) -> Vec<u8> {
    value.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A value as it stands in a ROW or a RETURNVALUE after its `TYPE_INFO`.
pub(crate) fn value(
    value: &Value,
    sql_type: SqlType,
    nullable: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    if *value == Value::Null {
        null(sql_type, out);
        return Ok(());
    }
    let bytes = bare(value, sql_type)?;
    let long =
        |out: &mut Vec<u8>| out.extend(u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
    match sql_type {
        _ if fixed(sql_type).is_some() && !nullable => {}
        SqlType::Text(_) | SqlType::NText(_) | SqlType::Image => {
            out.push(16);
            out.extend(*b"the text pointer");
            out.extend(*b"its time");
            long(out);
        }
        SqlType::Variant => long(out),
        _ if is_chunked(sql_type) => {
            out.extend((bytes.len() as u64).to_le_bytes());
            if !bytes.is_empty() {
                long(out);
                out.extend(&bytes);
            }
            out.extend(0_u32.to_le_bytes());
            return Ok(());
        }
        _ if has_long_length(sql_type) => {
            out.extend(
                u16::try_from(bytes.len())
                    .map_err(|_| too_long())?
                    .to_le_bytes(),
            );
        }
        _ => out.push(u8::try_from(bytes.len()).map_err(|_| too_long())?),
    }
    out.extend(bytes);
    Ok(())
}

fn null(sql_type: SqlType, out: &mut Vec<u8>) {
    match sql_type {
        SqlType::Variant => out.extend([0; 4]),
        _ if is_chunked(sql_type) => out.extend([0xff; 8]),
        _ if has_long_length(sql_type) => out.extend([0xff; 2]),
        _ => out.push(0),
    }
}

fn too_long() -> SqlError {
    SqlError::new(2628, 16, "String or binary data would be truncated.")
}

/// Whether its values travel in chunks (PLP).
pub(crate) fn is_chunked(sql_type: SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::VarChar(MAX, _)
            | SqlType::NVarChar(MAX, _)
            | SqlType::VarBinary(MAX)
            | SqlType::Xml
            | SqlType::HierarchyId
            | SqlType::Geography
            | SqlType::Geometry
    )
}

fn has_long_length(sql_type: SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::Char(..)
            | SqlType::VarChar(..)
            | SqlType::NChar(..)
            | SqlType::NVarChar(..)
            | SqlType::Binary(_)
            | SqlType::VarBinary(_)
            | SqlType::RowVersion
    )
}

/// The value without any length in front.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the declared type says how wide the number is, and PostgreSQL has kept it within"
)]
fn bare(value: &Value, sql_type: SqlType) -> Result<Vec<u8>> {
    Ok(match (sql_type, value) {
        (SqlType::Bit | SqlType::TinyInt, Value::Integer(v)) => vec![*v as u8],
        (SqlType::SmallInt, Value::Integer(v)) => (*v as i16).to_le_bytes().to_vec(),
        (SqlType::Int, Value::Integer(v)) => (*v as i32).to_le_bytes().to_vec(),
        (SqlType::BigInt, Value::Integer(v)) => v.to_le_bytes().to_vec(),
        (SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale }, _) => {
            decimal(value, precision, scale)?
        }
        (SqlType::Money, _) => {
            let count = ten_thousandths(value)?;
            let low = (count as u32).to_le_bytes();
            [((count >> 32) as i32).to_le_bytes(), low].concat()
        }
        (SqlType::SmallMoney, _) => (ten_thousandths(value)? as i32).to_le_bytes().to_vec(),
        (SqlType::Real, Value::Float(v)) => (*v as f32).to_le_bytes().to_vec(),
        (SqlType::Float, Value::Float(v)) => v.to_le_bytes().to_vec(),
        (SqlType::Date, Value::Days(days)) => days_bytes(*days),
        (SqlType::Time(scale), Value::Ticks(ticks)) => time(*ticks, scale),
        (SqlType::SmallDateTime, Value::Ticks(ticks)) => {
            let (days, rest) = old_days(*ticks);
            let minutes = (rest / 600_000_000) as u16;
            [(days as u16).to_le_bytes(), minutes.to_le_bytes()].concat()
        }
        (SqlType::DateTime, Value::Ticks(ticks)) => {
            let (days, rest) = old_days(*ticks);
            let thirds = ((rest * 3 + 50_000) / 100_000) as i32;
            [(days as i32).to_le_bytes(), thirds.to_le_bytes()].concat()
        }
        (SqlType::DateTime2(scale), Value::Ticks(ticks)) => moment(*ticks, scale),
        (SqlType::DateTimeOffset(scale), Value::Offset(ticks, minutes)) => {
            let mut bytes = moment(*ticks, scale);
            bytes.extend(minutes.to_le_bytes());
            bytes
        }
        (SqlType::NChar(..) | SqlType::NVarChar(..) | SqlType::NText(_), Value::Text(text)) => {
            utf16(text)
        }
        (SqlType::Xml, Value::Text(text)) => [vec![0xff, 0xfe], utf16(text)].concat(),
        (SqlType::Char(..) | SqlType::VarChar(..) | SqlType::Text(_), Value::Text(text)) => {
            sql_type
                .collation()
                .unwrap_or(Collation::DEFAULT)
                .encode(text)
        }
        (SqlType::UniqueIdentifier, Value::Guid(guid)) => guid.to_bytes_le().to_vec(),
        (_, Value::Bytes(bytes)) => bytes.clone(),
        (sql_type, value) => {
            return Err(SqlError::protocol(&format!(
                "{value:?} is no {}",
                sql_type.name()
            )));
        }
    })
}

fn decimal(value: &Value, precision: u8, scale: u8) -> Result<Vec<u8>> {
    let (negative, digits) = value.at_scale(scale).ok_or_else(|| {
        SqlError::new(8115, 16, "Arithmetic overflow error converting to numeric.")
    })?;
    let mut bytes = vec![u8::from(!negative)];
    let width = usize::from(decimal_length(precision) - 1);
    bytes.extend(digits.to_le_bytes().into_iter().take(width));
    Ok(bytes)
}

fn ten_thousandths(value: &Value) -> Result<i64> {
    let overflow = || SqlError::new(8115, 16, "Arithmetic overflow error converting to money.");
    let (negative, digits) = value.at_scale(4).ok_or_else(overflow)?;
    let digits = i128::try_from(digits).map_err(|_| overflow())?;
    i64::try_from(if negative { -digits } else { digits }).map_err(|_| overflow())
}

fn days_bytes(days: i64) -> Vec<u8> {
    days.to_le_bytes().into_iter().take(3).collect()
}

fn time(ticks: i64, scale: u8) -> Vec<u8> {
    let units = ticks / 10_i64.pow(7 - u32::from(scale.min(7)));
    units
        .to_le_bytes()
        .into_iter()
        .take(usize::from(time_length(scale)))
        .collect()
}

fn moment(ticks: i64, scale: u8) -> Vec<u8> {
    let mut bytes = time(ticks.rem_euclid(TICKS_OF_DAY), scale);
    bytes.extend(days_bytes(ticks.div_euclid(TICKS_OF_DAY)));
    bytes
}

/// Days since 1900, and the ticks of the day.
fn old_days(ticks: i64) -> (i64, i64) {
    (
        ticks.div_euclid(TICKS_OF_DAY) - DAYS_TO_1900,
        ticks.rem_euclid(TICKS_OF_DAY),
    )
}

/// The bytes of a `sql_variant`: its base type, the properties of it, and the value.
pub(crate) fn variant(value: &Value, base: SqlType) -> Result<Vec<u8>> {
    let not_here = || SqlError::unknown(&format!("sql_variant of {}", base.name()));
    let mut out = Vec::new();
    match base {
        _ if fixed(base).is_some() => out.extend([fixed(base).map_or(0, |(token, ..)| token), 0]),
        SqlType::Decimal { precision, scale } => out.extend([0x6a, 2, precision, scale]),
        SqlType::Numeric { precision, scale } => out.extend([0x6c, 2, precision, scale]),
        SqlType::Date => out.extend([0x28, 0]),
        SqlType::Time(scale) => out.extend([0x29, 1, scale]),
        SqlType::DateTime2(scale) => out.extend([0x2a, 1, scale]),
        SqlType::DateTimeOffset(scale) => out.extend([0x2b, 1, scale]),
        SqlType::UniqueIdentifier => out.extend([0x24, 0]),
        SqlType::Char(n, c)
        | SqlType::VarChar(n, c)
        | SqlType::NChar(n, c)
        | SqlType::NVarChar(n, c)
            if n != MAX =>
        {
            let (token, unit) = if base.is_national() {
                (0xe7, 2)
            } else {
                (0xa7, 1)
            };
            out.extend([token, 7]);
            out.extend(c.wire());
            out.extend((n * unit).to_le_bytes());
        }
        SqlType::Binary(n) | SqlType::VarBinary(n) if n != MAX => {
            out.extend([0xa5, 2]);
            out.extend(n.to_le_bytes());
        }
        _ => return Err(not_here()),
    }
    out.extend(bare(value, base)?);
    Ok(out)
}
