//! Values and conditions.

use std::fmt::Write as _;

use super::convert::{How, convert};
use super::operators::{arithmetic, comparison, unified};
use super::{Binder, Bound, Scope};
use crate::error::{Result, SqlError};
use crate::sql::syntax::{Expression, Query};
use crate::types::{Collation, Kind, MAX, SqlType, Value};

/// How deep views and subqueries may stand in one another.
const DEEPEST: u32 = 32;

impl Binder<'_> {
    /// Counts how deep queries nest, views among them.
    pub(super) fn deeper<T>(&self, bind: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.depth.get() >= DEEPEST {
            return Err(SqlError::new(217, 16, "Maximum nesting level exceeded."));
        }
        self.depth.set(self.depth.get() + 1);
        let bound = bind();
        self.depth.set(self.depth.get() - 1);
        bound
    }

    pub(super) fn value(&self, expression: &Expression, scope: &Scope<'_>) -> Result<Bound> {
        match expression {
            Expression::Variable(name) => self.variable(name),
            Expression::Column(name) => scope.column(name),
            Expression::Negated(inner) => self.negated(inner, scope),
            Expression::Arithmetic(operator, left, right) => {
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                arithmetic(operator, left, right)
            }
            Expression::Case {
                operand,
                branches,
                otherwise,
            } => self.case(operand.as_deref(), branches, otherwise.as_deref(), scope),
            Expression::Cast {
                value,
                to,
                style,
                tolerant: false,
            } => {
                let value = self.value(value, scope)?;
                convert(
                    value,
                    *to,
                    How {
                        explicit: true,
                        style: *style,
                    },
                )
            }
            Expression::Call {
                name,
                arguments,
                distinct,
                star,
                over,
            } => {
                if let Some(bound) =
                    self.aggregate(name, arguments, *distinct, *star, over.as_ref(), scope)?
                {
                    return Ok(bound);
                }
                if *distinct || *star || over.is_some() {
                    return Err(SqlError::unknown(name));
                }
                self.call(name, arguments, scope)
            }
            Expression::Query(query) => {
                let (sql, sql_type) = self.single_column(query, scope)?;
                Ok(Bound::new(format!("({sql})"), sql_type))
            }
            Expression::Collate(inner, name) => self.collated(inner, name, scope),
            // A condition is no value in T-SQL.
            other => literal(other).unwrap_or_else(|| Err(SqlError::unknown("="))),
        }
    }

    /// A subquery that stands for values.
    fn single_column(&self, query: &Query, scope: &Scope<'_>) -> Result<(String, SqlType)> {
        let selected = self.query(query, Some(scope))?;
        match selected.columns.as_slice() {
            [column] => Ok((selected.sql.clone(), column.sql_type)),
            _ => Err(SqlError::new(
                116,
                16,
                "Only one expression can be specified in the select list when the subquery is not introduced with EXISTS.",
            )),
        }
    }

    fn negated(&self, inner: &Expression, scope: &Scope<'_>) -> Result<Bound> {
        let inner = self.value(inner, scope)?;
        match inner.sql_type.kind() {
            Kind::Integer | Kind::Exact | Kind::Approximate => Ok(Bound {
                sql: format!("(-{})", inner.sql),
                constant: None,
                identity: false,
                ..inner
            }),
            _ => Err(SqlError::unknown("-")),
        }
    }

    fn variable(&self, name: &str) -> Result<Bound> {
        if name.starts_with("@@") {
            return self.global(name);
        }
        let Some((sql_type, value)) = self.facts.variables.get(&name.to_lowercase()) else {
            return Err(SqlError::new(
                137,
                15,
                format!("Must declare the scalar variable \"{name}\"."),
            ));
        };
        Ok(Bound {
            nullable: true,
            ..Bound::constant(value.clone(), *sql_type)?
        })
    }

    fn collated(&self, inner: &Expression, name: &str, scope: &Scope<'_>) -> Result<Bound> {
        let inner = self.value(inner, scope)?;
        let collation = if name.eq_ignore_ascii_case("DATABASE_DEFAULT") {
            Some(Collation::DEFAULT)
        } else {
            Collation::named(name)
        };
        let collation = collation
            .ok_or_else(|| SqlError::new(448, 16, format!("Invalid collation '{name}'.")))?;
        let sql_type = match inner.sql_type {
            SqlType::Char(n, _) => SqlType::Char(n, collation),
            SqlType::VarChar(n, _) => SqlType::VarChar(n, collation),
            SqlType::NChar(n, _) => SqlType::NChar(n, collation),
            SqlType::NVarChar(n, _) => SqlType::NVarChar(n, collation),
            _ => return Err(SqlError::unknown("COLLATE")),
        };
        let sql = format!(
            "({} COLLATE {})",
            inner.sql,
            super::postgres_collation(collation)
        );
        Ok(Bound {
            sql,
            sql_type,
            ..inner
        })
    }

    fn case(
        &self,
        operand: Option<&Expression>,
        branches: &[(Expression, Expression)],
        otherwise: Option<&Expression>,
        scope: &Scope<'_>,
    ) -> Result<Bound> {
        let operand = operand
            .map(|operand| self.value(operand, scope))
            .transpose()?;
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        for (when, then) in branches {
            conditions.push(match &operand {
                Some(operand) => comparison("=", operand.clone(), self.value(when, scope)?)?,
                None => self.condition(when, scope)?,
            });
            values.push(self.value(then, scope)?);
        }
        values.push(match otherwise {
            Some(otherwise) => self.value(otherwise, scope)?,
            None => Bound::constant(Value::Null, SqlType::Int)?,
        });
        let nullable = values.iter().any(|value| value.nullable);
        let (values, sql_type) = alike(values)?;
        let mut sql = "CASE".to_owned();
        for (condition, value) in conditions.iter().zip(&values) {
            let _ = write!(sql, " WHEN {condition} THEN {value}");
        }
        let last = values.last().map_or("NULL", String::as_str);
        Ok(Bound {
            nullable,
            ..Bound::new(format!("({sql} ELSE {last} END)"), sql_type)
        })
    }

    pub(super) fn condition(&self, expression: &Expression, scope: &Scope<'_>) -> Result<String> {
        Ok(match expression {
            Expression::And(left, right) => {
                format!(
                    "({} AND {})",
                    self.condition(left, scope)?,
                    self.condition(right, scope)?
                )
            }
            Expression::Or(left, right) => {
                format!(
                    "({} OR {})",
                    self.condition(left, scope)?,
                    self.condition(right, scope)?
                )
            }
            Expression::Not(inner) => format!("(NOT {})", self.condition(inner, scope)?),
            Expression::Comparison(operator, left, right) => comparison(
                operator,
                self.value(left, scope)?,
                self.value(right, scope)?,
            )?,
            Expression::IsNull(inner) => format!("({} IS NULL)", self.value(inner, scope)?.sql),
            Expression::Between(value, low, high) => {
                let value = self.value(value, scope)?;
                let low = comparison(">=", value.clone(), self.value(low, scope)?)?;
                let high = comparison("<=", value, self.value(high, scope)?)?;
                format!("({low} AND {high})")
            }
            Expression::In(value, list) => {
                let value = self.value(value, scope)?;
                let one = |item| comparison("=", value.clone(), self.value(item, scope)?);
                let all: Vec<String> = list.iter().map(one).collect::<Result<_>>()?;
                format!("({})", all.join(" OR "))
            }
            Expression::InQuery(value, query) => {
                let value = self.value(value, scope)?;
                let (sql, sql_type) = self.single_column(query, scope)?;
                let alias = self.fresh();
                let item = Bound::new(format!("{alias}.c1"), sql_type);
                let equal = comparison("=", value, item)?;
                // As a list would: unknown where nothing is equal and something is NULL.
                format!(
                    "(SELECT CASE WHEN bool_or({equal}) THEN true WHEN bool_or(({equal}) IS NULL) THEN NULL ELSE false END FROM ({sql}) AS {alias})"
                )
            }
            Expression::Exists(query) => {
                format!("EXISTS ({})", self.query(query, Some(scope))?.sql)
            }
            Expression::Like {
                value,
                pattern,
                escape,
            } => {
                let (value, pattern) = (self.value(value, scope)?, self.value(pattern, scope)?);
                like(&value, &pattern, escape.as_deref())?
            }
            // A value is no condition in T-SQL.
            _ => {
                return Err(SqlError::new(
                    4145,
                    15,
                    "An expression of non-boolean type specified in a context where a condition is expected.",
                ));
            }
        })
    }
}

/// A value that stands in the text.
fn literal(expression: &Expression) -> Option<Result<Bound>> {
    Some(match expression {
        Expression::Null => Bound::constant(Value::Null, SqlType::Int),
        Expression::Number(digits) => number(digits),
        Expression::Float(digits) => {
            let value: f64 = digits.parse().ok()?;
            if value.is_infinite() {
                return None;
            }
            Bound::constant(Value::Float(value), SqlType::Float)
        }
        Expression::Money(digits) => {
            let value = Value::exact(digits)?;
            Bound::constant(value, SqlType::Money)
        }
        Expression::Text { text, national } => text_literal(text, *national),
        Expression::Binary(bytes) => {
            let length = u16::try_from(bytes.len().max(1))
                .ok()
                .filter(|n| *n <= 8000);
            Bound::constant(
                Value::Bytes(bytes.clone()),
                SqlType::VarBinary(length.unwrap_or(MAX)),
            )
        }
        _ => return None,
    })
}

/// Values of one type: the one that has precedence.
pub(super) fn alike(values: Vec<Bound>) -> Result<(Vec<String>, SqlType)> {
    let typed = values
        .iter()
        .filter(|value| !value.is_null())
        .map(|value| value.sql_type);
    let sql_type = typed.reduce(unified).unwrap_or(SqlType::Int);
    let converted = values
        .into_iter()
        .map(|value| convert(value, sql_type, How::IMPLICIT).map(|value| value.sql));
    Ok((converted.collect::<Result<_>>()?, sql_type))
}

fn number(digits: &str) -> Result<Bound> {
    if let Ok(value) = digits.parse::<i32>() {
        return Bound::constant(Value::Integer(i64::from(value)), SqlType::Int)
            .map(Bound::not_null);
    }
    let value = Value::exact(digits).ok_or_else(|| SqlError::new(1007, 15, format!("The number '{digits}' is out of the range for numeric representation (maximum precision 38).")))?;
    let Value::Exact { scale, .. } = value else {
        return Err(SqlError::unknown(digits));
    };
    let count = digits.chars().filter(char::is_ascii_digit).count();
    let significant = digits
        .trim_start_matches(['-', '0'])
        .chars()
        .filter(char::is_ascii_digit)
        .count();
    let precision = u8::try_from(if scale == 0 {
        significant
    } else {
        count.min(significant.max(usize::from(scale)))
    })
    .unwrap_or(39);
    if precision > 38 {
        return Err(SqlError::new(
            1007,
            15,
            format!(
                "The number '{digits}' is out of the range for numeric representation (maximum precision 38)."
            ),
        ));
    }
    let mut bound = Bound::constant(
        value,
        SqlType::Numeric {
            precision: precision.max(1),
            scale,
        },
    )?
    .not_null();
    if digits.parse::<i64>().is_ok() {
        // PostgreSQL finds a key of integers by an integer only, and reads this one as a numeric anywhere else.
        bound.sql = format!("'{digits}'::bigint");
    }
    Ok(bound)
}

fn text_literal(text: &str, national: bool) -> Result<Bound> {
    let units = if national {
        text.encode_utf16().count()
    } else {
        text.len()
    };
    let most = if national { 4000 } else { 8000 };
    let length = u16::try_from(units.max(1))
        .ok()
        .filter(|n| *n <= most)
        .unwrap_or(MAX);
    let sql_type = if national {
        SqlType::NVarChar(length, Collation::DEFAULT)
    } else {
        SqlType::VarChar(length, Collation::DEFAULT)
    };
    Bound::constant(Value::Text(text.to_owned()), sql_type)
}

/// `%` and `_` mean in PostgreSQL what they mean here; classes in brackets do not.
fn like(value: &Bound, pattern: &Bound, escape: Option<&str>) -> Result<String> {
    if value.sql_type.kind() != Kind::Text || pattern.sql_type.kind() != Kind::Text {
        return Err(SqlError::unknown("LIKE"));
    }
    match &pattern.constant {
        Some(Value::Text(text)) if !text.contains('[') => {}
        _ => return Err(SqlError::unknown("LIKE")),
    }
    let escape = escape.map_or_else(|| "''".to_owned(), crate::types::quoted);
    let collation = value.sql_type.collation().unwrap_or(Collation::DEFAULT);
    let cased = |sql: &str| {
        if collation.ignores_case() {
            format!("lower({sql} COLLATE \"C.utf8\")")
        } else {
            format!("({sql} COLLATE \"C\")")
        }
    };
    Ok(format!(
        "({} LIKE {} ESCAPE {escape})",
        cased(&value.sql),
        cased(&pattern.sql)
    ))
}
