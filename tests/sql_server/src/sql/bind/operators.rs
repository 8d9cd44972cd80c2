//! Arithmetic and comparison, and the type that two types make together.

use super::convert::{How, convert};
use super::{Bound, postgres_collation};
use crate::error::{Result, SqlError};
use crate::types::{Collation, Kind, MAX, SqlType};

pub(super) fn arithmetic(operator: &str, left: Bound, right: Bound) -> Result<Bound> {
    let nullable = left.nullable || right.nullable;
    let kinds = (left.sql_type.kind(), right.sql_type.kind());
    let bound = match kinds {
        (Kind::Text, Kind::Text) if operator == "+" => concatenation(&left, &right),
        (Kind::Bytes, Kind::Bytes) if operator == "+" => Bound::new(
            format!("({} || {})", left.sql, right.sql),
            SqlType::VarBinary(MAX),
        ),
        _ if is_number(kinds.0) || is_number(kinds.1) => calculation(operator, left, right)?,
        _ => return Err(SqlError::unknown(operator)),
    };
    Ok(Bound { nullable, ..bound })
}

fn calculation(operator: &str, left: Bound, right: Bound) -> Result<Bound> {
    let sql_type = if left.is_null() {
        right.sql_type
    } else if right.is_null() {
        left.sql_type
    } else {
        unified(left.sql_type, right.sql_type)
    };
    let numeric = |bound: Bound| {
        if is_number(bound.sql_type.kind()) {
            Ok(bound)
        } else {
            convert(bound, sql_type, How::IMPLICIT)
        }
    };
    let (left, right) = (numeric(left)?, numeric(right)?);
    let written = if operator == "^" { "#" } else { operator };
    match sql_type.kind() {
        Kind::Integer => {
            let sql_type = if sql_type == SqlType::Bit {
                SqlType::Int
            } else {
                sql_type
            };
            let pg = sql_type.postgres();
            let sql = format!("(({})::{pg} {written} ({})::{pg})", left.sql, right.sql);
            let checked = if sql_type == SqlType::TinyInt {
                format!("tds.tinyint({sql})")
            } else {
                sql
            };
            Ok(Bound::new(checked, sql_type))
        }
        Kind::Approximate if "+-*/".contains(operator) => {
            let pg = sql_type.postgres();
            Ok(Bound::new(
                format!("(({})::{pg} {operator} ({})::{pg})", left.sql, right.sql),
                sql_type,
            ))
        }
        Kind::Exact if "+-*/%".contains(operator) => {
            let result = match sql_type {
                SqlType::Money | SqlType::SmallMoney => sql_type,
                _ => exact_result(operator, digits(left.sql_type), digits(right.sql_type)),
            };
            let scale = digits(result).1;
            let left = if operator == "/" {
                format!("round(({})::numeric, {scale})", left.sql)
            } else {
                format!("({})::numeric", left.sql)
            };
            let sql = format!("({left} {operator} ({})::numeric)", right.sql);
            convert(
                Bound::new(
                    sql,
                    SqlType::Numeric {
                        precision: 38,
                        scale,
                    },
                ),
                result,
                How::IMPLICIT,
            )
        }
        _ => Err(SqlError::unknown(operator)),
    }
}

pub(super) fn comparison(operator: &str, left: Bound, right: Bound) -> Result<String> {
    let kinds = (left.sql_type.kind(), right.sql_type.kind());
    if left.is_null() || right.is_null() {
        return Ok("NULL::boolean".to_owned());
    }
    // PostgreSQL compares numbers of all widths, and finds their keys, as they are.
    if is_number(kinds.0) && is_number(kinds.1) {
        return Ok(format!("({} {operator} {})", left.sql, right.sql));
    }
    let sql_type = unified(left.sql_type, right.sql_type);
    let collation = collation_of(&left, &right);
    let left = convert(left, sql_type, How::EXPLICIT)?;
    let right = convert(right, sql_type, How::EXPLICIT)?;
    let (left, right) = (&left.sql, &right.sql);
    Ok(match sql_type.kind() {
        // Blanks at the end do not count.
        Kind::Text => {
            let pg = postgres_collation(collation);
            format!("(rtrim({left}, ' ') COLLATE {pg} {operator} rtrim({right}, ' '))")
        }
        Kind::Guid if !matches!(operator, "=" | "<>") => {
            format!("(tds.guid_key({left}) {operator} tds.guid_key({right}))")
        }
        Kind::Offset => format!("(({left})[1] {operator} ({right})[1])"),
        Kind::Xml | Kind::Variant | Kind::Clr => return Err(SqlError::unknown(operator)),
        _ => format!("({left} {operator} {right})"),
    })
}

/// The collation of the side that is not a literal.
fn collation_of(left: &Bound, right: &Bound) -> Collation {
    let own = |bound: &Bound| {
        bound
            .sql_type
            .collation()
            .filter(|_| bound.constant.is_none())
    };
    own(left)
        .or_else(|| own(right))
        .unwrap_or(Collation::DEFAULT)
}

/// What ORDER BY and MIN look at in place of the value.
pub(super) fn order_key(bound: &Bound) -> Result<String> {
    Ok(match bound.sql_type.kind() {
        Kind::Guid => format!("tds.guid_key({})", bound.sql),
        Kind::Offset => format!("({})[1]", bound.sql),
        Kind::Text => {
            let collation = bound.sql_type.collation().unwrap_or(Collation::DEFAULT);
            format!("({} COLLATE {})", bound.sql, postgres_collation(collation))
        }
        Kind::Xml | Kind::Variant | Kind::Clr => return Err(SqlError::unknown("ORDER BY")),
        _ => bound.sql.clone(),
    })
}

fn is_number(kind: Kind) -> bool {
    matches!(kind, Kind::Integer | Kind::Exact | Kind::Approximate)
}

fn concatenation(left: &Bound, right: &Bound) -> Bound {
    let national = left.sql_type.is_national() || right.sql_type.is_national();
    let most = if national { 4000 } else { 8000 };
    let lengths = (left.sql_type.length(), right.sql_type.length());
    let length = match lengths {
        (Some(a), Some(b)) if a != MAX && b != MAX => (a + b).min(most),
        _ => MAX,
    };
    let collation = collation_of(left, right);
    let sql_type = if national {
        SqlType::NVarChar(length, collation)
    } else {
        SqlType::VarChar(length, collation)
    };
    Bound::new(format!("({} || {})", left.sql, right.sql), sql_type)
}

/// Precision and scale, as arithmetic sees them.
pub(super) fn digits(sql_type: SqlType) -> (u8, u8) {
    match sql_type {
        SqlType::Bit => (1, 0),
        SqlType::TinyInt => (3, 0),
        SqlType::SmallInt => (5, 0),
        SqlType::Int => (10, 0),
        SqlType::BigInt => (19, 0),
        SqlType::Money => (19, 4),
        SqlType::SmallMoney => (10, 4),
        SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
            (precision, scale)
        }
        _ => (38, 0),
    }
}

/// The documented rules for the precision and the scale of a result.
fn exact_result(operator: &str, left: (u8, u8), right: (u8, u8)) -> SqlType {
    let ((p1, s1), (p2, s2)) = (left, right);
    let whole = (p1 - s1).max(p2 - s2);
    let (precision, scale) = match operator {
        "*" => (p1 + p2 + 1, s1 + s2),
        "/" => {
            let scale = (s1 + p2 + 1).max(6);
            (p1 - s1 + s2 + scale, scale)
        }
        "%" => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        _ => (whole + s1.max(s2) + 1, s1.max(s2)),
    };
    if precision <= 38 {
        return SqlType::Decimal { precision, scale };
    }
    let whole = precision - scale;
    let scale = if matches!(operator, "*" | "/") {
        if whole < 32 {
            scale.min(38 - whole)
        } else {
            scale.min(6)
        }
    } else {
        38_u8.saturating_sub(whole).min(scale)
    };
    SqlType::Decimal {
        precision: 38,
        scale,
    }
}

/// The place of a type in T-SQL's order of precedence; a higher one takes the lower one over.
fn rank(sql_type: SqlType) -> u8 {
    match sql_type {
        SqlType::Binary(_) => 1,
        SqlType::VarBinary(_) => 2,
        SqlType::Char(..) => 3,
        SqlType::VarChar(..) => 4,
        SqlType::NChar(..) => 5,
        SqlType::NVarChar(..) => 6,
        SqlType::UniqueIdentifier => 7,
        SqlType::RowVersion => 8,
        SqlType::Image => 9,
        SqlType::Text(_) => 10,
        SqlType::NText(_) => 11,
        SqlType::Bit => 12,
        SqlType::TinyInt => 13,
        SqlType::SmallInt => 14,
        SqlType::Int => 15,
        SqlType::BigInt => 16,
        SqlType::SmallMoney => 17,
        SqlType::Money => 18,
        SqlType::Numeric { .. } => 19,
        SqlType::Decimal { .. } => 20,
        SqlType::Real => 21,
        SqlType::Float => 22,
        SqlType::Time(_) => 23,
        SqlType::Date => 24,
        SqlType::SmallDateTime => 25,
        SqlType::DateTime => 26,
        SqlType::DateTime2(_) => 27,
        SqlType::DateTimeOffset(_) => 28,
        SqlType::Xml => 29,
        SqlType::Variant => 30,
        SqlType::HierarchyId | SqlType::Geography | SqlType::Geometry => 31,
    }
}

/// The type of an expression that may have either type.
pub(super) fn unified(left: SqlType, right: SqlType) -> SqlType {
    let (low, high) = if rank(left) <= rank(right) {
        (left, right)
    } else {
        (right, left)
    };
    match (low, high) {
        (_, SqlType::Decimal { .. } | SqlType::Numeric { .. })
            if matches!(low.kind(), Kind::Integer | Kind::Exact) =>
        {
            let ((p1, s1), (p2, s2)) = (digits(low), digits(high));
            let scale = s1.max(s2);
            let precision = ((p1 - s1).max(p2 - s2) + scale).min(38);
            SqlType::Decimal { precision, scale }
        }
        _ if low.kind() == Kind::Text && high.kind() == Kind::Text => longer_text(low, high),
        (
            SqlType::Binary(a) | SqlType::VarBinary(a),
            SqlType::Binary(b) | SqlType::VarBinary(b),
        ) => {
            if low == high {
                high
            } else {
                SqlType::VarBinary(a.max(b))
            }
        }
        (SqlType::DateTime2(a), SqlType::DateTime2(b)) => SqlType::DateTime2(a.max(b)),
        (SqlType::DateTime, SqlType::DateTime2(b)) => SqlType::DateTime2(b.max(3)),
        (SqlType::DateTimeOffset(a), SqlType::DateTimeOffset(b)) => {
            SqlType::DateTimeOffset(a.max(b))
        }
        (SqlType::DateTime2(a), SqlType::DateTimeOffset(b)) => SqlType::DateTimeOffset(a.max(b)),
        (SqlType::Time(a), SqlType::Time(b)) => SqlType::Time(a.max(b)),
        // A fraction in a text is not to be lost against a coarser type.
        (text, SqlType::Time(_)) if text.kind() == Kind::Text => SqlType::Time(7),
        (text, SqlType::DateTime2(_)) if text.kind() == Kind::Text => SqlType::DateTime2(7),
        (text, SqlType::DateTimeOffset(_)) if text.kind() == Kind::Text => {
            SqlType::DateTimeOffset(7)
        }
        (SqlType::Binary(_) | SqlType::VarBinary(_), SqlType::RowVersion) => {
            SqlType::VarBinary(8000)
        }
        _ => high,
    }
}

fn longer_text(low: SqlType, high: SqlType) -> SqlType {
    if low == high {
        return high;
    }
    let length = match (low.length(), high.length()) {
        (Some(a), Some(b)) => a.max(b),
        _ => MAX,
    };
    let collation = high.collation().unwrap_or(Collation::DEFAULT);
    if high.is_national() {
        SqlType::NVarChar(if length > 4000 { MAX } else { length }, collation)
    } else {
        SqlType::VarChar(if length > 8000 { MAX } else { length }, collation)
    }
}
