//! INSERT, UPDATE and DELETE.

use super::convert::{How, convert};
use super::query::{OutputColumn, output};
use super::relation::source_of;
use super::{Binder, Bound, Scope, Source};
use crate::catalog::{Column, Table, same};
use crate::error::{Result, SqlError};
use crate::sql::syntax::{Expression, InsertSource, Item, Name, Relation};
use crate::types::SqlType;

/// A change in PostgreSQL's SQL.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) sql: String,
    /// What OUTPUT gives back.
    pub(crate) output: Vec<OutputColumn>,
    /// The table whose identity column the rows got a number in, and that column.
    pub(crate) identity: Option<(i32, i32)>,
}

/// UPDATE and DELETE, what they have in common.
pub(crate) struct Where<'a> {
    pub(crate) table: &'a Name,
    pub(crate) from: &'a [Relation],
    pub(crate) filter: Option<&'a Expression>,
    pub(crate) top: Option<&'a Expression>,
    pub(crate) output: &'a [Item],
}

impl Binder<'_> {
    fn changed(&self, name: &Name) -> Result<&Table> {
        let table = self.catalog.table(name, self.facts.database)?;
        if table.view.is_some() {
            Err(SqlError::unknown(&table.name))
        } else {
            Ok(table)
        }
    }

    pub(crate) fn insert(
        &self,
        name: &Name,
        columns: &[String],
        source: &InsertSource,
        output: &[Item],
    ) -> Result<Change> {
        let table = self.changed(name)?;
        let columns = self.inserted_columns(table, columns)?;
        let listed: Vec<String> = columns.iter().map(|column| column.postgres()).collect();
        let own = self.fresh();
        let (columns_sql, rows) = match source {
            InsertSource::Defaults => (String::new(), "DEFAULT VALUES".to_owned()),
            InsertSource::Values(rows) => (
                format!(" ({})", listed.join(", ")),
                self.inserted_rows(&columns, rows)?,
            ),
            InsertSource::Query(query) => {
                let selected = self.query(query, None)?;
                if selected.columns.len() != columns.len() {
                    return Err(wrong_count(selected.columns.len() > columns.len()));
                }
                let alias = self.fresh();
                let mut items = Vec::new();
                for ((from, to), at) in selected.columns.iter().zip(&columns).zip(1..) {
                    let bound = Bound::new(format!("{alias}.c{at}"), from.sql_type);
                    items.push(convert(bound, to.sql_type, How::IMPLICIT)?.sql);
                }
                (
                    format!(" ({})", listed.join(", ")),
                    format!(
                        "SELECT {} FROM ({}) AS {alias}",
                        items.join(", "),
                        selected.sql
                    ),
                )
            }
        };
        let (returning, output) = self.output(table, output, &[("inserted", &own)])?;
        let sql = format!(
            "INSERT INTO {} AS {own}{columns_sql} {rows}{returning}",
            table.postgres()
        );
        let identity = table
            .columns
            .iter()
            .find(|column| column.identity)
            .map(|column| (table.id, column.id));
        Ok(Change {
            sql,
            output,
            identity,
        })
    }

    fn inserted_columns<'t>(&self, table: &'t Table, names: &[String]) -> Result<Vec<&'t Column>> {
        let explicit = self.facts.identity_insert == Some(table.id);
        if names.is_empty() {
            let own = |column: &&Column| {
                (!column.identity || explicit) && column.sql_type != SqlType::RowVersion
            };
            return Ok(table.columns.iter().filter(own).collect());
        }
        let mut found = Vec::new();
        for name in names {
            let column = table.column(name)?;
            if column.sql_type == SqlType::RowVersion {
                return Err(SqlError::new(
                    273,
                    16,
                    "Cannot insert an explicit value into a timestamp column.",
                ));
            }
            if column.identity && !explicit {
                return Err(SqlError::new(
                    544,
                    16,
                    format!(
                        "Cannot insert explicit value for identity column in table '{}' when IDENTITY_INSERT is set to OFF.",
                        table.name
                    ),
                ));
            }
            found.push(column);
        }
        Ok(found)
    }

    fn inserted_rows(
        &self,
        columns: &[&Column],
        rows: &[Vec<Option<Expression>>],
    ) -> Result<String> {
        let mut written = Vec::new();
        for row in rows {
            if row.len() != columns.len() {
                return Err(wrong_count(row.len() > columns.len()));
            }
            let values = row.iter().zip(columns).map(|(value, column)| match value {
                Some(value) => self
                    .free_value(value, column.sql_type, How::IMPLICIT)
                    .map(|bound| bound.sql),
                None => Ok("DEFAULT".to_owned()),
            });
            let values: Vec<String> = values.collect::<Result<_>>()?;
            written.push(format!("({})", values.join(", ")));
        }
        Ok(format!("VALUES {}", written.join(", ")))
    }

    /// RETURNING, for the rows as `inserted` or `deleted` calls them.
    fn output(
        &self,
        table: &Table,
        items: &[Item],
        names: &[(&str, &str)],
    ) -> Result<(String, Vec<OutputColumn>)> {
        if items.is_empty() {
            return Ok((String::new(), Vec::new()));
        }
        let sources = names
            .iter()
            .map(|(alias, own)| source_of(table, alias, own))
            .collect();
        let scope = Scope {
            sources,
            ..Scope::default()
        };
        let (items, variables) = self.items(items, &scope)?;
        if !variables.is_empty() {
            return Err(SqlError::unknown("OUTPUT"));
        }
        let listed: Vec<String> = items
            .iter()
            .zip(1..)
            .map(|((bound, _), at)| format!("{} AS c{at}", bound.sql))
            .collect();
        let columns = items
            .iter()
            .map(|(bound, name)| output(bound, name))
            .collect();
        Ok((format!(" RETURNING {}", listed.join(", ")), columns))
    }

    /// The table that changes, and which of its rows: by their place in PostgreSQL, so that joins and TOP stay inside.
    fn target(&self, wanted: &Where<'_>) -> Result<(Table, String, Scope<'static>)> {
        let mut scope = Scope::default();
        let mut from = Vec::new();
        let mut aliased = None;
        for relation in wanted.from {
            if let (
                [one],
                Some(Relation::Table {
                    name,
                    alias: Some(alias),
                }),
            ) = (wanted.table.as_slice(), target_in(relation, wanted.table))
                && same(one, alias)
            {
                aliased = Some(name.clone());
            }
            from.push(self.relation(relation, &mut scope)?);
        }
        let table = self
            .changed(aliased.as_ref().unwrap_or(wanted.table))?
            .clone();
        let alias = wanted.table.last().cloned().unwrap_or_default();
        if !scope
            .sources
            .iter()
            .any(|source: &Source| same(&source.alias, &alias))
        {
            let own = self.fresh();
            from.push(format!("{} AS {own}", table.postgres()));
            scope.sources.insert(0, source_of(&table, &alias, &own));
        }
        let own = scope
            .sources
            .iter()
            .find(|source| same(&source.alias, &alias))
            .and_then(|source| source.columns.first())
            .and_then(|column| column.bound.sql.split_once('.'))
            .map(|(own, _)| own.to_owned())
            .ok_or_else(|| SqlError::no_object(&alias))?;
        let filter = wanted
            .filter
            .map(|filter| self.condition(filter, &scope))
            .transpose()?;
        let filter = filter
            .map(|filter| format!(" WHERE {filter}"))
            .unwrap_or_default();
        let top = wanted
            .top
            .map(|top| self.free_value(top, SqlType::BigInt, How::IMPLICIT))
            .transpose()?;
        let top = top
            .map(|top| format!(" LIMIT {}", top.sql))
            .unwrap_or_default();
        let rows = format!(
            "{own}.ctid AS place, %VALUES% FROM {}{filter}{top}",
            from.join(", ")
        );
        Ok((table, rows, scope))
    }

    pub(crate) fn delete(&self, wanted: &Where<'_>) -> Result<Change> {
        let own = self.fresh();
        if wanted.from.is_empty() && wanted.top.is_none() {
            let table = self.changed(wanted.table)?;
            let alias = wanted.table.last().cloned().unwrap_or_default();
            let scope = Scope {
                sources: vec![source_of(table, &alias, &own)],
                ..Scope::default()
            };
            let filter = wanted
                .filter
                .map(|filter| self.condition(filter, &scope))
                .transpose()?;
            let filter = filter
                .map(|filter| format!(" WHERE {filter}"))
                .unwrap_or_default();
            let (returning, output) = self.output(table, wanted.output, &[("deleted", &own)])?;
            return Ok(Change {
                sql: format!(
                    "DELETE FROM {} AS {own}{filter}{returning}",
                    table.postgres()
                ),
                output,
                identity: None,
            });
        }
        let (table, rows, _) = self.target(wanted)?;
        let rows = rows.replace(", %VALUES%", "");
        let (returning, output) = self.output(&table, wanted.output, &[("deleted", &own)])?;
        let sql = format!(
            "DELETE FROM {} AS {own} USING (SELECT DISTINCT {rows}) AS wanted WHERE {own}.ctid = wanted.place{returning}",
            table.postgres()
        );
        Ok(Change {
            sql,
            output,
            identity: None,
        })
    }

    pub(crate) fn update(
        &self,
        sets: &[(String, Expression)],
        wanted: &Where<'_>,
    ) -> Result<Change> {
        let own = self.fresh();
        if wanted.from.is_empty() && wanted.top.is_none() {
            let table = self.changed(wanted.table)?;
            let alias = wanted.table.last().cloned().unwrap_or_default();
            let scope = Scope {
                sources: vec![source_of(table, &alias, &own)],
                ..Scope::default()
            };
            let sets = self.sets(table, sets, &scope)?;
            let sets: Vec<String> = sets
                .iter()
                .map(|(column, value)| format!("{column} = {value}"))
                .collect();
            let filter = wanted
                .filter
                .map(|filter| self.condition(filter, &scope))
                .transpose()?;
            let filter = filter
                .map(|filter| format!(" WHERE {filter}"))
                .unwrap_or_default();
            let (returning, output) = self.output(table, wanted.output, &[("inserted", &own)])?;
            let sql = format!(
                "UPDATE {} AS {own} SET {}{filter}{returning}",
                table.postgres(),
                sets.join(", ")
            );
            return Ok(Change {
                sql,
                output,
                identity: None,
            });
        }
        let (table, rows, scope) = self.target(wanted)?;
        let sets = self.sets(&table, sets, &scope)?;
        let values: Vec<String> = sets
            .iter()
            .zip(1..)
            .map(|((_, value), at)| format!("{value} AS v{at}"))
            .collect();
        let rows = rows.replace("%VALUES%", &values.join(", "));
        let assigned: Vec<String> = sets
            .iter()
            .zip(1..)
            .map(|((column, _), at)| format!("{column} = wanted.v{at}"))
            .collect();
        let (returning, output) = self.output(&table, wanted.output, &[("inserted", &own)])?;
        let sql = format!(
            "UPDATE {} AS {own} SET {} FROM (SELECT {rows}) AS wanted WHERE {own}.ctid = wanted.place{returning}",
            table.postgres(),
            assigned.join(", ")
        );
        Ok(Change {
            sql,
            output,
            identity: None,
        })
    }

    fn sets(
        &self,
        table: &Table,
        sets: &[(String, Expression)],
        scope: &Scope<'_>,
    ) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for (name, value) in sets {
            let column = table.column(name)?;
            if column.identity {
                return Err(SqlError::new(
                    8102,
                    16,
                    format!("Cannot update identity column '{}'.", column.name),
                ));
            }
            if column.sql_type == SqlType::RowVersion {
                return Err(SqlError::new(272, 16, "Cannot update a timestamp column."));
            }
            let value = convert(self.value(value, scope)?, column.sql_type, How::IMPLICIT)?;
            found.push((column.postgres(), value.sql));
        }
        Ok(found)
    }
}

/// The relation that an alias before FROM means.
fn target_in<'r>(relation: &'r Relation, table: &Name) -> Option<&'r Relation> {
    match relation {
        Relation::Table {
            alias: Some(alias), ..
        } if table.last().is_some_and(|name| same(name, alias)) => Some(relation),
        Relation::Join { left, right, .. } => {
            target_in(left, table).or_else(|| target_in(right, table))
        }
        _ => None,
    }
}

fn wrong_count(more: bool) -> SqlError {
    if more {
        SqlError::new(
            110,
            15,
            "There are fewer columns in the INSERT statement than values specified in the VALUES clause.",
        )
    } else {
        SqlError::new(
            109,
            15,
            "There are more columns in the INSERT statement than values specified in the VALUES clause.",
        )
    }
}
