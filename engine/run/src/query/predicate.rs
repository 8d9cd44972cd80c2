//! DataFusion's filters as predicates that sources understand.
//!
//! Only what keeps its meaning everywhere is translated. The engine applies every filter again, so that leaving one out
//! costs time and never a row.

use connectors::{Comparison, Literal, Predicate};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// The part of these filters, all of which must hold, that a source can use.
pub(super) fn translate(filters: &[Expr]) -> Option<Predicate> {
    let mut parts: Vec<Predicate> = filters.iter().filter_map(one).collect();
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Predicate::And(parts)),
    }
}

fn one(expr: &Expr) -> Option<Predicate> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => match (one(left), one(right)) {
            (Some(left), Some(right)) => Some(Predicate::And(vec![left, right])),
            (one, other) => one.or(other),
        },
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => Some(Predicate::Or(vec![one(left)?, one(right)?])),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, value) = match (column(left), literal(right)) {
                (Some(column), Some(value)) => (column, *op, value),
                _ => (column(right)?, op.swap()?, literal(left)?),
            };
            Some(Predicate::Compare {
                column,
                op: comparison(op)?,
                value,
            })
        }
        Expr::IsNull(inner) => Some(Predicate::IsNull(column(inner)?)),
        Expr::IsNotNull(inner) => Some(Predicate::IsNotNull(column(inner)?)),
        Expr::InList(list) if !list.negated && !list.list.is_empty() => {
            let values: Option<Vec<Literal>> = list.list.iter().map(literal).collect();
            Some(Predicate::In {
                column: column(&list.expr)?,
                values: values?,
            })
        }
        Expr::Between(between) if !between.negated => {
            let column = column(&between.expr)?;
            let bound = |op, value: &Expr| {
                literal(value).map(|value| Predicate::Compare {
                    column: column.clone(),
                    op,
                    value,
                })
            };
            Some(Predicate::And(vec![
                bound(Comparison::GreaterOrEqual, &between.low)?,
                bound(Comparison::LessOrEqual, &between.high)?,
            ]))
        }
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        _ => None,
    }
}

const fn comparison(op: Operator) -> Option<Comparison> {
    Some(match op {
        Operator::Eq => Comparison::Equal,
        Operator::NotEq => Comparison::NotEqual,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// Text is left out: a source may order and compare it by another collation.
fn literal(expr: &Expr) -> Option<Literal> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    Some(match value {
        ScalarValue::Boolean(Some(value)) => Literal::Bool(*value),
        ScalarValue::Int8(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::Int16(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::Int32(Some(value)) => Literal::Int(i64::from(*value)),
        ScalarValue::Int64(Some(value)) => Literal::Int(*value),
        ScalarValue::Date32(Some(days)) => Literal::Date(*days),
        ScalarValue::TimestampMicrosecond(Some(micros), None) => Literal::Timestamp(*micros),
        ScalarValue::TimestampMicrosecond(Some(micros), Some(_)) => Literal::TimestampTz(*micros),
        ScalarValue::Decimal128(Some(unscaled), precision, scale) if *scale >= 0 => {
            use arrow::datatypes::{Decimal128Type, DecimalType};
            Literal::Decimal(Decimal128Type::format_decimal(
                *unscaled, *precision, *scale,
            ))
        }
        _ => return None,
    })
}
