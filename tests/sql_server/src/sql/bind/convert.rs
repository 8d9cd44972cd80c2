//! Conversions between T-SQL's types, written as casts and calls of functions in `tds`.

use super::Bound;
use crate::error::{Result, SqlError};
use crate::types::{Kind, MAX, SqlType, Value, variant};

/// Who asks for a conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// CAST or CONVERT: what is too long is cut.
    pub(crate) explicit: bool,
    pub(crate) style: Option<i64>,
}

impl How {
    pub(crate) const EXPLICIT: Self = Self {
        explicit: true,
        style: None,
    };
    pub(crate) const IMPLICIT: Self = Self {
        explicit: false,
        style: None,
    };
}

const DAY: &str = "864000000000";

pub(crate) fn convert(value: Bound, to: SqlType, how: How) -> Result<Bound> {
    if value.sql_type == to && how.style.is_none() {
        return Ok(value);
    }
    if value.is_null() {
        return Bound::constant(Value::Null, to);
    }
    let nullable = value.nullable;
    let sql = converted(&value, to, how)?;
    Ok(Bound {
        nullable,
        ..Bound::new(sql, to)
    })
}

fn unknown(from: SqlType, to: SqlType) -> SqlError {
    SqlError::unknown(&format!(
        "a conversion from {} to {}",
        from.name(),
        to.name()
    ))
}

fn converted(value: &Bound, to: SqlType, how: How) -> Result<String> {
    let (sql, from) = (&value.sql, value.sql_type);
    let pg = to.postgres();
    match (from.kind(), to.kind()) {
        (Kind::Integer | Kind::Exact | Kind::Approximate, Kind::Integer) => {
            Ok(to_integer(sql, from, to))
        }
        (Kind::Integer | Kind::Approximate | Kind::Exact, Kind::Exact) => Ok(to_exact(sql, to)),
        (Kind::Integer | Kind::Exact | Kind::Approximate, Kind::Approximate) => {
            Ok(format!("({sql})::{pg}"))
        }
        (Kind::Text | Kind::Xml, _) => of_text(value, to, how),
        (_, Kind::Text) => to_text(sql, from, to, how),
        (
            Kind::Date | Kind::Time | Kind::Moment | Kind::Offset,
            Kind::Date | Kind::Time | Kind::Moment | Kind::Offset,
        ) => times(sql, from, to),
        (Kind::Bytes | Kind::Clr, Kind::Bytes | Kind::Clr) => Ok(bytes_to_bytes(sql, to, how)),
        (Kind::Bytes, Kind::Integer) => Ok(to_integer(
            &format!("tds.int_of_bytes({sql})"),
            SqlType::BigInt,
            to,
        )),
        (Kind::Integer, Kind::Bytes) => integer_to_bytes(sql, from, to),
        (_, Kind::Variant) => match &value.constant {
            Some(constant) => Value::Bytes(variant(constant, from)?).literal(SqlType::Variant),
            None => Err(unknown(from, to)),
        },
        (Kind::Guid, Kind::Guid) => Ok(sql.clone()),
        _ => Err(unknown(from, to)),
    }
}

fn to_integer(sql: &str, from: SqlType, to: SqlType) -> String {
    if to == SqlType::Bit {
        return format!("(CASE WHEN ({sql}) <> 0 THEN 1 WHEN ({sql}) = 0 THEN 0 END)::smallint");
    }
    // T-SQL cuts what stands after the point; PostgreSQL would round it.
    let whole = if from.kind() == Kind::Integer {
        format!("({sql})")
    } else {
        format!("trunc(({sql})::numeric)")
    };
    if to == SqlType::TinyInt {
        return if from == SqlType::Bit {
            whole
        } else {
            format!("tds.tinyint({whole}::bigint)")
        };
    }
    format!("{whole}::{}", to.postgres())
}

fn to_exact(sql: &str, to: SqlType) -> String {
    match to {
        SqlType::Money => format!("tds.money(({sql})::numeric, 19)::numeric(19,4)"),
        SqlType::SmallMoney => format!("tds.money(({sql})::numeric, 10)::numeric(10,4)"),
        _ => format!("({sql})::{}", to.postgres()),
    }
}

fn of_text(value: &Bound, to: SqlType, how: How) -> Result<String> {
    let (sql, from) = (&value.sql, value.sql_type);
    Ok(match to.kind() {
        Kind::Text => text_to_text(sql, to, how),
        Kind::Xml => sql.clone(),
        Kind::Integer if to == SqlType::Bit => format!("tds.bit_of_text({sql})"),
        Kind::Integer => to_integer(
            &format!("tds.number_text({sql})::bigint"),
            SqlType::BigInt,
            to,
        ),
        Kind::Exact => to_exact(&format!("tds.number_text({sql})"), to),
        Kind::Approximate => format!("tds.number_text({sql})::{}", to.postgres()),
        Kind::Date => format!("tds.days_of_text({sql})"),
        Kind::Time => at_scale(&format!("tds.time_of_text({sql})"), to),
        Kind::Moment => at_scale(&format!("tds.ticks_of_text({sql})"), to),
        Kind::Offset => offset_at_scale(&format!("tds.offset_of_text({sql})"), to),
        Kind::Guid => format!("(btrim({sql}, '{{}}'))::uuid"),
        Kind::Bytes if matches!(how.style, Some(1)) => {
            bytes_to_bytes(&format!("decode(substr({sql}, 3), 'hex')"), to, how)
        }
        Kind::Bytes if matches!(how.style, Some(2)) => {
            bytes_to_bytes(&format!("decode({sql}, 'hex')"), to, how)
        }
        Kind::Bytes if how.explicit => match (&value.constant, from.is_national()) {
            (Some(Value::Text(text)), true) => {
                let bytes = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                bytes_to_bytes(
                    &Value::Bytes(bytes).literal(SqlType::VarBinary(MAX))?,
                    to,
                    how,
                )
            }
            (Some(Value::Text(text)), false) => {
                let bytes = from
                    .collation()
                    .unwrap_or(crate::types::Collation::DEFAULT)
                    .encode(text);
                bytes_to_bytes(
                    &Value::Bytes(bytes).literal(SqlType::VarBinary(MAX))?,
                    to,
                    how,
                )
            }
            _ => return Err(unknown(from, to)),
        },
        Kind::Variant => match &value.constant {
            Some(constant) => Value::Bytes(variant(constant, from)?).literal(SqlType::Variant)?,
            None => return Err(unknown(from, to)),
        },
        Kind::Bytes | Kind::Clr => {
            return Err(SqlError::new(
                257,
                16,
                format!(
                    "Implicit conversion from data type {} to {} is not allowed. Use the CONVERT function to run this query.",
                    from.name(),
                    to.name()
                ),
            ));
        }
    })
}

fn text_to_text(sql: &str, to: SqlType, how: How) -> String {
    let Some(length) = to.length().filter(|length| *length != MAX) else {
        return format!("({sql})");
    };
    let fitted = if how.explicit {
        format!("left({sql}, {length})")
    } else {
        format!("tds.fit({sql}, {length}, {})", to.is_national())
    };
    match to {
        SqlType::Char(..) => format!("rpad({fitted}, {length})"),
        SqlType::NChar(..) => format!("tds.pad_units({fitted}, {length})"),
        _ => fitted,
    }
}

fn to_text(sql: &str, from: SqlType, to: SqlType, how: How) -> Result<String> {
    let style = how.style.unwrap_or(0);
    let between = if matches!(style, 126 | 127) {
        "'T'"
    } else {
        "' '"
    };
    let known = matches!(style, 0 | 20 | 21 | 25 | 120 | 121 | 126 | 127);
    let text = match (from.kind(), style) {
        (Kind::Integer, 0) => format!("({sql})::text"),
        (Kind::Exact, 0) if matches!(from, SqlType::Money | SqlType::SmallMoney) => {
            format!("round({sql}, 2)::text")
        }
        (Kind::Exact, 2) if matches!(from, SqlType::Money | SqlType::SmallMoney) => {
            format!("({sql})::text")
        }
        (Kind::Exact, 0) => format!("({sql})::{}::text", from.postgres()),
        (Kind::Guid, 0) => format!("upper(({sql})::text)"),
        (Kind::Bytes, 1) => format!("'0x' || upper(encode({sql}, 'hex'))"),
        (Kind::Bytes, 2) => format!("upper(encode({sql}, 'hex'))"),
        (Kind::Date, 23 | 0 | 120 | 121 | 126) => format!("tds.text_of_days({sql})"),
        (Kind::Date, 112) => format!("replace(tds.text_of_days({sql}), '-', '')"),
        (Kind::Time, _) if known => format!("tds.text_of_time({sql}, {})", scale(from)),
        (Kind::Moment, 23) => format!("tds.text_of_days((({sql}) / {DAY})::integer)"),
        (Kind::Moment, 112) => {
            format!("replace(tds.text_of_days((({sql}) / {DAY})::integer), '-', '')")
        }
        (Kind::Moment, 20 | 120) => format!("tds.text_of_ticks({sql}, 0, {between})"),
        // The old types print themselves in words without a style; nobody should read those.
        (Kind::Moment, 0) if !matches!(from, SqlType::DateTime2(_)) => {
            return Err(unknown(from, to));
        }
        (Kind::Moment, _) if known && from == SqlType::DateTime => {
            // Its steps are not of a millisecond: the nearest one is printed.
            format!("tds.text_of_ticks(tds.at_scale({sql}, 3), 3, {between})")
        }
        (Kind::Moment, _) if known => {
            format!("tds.text_of_ticks({sql}, {}, {between})", scale(from))
        }
        (Kind::Offset, _) if known => {
            format!("tds.text_of_offset({sql}, {}, {between})", scale(from))
        }
        _ => return Err(unknown(from, to)),
    };
    Ok(text_to_text(&text, to, how))
}

/// The digits after the second that a type prints.
fn scale(sql_type: SqlType) -> u8 {
    match sql_type {
        SqlType::Time(scale) | SqlType::DateTime2(scale) | SqlType::DateTimeOffset(scale) => scale,
        SqlType::DateTime => 3,
        _ => 0,
    }
}

/// Ticks rounded to what a type can hold.
fn at_scale(sql: &str, to: SqlType) -> String {
    match to {
        SqlType::DateTime => format!("tds.datetime({sql})"),
        SqlType::SmallDateTime => format!("tds.smalldatetime({sql})"),
        SqlType::DateTime2(7) | SqlType::Time(7) => sql.to_owned(),
        SqlType::Time(scale) => format!("(tds.at_scale({sql}, {scale}) % {DAY})"),
        SqlType::DateTime2(scale) => format!("tds.at_scale({sql}, {scale})"),
        _ => sql.to_owned(),
    }
}

fn offset_at_scale(sql: &str, to: SqlType) -> String {
    match to {
        SqlType::DateTimeOffset(scale) if scale < 7 => {
            format!(
                "(SELECT CASE WHEN o IS NOT NULL THEN ARRAY[tds.at_scale(o[1], {scale}), o[2]] END FROM (SELECT {sql} AS o) AS offsets)"
            )
        }
        _ => sql.to_owned(),
    }
}

fn times(sql: &str, from: SqlType, to: SqlType) -> Result<String> {
    // Everything goes by way of the local moment.
    let moment = match from.kind() {
        Kind::Date => format!("(({sql})::bigint * {DAY})"),
        Kind::Time => format!("(({sql}) + 599266080000000000)"),
        Kind::Offset => format!("(({sql})[1] + ({sql})[2] * 600000000)"),
        _ => format!("({sql})"),
    };
    Ok(match (from.kind(), to.kind()) {
        (Kind::Date, Kind::Time) | (Kind::Time, Kind::Date) => return Err(unknown(from, to)),
        (Kind::Offset, Kind::Offset) => offset_at_scale(sql, to),
        (Kind::Date, Kind::Date) => sql.to_owned(),
        (_, Kind::Date) => format!("({moment} / {DAY})::integer"),
        (Kind::Time, Kind::Time) => at_scale(&format!("({sql})"), to),
        (_, Kind::Time) => at_scale(&format!("({moment} % {DAY})"), to),
        (_, Kind::Offset) => offset_at_scale(
            &format!("(CASE WHEN {moment} IS NOT NULL THEN ARRAY[{moment}, 0] END)::bigint[]"),
            to,
        ),
        _ => at_scale(&moment, to),
    })
}

fn bytes_to_bytes(sql: &str, to: SqlType, how: How) -> String {
    let length = to.length().filter(|length| *length != MAX);
    let Some(length) = length else {
        return format!("({sql})");
    };
    let fitted = if how.explicit {
        format!("substr({sql}, 1, {length})")
    } else {
        format!("tds.fit_bytes({sql}, {length})")
    };
    match to {
        SqlType::Binary(_) | SqlType::RowVersion => format!("tds.pad_bytes({fitted}, {length})"),
        _ => fitted,
    }
}

fn integer_to_bytes(sql: &str, from: SqlType, to: SqlType) -> Result<String> {
    let sent = match from {
        SqlType::BigInt => format!("int8send({sql})"),
        SqlType::Int => format!("int4send({sql})"),
        _ => return Err(unknown(from, to)),
    };
    match to {
        SqlType::Binary(width) => Ok(format!("tds.last_bytes({sent}, {width})")),
        SqlType::VarBinary(MAX) => Ok(sent),
        SqlType::VarBinary(width) if width >= 8 => Ok(sent),
        _ => Err(unknown(from, to)),
    }
}

/// A stored column as a value of another type: ALTER COLUMN.
pub(crate) fn stored(column: &str, from: SqlType, to: SqlType) -> Result<String> {
    convert(Bound::new(column, from), to, How::IMPLICIT).map(|bound| bound.sql)
}

/// A value that came over the wire, as a literal for a column.
pub(crate) fn constant(value: &Value, from: SqlType, to: SqlType) -> Result<String> {
    let value = Bound::constant(value.clone(), from)?;
    convert(value, to, How::IMPLICIT).map(|bound| bound.sql)
}
