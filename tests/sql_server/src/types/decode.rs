//! Bytes of the wire → types and values: the parameters of calls, and the rows of a bulk load.
//!
//! The mirror of `encode`, which knows more types only in the form that a server may announce.

use uuid::Uuid;

use super::encode::{DAYS_TO_1900, TICKS_OF_DAY};
use super::{Collation, MAX, SqlType, Value};
use crate::error::{Result, SqlError};
use crate::wire::{Reader, utf16};

/// A type as it was announced: what it is, and how the length of its values is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    pub(crate) sql_type: SqlType,
    length: Length,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Fixed(u8),
    Byte,
    Short,
    /// `text`, `ntext`, `image`: a text pointer first where `true`.
    Pointer,
    Long,
    Chunks,
    /// Always NULL.
    Nothing,
}

/// `TYPE_INFO`.
pub(crate) fn type_info(reader: &mut Reader<'_>) -> Result<Announced> {
    let token = reader.u8()?;
    let fixed = |sql_type, bytes| {
        Ok(Announced {
            sql_type,
            length: Length::Fixed(bytes),
        })
    };
    let byte = |sql_type| {
        Ok(Announced {
            sql_type,
            length: Length::Byte,
        })
    };
    match token {
        0x1f => Ok(Announced {
            sql_type: SqlType::Int,
            length: Length::Nothing,
        }),
        0x30 => fixed(SqlType::TinyInt, 1),
        0x32 => fixed(SqlType::Bit, 1),
        0x34 => fixed(SqlType::SmallInt, 2),
        0x38 => fixed(SqlType::Int, 4),
        0x7f => fixed(SqlType::BigInt, 8),
        0x3a => fixed(SqlType::SmallDateTime, 4),
        0x3d => fixed(SqlType::DateTime, 8),
        0x3b => fixed(SqlType::Real, 4),
        0x3e => fixed(SqlType::Float, 8),
        0x3c => fixed(SqlType::Money, 8),
        0x7a => fixed(SqlType::SmallMoney, 4),
        0x26 | 0x68 | 0x6d | 0x6e | 0x6f | 0x24 => {
            let width = reader.u8()?;
            byte(nullable(token, width)?)
        }
        0x37 | 0x3f | 0x6a | 0x6c => {
            reader.u8()?;
            let (precision, scale) = (reader.u8()?, reader.u8()?);
            byte(match token {
                0x6a | 0x37 => SqlType::Decimal { precision, scale },
                _ => SqlType::Numeric { precision, scale },
            })
        }
        0x28 => byte(SqlType::Date),
        0x29 => byte(SqlType::Time(reader.u8()?)),
        0x2a => byte(SqlType::DateTime2(reader.u8()?)),
        0x2b => byte(SqlType::DateTimeOffset(reader.u8()?)),
        _ => variable(token, reader),
    }
}

fn nullable(token: u8, width: u8) -> Result<SqlType> {
    Ok(match (token, width) {
        (0x26, 1) => SqlType::TinyInt,
        (0x26, 2) => SqlType::SmallInt,
        (0x26, 4) => SqlType::Int,
        (0x26, 8) => SqlType::BigInt,
        (0x68, _) => SqlType::Bit,
        (0x6d, 4) => SqlType::Real,
        (0x6d, 8) => SqlType::Float,
        (0x6e, 4) => SqlType::SmallMoney,
        (0x6e, 8) => SqlType::Money,
        (0x6f, 4) => SqlType::SmallDateTime,
        (0x6f, 8) => SqlType::DateTime,
        (0x24, _) => SqlType::UniqueIdentifier,
        _ => return Err(unknown(token)),
    })
}

fn variable(token: u8, reader: &mut Reader<'_>) -> Result<Announced> {
    match token {
        0xa5 | 0xad | 0xa7 | 0xaf | 0xe7 | 0xef => {
            let bytes = reader.u16()?;
            let length = if bytes == MAX {
                Length::Chunks
            } else {
                Length::Short
            };
            let size = if bytes == MAX { MAX } else { bytes.max(1) };
            let units = if size == MAX { MAX } else { size.div_ceil(2) };
            let sql_type = match token {
                0xa5 => SqlType::VarBinary(size),
                0xad => SqlType::Binary(size),
                0xa7 => SqlType::VarChar(size, collation(reader)?),
                0xaf => SqlType::Char(size, collation(reader)?),
                0xe7 => SqlType::NVarChar(units, collation(reader)?),
                _ => SqlType::NChar(units, collation(reader)?),
            };
            Ok(Announced { sql_type, length })
        }
        0x22 | 0x23 | 0x63 => {
            reader.u32()?;
            let sql_type = match token {
                0x22 => SqlType::Image,
                0x23 => SqlType::Text(collation(reader)?),
                _ => SqlType::NText(collation(reader)?),
            };
            Ok(Announced {
                sql_type,
                length: Length::Pointer,
            })
        }
        0xf1 => {
            if reader.u8()? != 0 {
                return Err(unknown(token));
            }
            Ok(Announced {
                sql_type: SqlType::Xml,
                length: Length::Chunks,
            })
        }
        0x62 => {
            reader.u32()?;
            Ok(Announced {
                sql_type: SqlType::Variant,
                length: Length::Long,
            })
        }
        0xf0 => clr(reader),
        _ => Err(unknown(token)),
    }
}

fn clr(reader: &mut Reader<'_>) -> Result<Announced> {
    for _ in 0..2 {
        reader.short_text()?;
    }
    let sql_type = match reader.short_text()?.to_ascii_lowercase().as_str() {
        "hierarchyid" => SqlType::HierarchyId,
        "geography" => SqlType::Geography,
        "geometry" => SqlType::Geometry,
        _ => return Err(unknown(0xf0)),
    };
    Ok(Announced {
        sql_type,
        length: Length::Chunks,
    })
}

fn collation(reader: &mut Reader<'_>) -> Result<Collation> {
    reader.collation().map(Collation::of_wire)
}

fn unknown(token: u8) -> SqlError {
    SqlError::new(
        8016,
        16,
        format!("The data type 0x{token:02x} is not known."),
    )
}

impl Announced {
    /// A value of a parameter, or of a row: `in_row` where `text` and its kin have a text pointer.
    pub(crate) fn value(self, reader: &mut Reader<'_>, in_row: bool) -> Result<Value> {
        let bytes = match self.length {
            Length::Nothing => return Ok(Value::Null),
            Length::Fixed(width) => Some(reader.bytes(usize::from(width))?.to_vec()),
            Length::Byte => match reader.u8()? {
                0 => None,
                width => Some(reader.bytes(usize::from(width))?.to_vec()),
            },
            Length::Short => match reader.u16()? {
                MAX => None,
                width => Some(reader.bytes(usize::from(width))?.to_vec()),
            },
            Length::Long => match reader.length()? {
                0 => None,
                width => Some(reader.bytes(width)?.to_vec()),
            },
            Length::Pointer => pointed(reader, in_row)?,
            Length::Chunks => chunks(reader)?,
        };
        bytes.map_or(Ok(Value::Null), |bytes| bare(&bytes, self.sql_type))
    }
}

fn pointed(reader: &mut Reader<'_>, in_row: bool) -> Result<Option<Vec<u8>>> {
    if in_row {
        match reader.u8()? {
            0 => return Ok(None),
            width => reader.bytes(usize::from(width) + 8)?,
        };
    }
    let width = reader.u32()?;
    if width == u32::MAX {
        return Ok(None);
    }
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    reader.bytes(width).map(|bytes| Some(bytes.to_vec()))
}

fn chunks(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>> {
    if reader.u64()? == u64::MAX {
        return Ok(None);
    }
    let mut all = Vec::new();
    loop {
        match reader.length()? {
            0 => return Ok(Some(all)),
            width => all.extend(reader.bytes(width)?),
        }
    }
}

/// A value from its bytes alone.
fn bare(bytes: &[u8], sql_type: SqlType) -> Result<Value> {
    let mut reader = Reader::new(bytes);
    Ok(match sql_type {
        SqlType::Bit | SqlType::TinyInt => Value::Integer(i64::from(reader.u8()?)),
        SqlType::SmallInt => Value::Integer(i64::from(reader.u16()?.cast_signed())),
        SqlType::Int => Value::Integer(i64::from(reader.i32()?)),
        SqlType::BigInt => Value::Integer(reader.u64()?.cast_signed()),
        SqlType::Decimal { scale, .. } | SqlType::Numeric { scale, .. } => {
            let negative = reader.u8()? == 0;
            Value::Exact {
                negative,
                digits: unsigned(reader.rest())?,
                scale,
            }
        }
        SqlType::Money => {
            let high = i64::from(reader.i32()?);
            money((high << 32) | i64::from(reader.u32()?))
        }
        SqlType::SmallMoney => money(i64::from(reader.i32()?)),
        SqlType::Real => Value::Float(shortest(f32::from_bits(reader.u32()?))),
        SqlType::Float => Value::Float(f64::from_bits(reader.u64()?)),
        SqlType::Date => Value::Days(signed(bytes)?),
        SqlType::Time(scale) => Value::Ticks(time(bytes, scale)?),
        SqlType::SmallDateTime => {
            let days = i64::from(reader.u16()?) + DAYS_TO_1900;
            Value::Ticks(days * TICKS_OF_DAY + i64::from(reader.u16()?) * 600_000_000)
        }
        SqlType::DateTime => {
            let days = i64::from(reader.i32()?) + DAYS_TO_1900;
            let thirds = i64::from(reader.u32()?);
            Value::Ticks(days * TICKS_OF_DAY + (thirds * 100_000 + 1) / 3)
        }
        SqlType::DateTime2(scale) => Value::Ticks(moment(bytes, scale)?),
        SqlType::DateTimeOffset(scale) => {
            let at = bytes.len().saturating_sub(2);
            let ticks = moment(reader.bytes(at)?, scale)?;
            Value::Offset(ticks, reader.u16()?.cast_signed())
        }
        SqlType::NChar(..) | SqlType::NVarChar(..) | SqlType::NText(_) => Value::Text(utf16(bytes)),
        SqlType::Xml => {
            let text = utf16(bytes);
            Value::Text(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
        }
        SqlType::Char(..) | SqlType::VarChar(..) | SqlType::Text(_) => {
            let collation = sql_type.collation().unwrap_or(Collation::DEFAULT);
            Value::Text(collation.decode(bytes))
        }
        SqlType::UniqueIdentifier => {
            let bytes = bytes.try_into().map_err(|_| unknown(0x24))?;
            Value::Guid(Uuid::from_bytes_le(bytes))
        }
        _ => Value::Bytes(bytes.to_vec()),
    })
}

/// The double that prints like the single.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn money(ten_thousandths: i64) -> Value {
    Value::Exact {
        negative: ten_thousandths < 0,
        digits: u128::from(ten_thousandths.unsigned_abs()),
        scale: 4,
    }
}

/// Little-endian, of any width up to sixteen bytes.
fn unsigned(bytes: &[u8]) -> Result<u128> {
    let mut all = [0; 16];
    all.get_mut(..bytes.len())
        .ok_or_else(|| SqlError::protocol("A number is too wide."))?
        .copy_from_slice(bytes);
    Ok(u128::from_le_bytes(all))
}

fn signed(bytes: &[u8]) -> Result<i64> {
    i64::try_from(unsigned(bytes)?).map_err(|_| SqlError::protocol("A number is too wide."))
}

fn time(bytes: &[u8], scale: u8) -> Result<i64> {
    Ok(signed(bytes)? * 10_i64.pow(7 - u32::from(scale.min(7))))
}

fn moment(bytes: &[u8], scale: u8) -> Result<i64> {
    let mut reader = Reader::new(bytes);
    let of_day = time(reader.bytes(bytes.len().saturating_sub(3))?, scale)?;
    Ok(signed(reader.rest())? * TICKS_OF_DAY + of_day)
}
