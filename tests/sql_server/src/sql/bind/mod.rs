//! Names and types found, PostgreSQL's SQL written.
//!
//! Every expression becomes SQL of the representation that its T-SQL type has, so that all conversions stand in the text.

mod aggregates;
mod capture;
mod change;
mod convert;
mod expression;
mod functions;
mod operators;
mod query;
mod relation;

use std::cell::Cell;
use std::collections::BTreeMap;

use super::syntax::Expression;
use crate::catalog::Catalog;
use crate::error::{Result, SqlError};
use crate::types::{Collation, SqlType, Value};

pub(crate) use change::{Change, Where};
use convert::convert;
pub(crate) use convert::{How, constant, stored};
pub(crate) use query::{OutputColumn, Selected};

/// What a statement may ask of its session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) database: i32,
    pub(crate) database_name: String,
    pub(crate) login: String,
    pub(crate) spid: i64,
    pub(crate) transactions: i64,
    pub(crate) row_count: i64,
    pub(crate) last_error: i64,
    pub(crate) identity: Option<i64>,
    pub(crate) identity_insert: Option<i32>,
    pub(crate) lock_timeout: i64,
    /// With their at signs, in lower case.
    pub(crate) variables: BTreeMap<String, (SqlType, Value)>,
}

pub(crate) struct Binder<'a> {
    catalog: &'a Catalog,
    facts: &'a Facts,
    aliases: Cell<u32>,
    depth: Cell<u32>,
}

/// An expression in PostgreSQL's SQL.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) sql: String,
    pub(crate) sql_type: SqlType,
    pub(crate) nullable: bool,
    pub(crate) identity: bool,
    /// The value where it stands in the text.
    pub(crate) constant: Option<Value>,
}

/// What names can mean at one place.
#[derive(Default)]
pub(crate) struct Scope<'s> {
    sources: Vec<Source>,
    with: Vec<Named>,
    outer: Option<&'s Self>,
}

/// A query named by WITH.
#[derive(Clone)]
struct Named {
    name: String,
    sql: String,
    columns: Vec<OutputColumn>,
}

/// A relation in FROM: how T-SQL and how PostgreSQL call it.
#[derive(Clone)]
struct Source {
    alias: String,
    columns: Vec<SourceColumn>,
}

#[derive(Clone)]
struct SourceColumn {
    name: String,
    bound: Bound,
}

impl Bound {
    fn new(sql: impl Into<String>, sql_type: SqlType) -> Self {
        Self {
            sql: sql.into(),
            sql_type,
            nullable: true,
            identity: false,
            constant: None,
        }
    }

    fn constant(value: Value, sql_type: SqlType) -> Result<Self> {
        let sql = value.literal(sql_type)?;
        Ok(Self {
            nullable: value == Value::Null,
            constant: Some(value),
            ..Self::new(sql, sql_type)
        })
    }

    fn not_null(self) -> Self {
        Self {
            nullable: false,
            ..self
        }
    }

    fn is_null(&self) -> bool {
        self.constant == Some(Value::Null)
    }
}

impl<'a> Binder<'a> {
    pub(crate) fn new(catalog: &'a Catalog, facts: &'a Facts) -> Self {
        Self {
            catalog,
            facts,
            aliases: Cell::new(0),
            depth: Cell::new(0),
        }
    }

    /// An alias that no other relation of the statement has.
    fn fresh(&self) -> String {
        self.aliases.set(self.aliases.get() + 1);
        format!("s{}", self.aliases.get())
    }

    /// A value outside any query: of a variable, a default, an argument.
    pub(crate) fn free_value(
        &self,
        expression: &Expression,
        to: SqlType,
        how: How,
    ) -> Result<Bound> {
        let bound = self.value(expression, &Scope::default())?;
        convert(bound, to, how)
    }

    /// The condition of an IF.
    pub(crate) fn free_condition(&self, expression: &Expression) -> Result<String> {
        self.condition(expression, &Scope::default())
    }

    /// The condition of a CHECK over the columns of a table.
    pub(crate) fn check(
        &self,
        columns: &[crate::catalog::Column],
        condition: &Expression,
    ) -> Result<String> {
        let columns = columns
            .iter()
            .map(|column| SourceColumn {
                name: column.name.clone(),
                bound: Bound {
                    nullable: column.nullable,
                    ..Bound::new(column.postgres(), column.sql_type)
                },
            })
            .collect();
        let sources = vec![Source {
            alias: String::new(),
            columns,
        }];
        self.condition(
            condition,
            &Scope {
                sources,
                ..Scope::default()
            },
        )
    }
}

impl Scope<'_> {
    /// The column a name means: here, or in the query around.
    fn column(&self, name: &[String]) -> Result<Bound> {
        let (column, qualifiers) = name.split_last().ok_or_else(|| SqlError::no_column(""))?;
        let mut found = self
            .sources
            .iter()
            .filter(|source| source.is_called(qualifiers))
            .filter_map(|source| {
                source
                    .columns
                    .iter()
                    .find(|known| crate::catalog::same(&known.name, column))
            });
        if let Some(first) = found.next() {
            if found.next().is_some() {
                return Err(SqlError::new(
                    209,
                    16,
                    format!("Ambiguous column name '{column}'."),
                ));
            }
            return Ok(first.bound.clone());
        }
        match self.outer {
            Some(outer) => outer.column(name),
            None if qualifiers.is_empty() => Err(SqlError::no_column(column)),
            None => Err(SqlError::new(
                4104,
                16,
                format!(
                    "The multi-part identifier \"{}\" could not be bound.",
                    name.join(".")
                ),
            )),
        }
    }

    fn named(&self, name: &str) -> Option<&Named> {
        let here = self
            .with
            .iter()
            .rev()
            .find(|named| crate::catalog::same(&named.name, name));
        here.or_else(|| self.outer.and_then(|outer| outer.named(name)))
    }
}

impl Source {
    fn is_called(&self, qualifiers: &[String]) -> bool {
        qualifiers
            .last()
            .is_none_or(|last| crate::catalog::same(last, &self.alias))
    }
}

/// PostgreSQL's collation in place of a T-SQL one.
pub(crate) fn postgres_collation(collation: Collation) -> &'static str {
    if collation.ignores_case() {
        "tds.ci"
    } else if collation.name().contains("_BIN2") {
        "\"C\""
    } else {
        "tds.cs"
    }
}
