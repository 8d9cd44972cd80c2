//! Aggregates, and the functions of windows.

use super::convert::{How, convert};
use super::operators::{digits, order_key};
use super::{Binder, Bound, Scope};
use crate::error::{Result, SqlError};
use crate::sql::syntax::{Expression, Order, Over};
use crate::types::{Kind, SqlType};

impl Binder<'_> {
    /// `None` where the name is of no aggregate.
    pub(super) fn aggregate(
        &self,
        name: &str,
        arguments: &[Expression],
        distinct: bool,
        star: bool,
        over: Option<&Over>,
        scope: &Scope<'_>,
    ) -> Result<Option<Bound>> {
        let name = name.to_ascii_uppercase();
        let window = over
            .map(|over| self.window(over, scope))
            .transpose()?
            .unwrap_or_default();
        let only = if distinct { "DISTINCT " } else { "" };
        if matches!(name.as_str(), "COUNT" | "COUNT_BIG") {
            let sql_type = if name == "COUNT" {
                SqlType::Int
            } else {
                SqlType::BigInt
            };
            let counted = match arguments {
                [] if star => "*".to_owned(),
                [one] => format!("{only}{}", self.value(one, scope)?.sql),
                _ => return Err(SqlError::unknown(&name)),
            };
            let sql = format!("(count({counted}){window})::{}", sql_type.postgres());
            return Ok(Some(Bound::new(sql, sql_type)));
        }
        if matches!(name.as_str(), "ROW_NUMBER" | "RANK" | "DENSE_RANK")
            && arguments.is_empty()
            && over.is_some()
        {
            let sql = format!("{}(){window}", name.to_ascii_lowercase());
            return Ok(Some(Bound::new(sql, SqlType::BigInt).not_null()));
        }
        if name == "NTILE" && over.is_some() {
            let [buckets] = arguments else {
                return Err(SqlError::unknown(&name));
            };
            let buckets = convert(self.value(buckets, scope)?, SqlType::Int, How::IMPLICIT)?;
            return Ok(Some(Bound::new(
                format!("(ntile({}){window})::bigint", buckets.sql),
                SqlType::BigInt,
            )));
        }
        if !matches!(name.as_str(), "SUM" | "AVG" | "MIN" | "MAX") {
            return Ok(None);
        }
        let [argument] = arguments else {
            return Err(SqlError::unknown(&name));
        };
        let argument = self.value(argument, scope)?;
        if matches!(name.as_str(), "MIN" | "MAX") {
            return extreme(&name, &argument, &window).map(Some);
        }
        total(&name, &argument, only, &window).map(Some)
    }

    fn window(&self, over: &Over, scope: &Scope<'_>) -> Result<String> {
        let partition: Vec<String> = over
            .partition
            .iter()
            .map(|by| self.value(by, scope).map(|by| by.sql))
            .collect::<Result<_>>()?;
        let mut parts = Vec::new();
        if !partition.is_empty() {
            parts.push(format!("PARTITION BY {}", partition.join(", ")));
        }
        if !over.order.is_empty() {
            parts.push(format!("ORDER BY {}", self.order_keys(&over.order, scope)?));
        }
        Ok(format!(" OVER ({})", parts.join(" ")))
    }

    /// NULL is the lowest value in T-SQL.
    pub(super) fn order_keys(&self, order: &[Order], scope: &Scope<'_>) -> Result<String> {
        let one = |order: &Order| {
            let key = match &order.by {
                // `ORDER BY (SELECT NULL)`: any order.
                Expression::Query(_) => "(SELECT NULL)".to_owned(),
                by => order_key(&self.value(by, scope)?)?,
            };
            Ok(format!("{key}{}", direction(order.descending)))
        };
        let keys: Vec<String> = order.iter().map(one).collect::<Result<_>>()?;
        Ok(keys.join(", "))
    }
}

pub(super) fn direction(descending: bool) -> &'static str {
    if descending {
        " DESC NULLS LAST"
    } else {
        " ASC NULLS FIRST"
    }
}

fn extreme(name: &str, argument: &Bound, window: &str) -> Result<Bound> {
    let function = name.to_ascii_lowercase();
    let sql = &argument.sql;
    let sql = match argument.sql_type.kind() {
        // PostgreSQL has no least uuid and no least bytea: the first in order is it.
        Kind::Guid | Kind::Bytes if window.is_empty() => {
            let key = order_key(argument)?;
            let order = if name == "MIN" { "ASC" } else { "DESC" };
            format!("(array_agg({sql} ORDER BY {key} {order}) FILTER (WHERE {sql} IS NOT NULL))[1]")
        }
        Kind::Text => format!("{function}({}){window}", order_key(argument)?),
        Kind::Guid | Kind::Bytes | Kind::Xml | Kind::Variant | Kind::Clr => {
            return Err(SqlError::unknown(name));
        }
        _ if argument.sql_type == SqlType::Bit => {
            return Err(SqlError::new(
                8117,
                16,
                format!("Operand data type bit is invalid for {function} operator."),
            ));
        }
        _ => format!("{function}({sql}){window}"),
    };
    Ok(Bound::new(sql, argument.sql_type))
}

fn total(name: &str, argument: &Bound, only: &str, window: &str) -> Result<Bound> {
    let sql = &argument.sql;
    let sql_type = match (argument.sql_type, argument.sql_type.kind()) {
        (SqlType::Bit, _) => {
            return Err(SqlError::new(
                8117,
                16,
                "Operand data type bit is invalid for sum operator.",
            ));
        }
        (SqlType::BigInt, _) => SqlType::BigInt,
        (_, Kind::Integer) => SqlType::Int,
        (SqlType::Money | SqlType::SmallMoney, _) => SqlType::Money,
        (exact, Kind::Exact) => {
            let scale = digits(exact).1;
            SqlType::Decimal {
                precision: 38,
                scale: if name == "AVG" { scale.max(6) } else { scale },
            }
        }
        (_, Kind::Approximate) => SqlType::Float,
        _ => {
            return Err(SqlError::new(
                8117,
                16,
                format!(
                    "Operand data type {} is invalid for {name} operator.",
                    argument.sql_type.name()
                ),
            ));
        }
    };
    let function = name.to_ascii_lowercase();
    let whole = sql_type.kind() == Kind::Integer;
    let sql = if whole && name == "AVG" {
        format!(
            "trunc({function}({only}{sql}){window})::{}",
            sql_type.postgres()
        )
    } else {
        format!("({function}({only}{sql}){window})::{}", sql_type.postgres())
    };
    Ok(Bound::new(sql, sql_type))
}
