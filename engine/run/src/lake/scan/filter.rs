//! The part of a query's filters that can tell which files to leave out.
//!
//! Only what surely keeps every wanted row is translated; `DataFusion` applies all filters again.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use iceberg::Result;
use iceberg::expr::{Predicate, Reference};
use iceberg::spec::{Datum, NestedFieldRef, PrimitiveType, Schema, SchemaRef, TableMetadata, Type};

/// Values of an `IN` list beyond which it no longer tells files apart.
const MAX_LIST: usize = 1_000;

/// What all filters together say about files; `None` where they say nothing.
pub(super) fn predicate(filters: &[Expr], schema: &Schema) -> Option<Predicate> {
    filters
        .iter()
        .filter_map(|filter| translate(filter, schema))
        .reduce(Predicate::and)
}

/// The columns by which files can be told apart: those that have had one type all along. Bounds and partitions of older
/// files are of the narrower type, and the library takes values of two types to be neither more nor less nor the same.
pub(super) fn comparable(metadata: &TableMetadata, columns: &SchemaRef) -> Result<SchemaRef> {
    let was_another = |field: &NestedFieldRef| {
        metadata.schemas_iter().any(|schema| {
            let then = schema.field_by_id(field.id);
            then.is_some_and(|then| then.field_type != field.field_type)
        })
    };
    let fields = columns.as_struct().fields();
    if !fields.iter().any(was_another) {
        return Ok(Arc::clone(columns));
    }
    let fields = fields.iter().filter(|field| !was_another(field)).cloned();
    let schema = Schema::builder().with_fields(fields).build()?;
    Ok(Arc::new(schema))
}

/// Whether the reader may drop rows by the filters, too. Files older than a wider decimal type hold the narrower one,
/// and the reader compares only equal types.
pub(super) fn exact_in_reader(filters: &[Expr], schema: &Schema) -> bool {
    let is_decimal = |name: &str| {
        let field = schema.as_struct().field_by_name(name);
        let type_ = field.and_then(|field| field.field_type.as_primitive_type());
        matches!(type_, Some(PrimitiveType::Decimal { .. }))
    };
    !filters
        .iter()
        .flat_map(Expr::column_refs)
        .any(|column| is_decimal(&column.name))
}

fn translate(expr: &Expr, schema: &Schema) -> Option<Predicate> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => {
            // One side alone keeps more rows than both: still safe.
            match (translate(left, schema), translate(right, schema)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (one, other) => one.or(other),
            }
        }
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => Some(translate(left, schema)?.or(translate(right, schema)?)),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (column, Expr::Literal(value, _)) => compare(column, *op, value, schema),
            (Expr::Literal(value, _), column) => compare(column, op.swap()?, value, schema),
            _ => None,
        },
        Expr::IsNull(column) => Some(reference(column, schema)?.0.is_null()),
        Expr::IsNotNull(column) => Some(reference(column, schema)?.0.is_not_null()),
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if list.len() <= MAX_LIST => {
            let (reference, type_) = reference(expr, schema)?;
            let value = |item: &Expr| match item {
                Expr::Literal(value, _) => datum(value, type_),
                _ => None,
            };
            Some(reference.is_in(list.iter().map(value).collect::<Option<Vec<Datum>>>()?))
        }
        _ => None,
    }
}

fn compare(column: &Expr, op: Operator, value: &ScalarValue, schema: &Schema) -> Option<Predicate> {
    let (reference, type_) = reference(column, schema)?;
    let value = datum(value, type_)?;
    Some(match op {
        Operator::Eq => reference.equal_to(value),
        Operator::Lt => reference.less_than(value),
        Operator::LtEq => reference.less_than_or_equal_to(value),
        Operator::Gt => reference.greater_than(value),
        Operator::GtEq => reference.greater_than_or_equal_to(value),
        _ => return None,
    })
}

/// A top-level column and its type.
fn reference<'a>(expr: &Expr, schema: &'a Schema) -> Option<(Reference, &'a PrimitiveType)> {
    let Expr::Column(column) = expr else {
        return None;
    };
    let field = schema.as_struct().field_by_name(&column.name)?;
    let Type::Primitive(type_) = field.field_type.as_ref() else {
        return None;
    };
    Some((Reference::new(&field.name), type_))
}

/// A value in the very type of the column. Floating point is left out: NaN and the two zeros sort differently there.
fn datum(value: &ScalarValue, type_: &PrimitiveType) -> Option<Datum> {
    Some(match (type_, value) {
        (PrimitiveType::Boolean, ScalarValue::Boolean(Some(value))) => Datum::bool(*value),
        (PrimitiveType::Int, value) => Datum::int(i32::try_from(integer(value)?).ok()?),
        (PrimitiveType::Long, value) => Datum::long(integer(value)?),
        (PrimitiveType::Date, ScalarValue::Date32(Some(days))) => Datum::date(*days),
        (PrimitiveType::Timestamp, ScalarValue::TimestampMicrosecond(Some(micros), None)) => {
            Datum::timestamp_micros(*micros)
        }
        (PrimitiveType::Timestamptz, ScalarValue::TimestampMicrosecond(Some(micros), Some(_))) => {
            Datum::timestamptz_micros(*micros)
        }
        (
            PrimitiveType::String,
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
        ) => Datum::string(text),
        (
            PrimitiveType::Decimal { scale, .. },
            ScalarValue::Decimal128(Some(unscaled), _, found),
        ) if i64::from(*found) == i64::from(*scale) => {
            Datum::try_from_bytes(&unscaled.to_be_bytes(), type_.clone()).ok()?
        }
        _ => return None,
    })
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(value) => value.map(i64::from),
        ScalarValue::Int16(value) => value.map(i64::from),
        ScalarValue::Int32(value) => value.map(i64::from),
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}
