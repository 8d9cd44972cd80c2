//! SELECT: what comes out of a query, and the SQL that makes it.

use std::fmt::Write as _;

use super::aggregates::direction;
use super::convert::{How, convert};
use super::operators::{order_key, unified};
use super::{Binder, Bound, Named, Scope};
use crate::catalog::same;
use crate::error::{Result, SqlError};
use crate::sql::syntax::{Body, Expression, Item, Order, Query, Select};
use crate::types::{Kind, SqlType};

/// A column of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputColumn {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    pub(crate) nullable: bool,
    pub(crate) identity: bool,
}

/// A query in PostgreSQL's SQL. Its columns are `c1`, `c2`, …
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) sql: String,
    pub(crate) columns: Vec<OutputColumn>,
    /// The variables that take the values, where the query sets some.
    pub(crate) variables: Vec<String>,
}

/// The values of a select list with their names, and the variables that take them.
pub(super) type Items = (Vec<(Bound, String)>, Vec<String>);

/// A SELECT before its ORDER BY is known.
struct Part<'s> {
    head: String,
    tail: String,
    items: Vec<(Bound, String)>,
    variables: Vec<String>,
    distinct: bool,
    top: Option<String>,
    scope: Scope<'s>,
}

impl Binder<'_> {
    pub(crate) fn query(&self, query: &Query, outer: Option<&Scope<'_>>) -> Result<Selected> {
        self.deeper(|| self.query_here(query, outer))
    }

    fn query_here(&self, query: &Query, outer: Option<&Scope<'_>>) -> Result<Selected> {
        let mut around = Scope {
            outer,
            ..Scope::default()
        };
        let mut with = String::new();
        for (name, columns, named) in &query.with {
            let selected = self.query(named, Some(&around))?;
            let sql = format!("w{}", self.fresh());
            let comma = if with.is_empty() { "WITH " } else { ", " };
            let _ = write!(with, "{comma}{sql} AS ({})", selected.sql);
            let columns = renamed(selected.columns, columns)?;
            around.with.push(Named {
                name: name.clone(),
                sql,
                columns,
            });
        }
        let mut selected = match &query.body {
            Body::Select(select) => self.ordered_select(select, query, &around)?,
            Body::Set(..) => self.ordered_set(query, &around)?,
        };
        if !with.is_empty() {
            selected.sql = format!("{with} {}", selected.sql);
        }
        Ok(selected)
    }

    fn ordered_select(
        &self,
        select: &Select,
        query: &Query,
        around: &Scope<'_>,
    ) -> Result<Selected> {
        let part = self.select(select, around)?;
        let keys: Vec<String> = query
            .order
            .iter()
            .map(|order| self.order_of(order, &part))
            .collect::<Result<_>>()?;
        let order = if keys.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", keys.join(", "))
        };
        let limit = self.limit(query, part.top.as_deref())?;
        let sql = format!("{}{}{order}{limit}", part.head, part.tail);
        let columns = part
            .items
            .iter()
            .map(|(bound, name)| output(bound, name))
            .collect();
        Ok(Selected {
            sql,
            columns,
            variables: part.variables,
        })
    }

    /// A column of the result by its place or name, or any expression.
    fn order_of(&self, order: &Order, part: &Part<'_>) -> Result<String> {
        let by = direction(order.descending);
        let at = match &order.by {
            Expression::Number(digits) => {
                let at = digits
                    .parse::<usize>()
                    .ok()
                    .and_then(|at| at.checked_sub(1));
                let at = at.filter(|at| *at < part.items.len());
                Some(at.ok_or_else(|| SqlError::new(108, 15, format!("The ORDER BY position number {digits} is out of range of the number of items in the select list.")))?)
            }
            Expression::Column(name) => match name.as_slice() {
                [one] => part.items.iter().position(|(_, alias)| same(alias, one)),
                _ => None,
            },
            Expression::Query(_) => return Ok(format!("(SELECT NULL){by}")),
            _ => None,
        };
        let key = match at.and_then(|at| part.items.get(at).map(|(bound, _)| (at, bound))) {
            Some((at, bound))
                if part.distinct && !matches!(bound.sql_type.kind(), Kind::Guid | Kind::Offset) =>
            {
                (at + 1).to_string()
            }
            Some((_, bound)) => order_key(bound)?,
            None => order_key(&self.value(&order.by, &part.scope)?)?,
        };
        Ok(format!("{key}{by}"))
    }

    fn limit(&self, query: &Query, top: Option<&str>) -> Result<String> {
        let count = |expression: &Expression| {
            self.free_value(expression, SqlType::BigInt, How::IMPLICIT)
                .map(|bound| bound.sql)
        };
        let mut limit = String::new();
        if let Some(fetch) = &query.fetch {
            let _ = write!(limit, " LIMIT {}", count(fetch)?);
        } else if let Some(top) = top {
            let _ = write!(limit, " LIMIT {top}");
        }
        if let Some(offset) = &query.offset {
            let _ = write!(limit, " OFFSET {}", count(offset)?);
        }
        Ok(limit)
    }

    fn select<'s>(&self, select: &Select, around: &'s Scope<'s>) -> Result<Part<'s>> {
        let mut scope = Scope {
            outer: Some(around),
            ..Scope::default()
        };
        let mut from = Vec::new();
        for relation in &select.from {
            from.push(self.relation(relation, &mut scope)?);
        }
        let mut tail = String::new();
        if !from.is_empty() {
            let _ = write!(tail, " FROM {}", from.join(", "));
        }
        if let Some(filter) = &select.filter {
            let _ = write!(tail, " WHERE {}", self.condition(filter, &scope)?);
        }
        if !select.group.is_empty() {
            let keys: Vec<String> = select
                .group
                .iter()
                .map(|by| self.value(by, &scope).map(|by| by.sql))
                .collect::<Result<_>>()?;
            let _ = write!(tail, " GROUP BY {}", keys.join(", "));
        }
        if let Some(having) = &select.having {
            let _ = write!(tail, " HAVING {}", self.condition(having, &scope)?);
        }
        let (items, variables) = self.items(&select.items, &scope)?;
        let listed: Vec<String> = items
            .iter()
            .zip(1..)
            .map(|((bound, _), at)| format!("{} AS c{at}", bound.sql))
            .collect();
        let distinct = if select.distinct { "DISTINCT " } else { "" };
        let head = format!("SELECT {distinct}{}", listed.join(", "));
        let top = select
            .top
            .as_ref()
            .map(|top| self.free_value(top, SqlType::BigInt, How::IMPLICIT))
            .transpose()?;
        let top = top.map(|top| top.sql);
        Ok(Part {
            head,
            tail,
            items,
            variables,
            distinct: select.distinct,
            top,
            scope,
        })
    }

    /// The select list, with the names the client sees.
    pub(super) fn items(&self, items: &[Item], scope: &Scope<'_>) -> Result<Items> {
        let mut found = Vec::new();
        let mut variables = Vec::new();
        for item in items {
            match item {
                Item::Star(of) => {
                    let before = found.len();
                    for source in &scope.sources {
                        if of.as_ref().is_none_or(|of| same(of, &source.alias)) {
                            found.extend(
                                source
                                    .columns
                                    .iter()
                                    .map(|column| (column.bound.clone(), column.name.clone())),
                            );
                        }
                    }
                    if found.len() == before {
                        return Err(SqlError::new(263, 16, "Must specify table to select from."));
                    }
                }
                Item::Value(value, alias) => {
                    let own = match value {
                        Expression::Column(name) => name.last().cloned().unwrap_or_default(),
                        _ => String::new(),
                    };
                    found.push((self.value(value, scope)?, alias.clone().unwrap_or(own)));
                }
                Item::Assign(variable, value) => {
                    let Some((sql_type, _)) = self.facts.variables.get(&variable.to_lowercase())
                    else {
                        return Err(SqlError::new(
                            137,
                            15,
                            format!("Must declare the scalar variable \"{variable}\"."),
                        ));
                    };
                    let value = self.value(value, scope)?;
                    found.push((convert(value, *sql_type, How::EXPLICIT)?, String::new()));
                    variables.push(variable.to_lowercase());
                }
            }
        }
        if !variables.is_empty() && variables.len() != found.len() {
            return Err(SqlError::new(
                141,
                15,
                "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations.",
            ));
        }
        Ok((found, variables))
    }

    fn ordered_set(&self, query: &Query, around: &Scope<'_>) -> Result<Selected> {
        let mut selected = self.set(&query.body, around)?;
        let mut keys = Vec::new();
        let alias = self.fresh();
        for order in &query.order {
            let at = match &order.by {
                Expression::Number(digits) => digits
                    .parse::<usize>()
                    .ok()
                    .and_then(|at| at.checked_sub(1)),
                Expression::Column(name) => selected
                    .columns
                    .iter()
                    .position(|column| name.last().is_some_and(|name| same(&column.name, name))),
                _ => None,
            };
            let at = at.ok_or_else(|| SqlError::new(104, 16, "ORDER BY items must appear in the select list if the statement contains a UNION, INTERSECT or EXCEPT operator."))?;
            let column = selected
                .columns
                .get(at)
                .ok_or_else(|| SqlError::unknown("ORDER BY"))?;
            let key = order_key(&Bound::new(format!("{alias}.c{}", at + 1), column.sql_type))?;
            keys.push(format!("{key}{}", direction(order.descending)));
        }
        let limit = self.limit(query, None)?;
        if !keys.is_empty() || !limit.is_empty() {
            let order = if keys.is_empty() {
                String::new()
            } else {
                format!(" ORDER BY {}", keys.join(", "))
            };
            selected.sql = format!("SELECT * FROM ({}) AS {alias}{order}{limit}", selected.sql);
        }
        Ok(selected)
    }

    fn set(&self, body: &Body, around: &Scope<'_>) -> Result<Selected> {
        let (operator, left, right) = match body {
            Body::Select(select) => {
                let part = self.select(select, around)?;
                let limit = part
                    .top
                    .map(|top| format!(" LIMIT {top}"))
                    .unwrap_or_default();
                let sql = format!("({}{}{limit})", part.head, part.tail);
                let columns = part
                    .items
                    .iter()
                    .map(|(bound, name)| output(bound, name))
                    .collect();
                return Ok(Selected {
                    sql,
                    columns,
                    variables: Vec::new(),
                });
            }
            Body::Set(operator, left, right) => {
                (operator, self.set(left, around)?, self.set(right, around)?)
            }
        };
        if left.columns.len() != right.columns.len() {
            return Err(SqlError::new(
                205,
                16,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.",
            ));
        }
        let columns: Vec<OutputColumn> = left
            .columns
            .iter()
            .zip(&right.columns)
            .map(|(a, b)| OutputColumn {
                name: a.name.clone(),
                sql_type: if a.sql_type == b.sql_type {
                    a.sql_type
                } else {
                    unified(a.sql_type, b.sql_type)
                },
                nullable: a.nullable || b.nullable,
                identity: false,
            })
            .collect();
        let (left, right) = (
            self.as_columns(left, &columns)?,
            self.as_columns(right, &columns)?,
        );
        Ok(Selected {
            sql: format!("({left} {operator} {right})"),
            columns,
            variables: Vec::new(),
        })
    }

    /// The same rows with other types.
    fn as_columns(&self, selected: Selected, wanted: &[OutputColumn]) -> Result<String> {
        if selected
            .columns
            .iter()
            .zip(wanted)
            .all(|(a, b)| a.sql_type == b.sql_type)
        {
            return Ok(selected.sql);
        }
        let alias = self.fresh();
        let mut listed = Vec::new();
        for ((column, wanted), at) in selected.columns.iter().zip(wanted).zip(1..) {
            let bound = Bound::new(format!("{alias}.c{at}"), column.sql_type);
            listed.push(format!(
                "{} AS c{at}",
                convert(bound, wanted.sql_type, How::IMPLICIT)?.sql
            ));
        }
        Ok(format!(
            "(SELECT {} FROM {} AS {alias})",
            listed.join(", "),
            selected.sql
        ))
    }
}

pub(super) fn output(bound: &Bound, name: &str) -> OutputColumn {
    OutputColumn {
        name: name.to_owned(),
        sql_type: bound.sql_type,
        nullable: bound.nullable,
        identity: bound.identity,
    }
}

/// The columns of a derived table, by the names in its brackets where there are some.
pub(super) fn renamed(columns: Vec<OutputColumn>, names: &[String]) -> Result<Vec<OutputColumn>> {
    if names.is_empty() {
        return Ok(columns);
    }
    if names.len() != columns.len() {
        return Err(SqlError::new(
            8158,
            16,
            "The number of columns does not fit the column list.",
        ));
    }
    Ok(columns
        .into_iter()
        .zip(names)
        .map(|(column, name)| OutputColumn {
            name: name.clone(),
            ..column
        })
        .collect())
}
