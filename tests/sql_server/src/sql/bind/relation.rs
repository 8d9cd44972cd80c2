//! FROM: tables, views, system views, derived tables, joins, and the tables of changes.

use super::convert::{How, convert};
use super::expression::alike;
use super::query::{OutputColumn, renamed};
use super::{Binder, Bound, Scope, Source, SourceColumn};
use crate::catalog::{Table, system_view};
use crate::error::{Result, SqlError};
use crate::sql::syntax::{Expression, Join, Name, Relation};
use crate::sql::{schema_and_name, view_query};
use crate::types::SqlType;

impl Binder<'_> {
    /// The SQL of a relation; its columns go into the scope.
    pub(super) fn relation(&self, relation: &Relation, scope: &mut Scope<'_>) -> Result<String> {
        match relation {
            Relation::Table { name, alias } => self.table(name, alias.as_deref(), scope),
            Relation::Derived {
                query,
                alias,
                columns,
            } => {
                let selected = self.query(query, scope.outer)?;
                let columns = renamed(selected.columns, columns)?;
                Ok(self.derived(&format!("({})", selected.sql), alias, columns, scope))
            }
            Relation::Values {
                rows,
                alias,
                columns,
            } => self.values(rows, alias, columns, scope),
            Relation::Join {
                kind,
                left,
                right,
                on,
            } => self.join(*kind, left, right, on.as_ref(), scope),
            Relation::Changes {
                table,
                since,
                alias,
            } => self.changes(table, since, alias, scope),
            Relation::Version {
                table,
                columns,
                values,
                alias,
            } => self.version(table, columns, values, alias, scope),
            Relation::Function {
                name,
                arguments,
                alias,
            } => self.capture_function(name, arguments, alias.as_deref(), scope),
        }
    }

    pub(super) fn derived(
        &self,
        sql: &str,
        alias: &str,
        columns: Vec<OutputColumn>,
        scope: &mut Scope<'_>,
    ) -> String {
        let own = self.fresh();
        let columns = columns
            .into_iter()
            .zip(1..)
            .map(|(column, at)| SourceColumn {
                name: column.name,
                bound: Bound {
                    nullable: column.nullable,
                    identity: column.identity,
                    ..Bound::new(format!("{own}.c{at}"), column.sql_type)
                },
            })
            .collect();
        scope.sources.push(Source {
            alias: alias.to_owned(),
            columns,
        });
        format!("{sql} AS {own}")
    }

    fn table(&self, name: &Name, alias: Option<&str>, scope: &mut Scope<'_>) -> Result<String> {
        let told = alias
            .or(name.last().map(String::as_str))
            .unwrap_or_default();
        if let [one] = name.as_slice()
            && let Some(named) = scope.named(one).cloned()
        {
            return Ok(self.derived(&named.sql, told, named.columns, scope));
        }
        let (schema, view) = schema_and_name(name);
        if let Some(view) = system_view(&schema, &view)? {
            let database = self.catalog.database_for(name, self.facts.database)?;
            let own = self.fresh();
            let columns = view.columns.iter().map(|column| SourceColumn {
                name: column.name.clone(),
                bound: Bound {
                    nullable: column.nullable,
                    ..Bound::new(format!("{own}.\"{}\"", column.name), column.sql_type)
                },
            });
            scope.sources.push(Source {
                alias: told.to_owned(),
                columns: columns.collect(),
            });
            // sys.databases tells of all.
            let filter = if view.postgres == "tds.\"sys.databases\"" {
                String::new()
            } else {
                format!(" WHERE of_database = {database}")
            };
            return Ok(format!(
                "(SELECT * FROM {}{filter}) AS {own}",
                view.postgres
            ));
        }
        let table = self.catalog.table(name, self.facts.database)?;
        if let Some(text) = &table.view {
            let selected = self.query(&view_query(text)?, None)?;
            let columns = table
                .columns
                .iter()
                .zip(selected.columns)
                .map(|(column, selected)| OutputColumn {
                    name: column.name.clone(),
                    ..selected
                });
            return Ok(self.derived(
                &format!("({})", selected.sql),
                told,
                columns.collect(),
                scope,
            ));
        }
        let own = self.fresh();
        scope.sources.push(source_of(table, told, &own));
        Ok(format!("{} AS {own}", table.postgres()))
    }

    fn values(
        &self,
        rows: &[Vec<Expression>],
        alias: &str,
        names: &[String],
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let mut columns: Vec<Vec<Bound>> = names.iter().map(|_| Vec::new()).collect();
        for row in rows {
            if row.len() != names.len() {
                return Err(SqlError::new(
                    8158,
                    16,
                    "The number of columns does not fit the column list.",
                ));
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(self.value(value, scope)?);
            }
        }
        let mut made: Vec<(Vec<String>, SqlType)> = Vec::new();
        for column in columns {
            made.push(alike(column)?);
        }
        let mut written = Vec::new();
        for at in 0..rows.len() {
            let row: Vec<&str> = made
                .iter()
                .filter_map(|(column, _)| column.get(at).map(String::as_str))
                .collect();
            written.push(format!("({})", row.join(", ")));
        }
        let output = names
            .iter()
            .zip(&made)
            .map(|(name, (_, sql_type))| OutputColumn {
                name: name.clone(),
                sql_type: *sql_type,
                nullable: true,
                identity: false,
            });
        let listed: Vec<String> = (1..=names.len()).map(|at| format!("c{at}")).collect();
        let own = self.derived(
            &format!("(VALUES {})", written.join(", ")),
            alias,
            output.collect(),
            scope,
        );
        Ok(format!("{own}({})", listed.join(", ")))
    }

    fn join(
        &self,
        kind: Join,
        left: &Relation,
        right: &Relation,
        on: Option<&Expression>,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let before = scope.sources.len();
        let left = self.relation(left, scope)?;
        let middle = scope.sources.len();
        let right = match kind {
            Join::CrossApply | Join::OuterApply => {
                let mut inner = Scope {
                    outer: Some(scope),
                    ..Scope::default()
                };
                let sql = self.relation(right, &mut inner)?;
                let sources = inner.sources;
                scope.sources.extend(sources);
                format!("LATERAL {sql}")
            }
            _ => self.relation(right, scope)?,
        };
        let on = on
            .map(|on| self.condition(on, scope))
            .transpose()?
            .unwrap_or_else(|| "true".to_owned());
        // What an outer join may leave out is NULL then.
        let (left_out, right_out) = match kind {
            Join::Left | Join::OuterApply => (false, true),
            Join::Right => (true, false),
            Join::Full => (true, true),
            _ => (false, false),
        };
        for (at, source) in scope.sources.iter_mut().enumerate().skip(before) {
            if (at < middle && left_out) || (at >= middle && right_out) {
                source
                    .columns
                    .iter_mut()
                    .for_each(|column| column.bound.nullable = true);
            }
        }
        let word = match kind {
            Join::Inner | Join::CrossApply | Join::Cross => "JOIN",
            Join::Left | Join::OuterApply => "LEFT JOIN",
            Join::Right => "RIGHT JOIN",
            Join::Full => "FULL JOIN",
        };
        Ok(format!("({left} {word} {right} ON {on})"))
    }

    fn tracked(&self, name: &Name) -> Result<&Table> {
        let table = self.catalog.table(name, self.facts.database)?;
        if table.tracked {
            return Ok(table);
        }
        Err(SqlError::new(
            22105,
            16,
            format!(
                "Change tracking is not enabled on table '{}'.",
                table.told()
            ),
        ))
    }

    /// The net change of each key since a version.
    fn changes(
        &self,
        name: &Name,
        since: &Expression,
        alias: &str,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let table = self.tracked(name)?;
        let since = self.value(since, scope)?;
        let since = if since.is_null() {
            "0::bigint".to_owned()
        } else {
            convert(since, SqlType::BigInt, How::IMPLICIT)?.sql
        };
        let keys: Vec<String> = table.key.iter().map(|id| format!("c{id}")).collect();
        let keys = keys.join(", ");
        let last = "(array_agg(operation ORDER BY id DESC))[1]";
        let created = "max(version) FILTER (WHERE operation = 'I')";
        let sql = format!(
            "(SELECT max(version) AS version, {created} AS created, \
             CASE WHEN {last} = 'D' THEN 'D' WHEN {created} IS NOT NULL THEN 'I' ELSE 'U' END AS operation, \
             CASE WHEN {last} <> 'D' AND {created} IS NULL THEN (array_agg(mask ORDER BY id DESC))[1] END AS mask, \
             (array_agg(context ORDER BY id DESC))[1] AS context, {keys} \
             FROM data.changes_{} WHERE version > {since} GROUP BY {keys})",
            table.id
        );
        let own = self.fresh();
        let mut columns = vec![
            column(&own, "SYS_CHANGE_VERSION", "version", SqlType::BigInt),
            column(
                &own,
                "SYS_CHANGE_CREATION_VERSION",
                "created",
                SqlType::BigInt,
            ),
            column(
                &own,
                "SYS_CHANGE_OPERATION",
                "operation",
                SqlType::NChar(1, crate::types::Collation::DEFAULT),
            ),
            column(&own, "SYS_CHANGE_COLUMNS", "mask", SqlType::VarBinary(4100)),
            column(
                &own,
                "SYS_CHANGE_CONTEXT",
                "context",
                SqlType::VarBinary(128),
            ),
        ];
        columns.extend(
            table
                .key
                .iter()
                .filter_map(|id| table.column_of(*id))
                .map(|key| column(&own, &key.name, &key.postgres(), key.sql_type)),
        );
        scope.sources.push(Source {
            alias: alias.to_owned(),
            columns,
        });
        Ok(format!("{sql} AS {own}"))
    }

    /// The version of one row.
    fn version(
        &self,
        name: &Name,
        names: &[String],
        values: &[Expression],
        alias: &str,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let table = self.tracked(name)?;
        if names.len() != values.len() || names.len() != table.key.len() {
            return Err(SqlError::new(
                22113,
                16,
                "CHANGETABLE(VERSION) needs the columns of the primary key and their values.",
            ));
        }
        let mut fits = Vec::new();
        let mut listed = Vec::new();
        for (name, value) in names.iter().zip(values) {
            let key = table.column(name)?;
            let value = convert(self.value(value, scope)?, key.sql_type, How::IMPLICIT)?.sql;
            fits.push(format!("{} = {value}", key.postgres()));
            listed.push(format!("{value} AS {}", key.postgres()));
        }
        let own = self.fresh();
        let newest = format!(
            "FROM data.changes_{} WHERE version IS NOT NULL AND {} ORDER BY id DESC LIMIT 1",
            table.id,
            fits.join(" AND ")
        );
        let sql = format!(
            "(SELECT (SELECT version {newest}) AS version, (SELECT context {newest}) AS context, {})",
            listed.join(", ")
        );
        let mut columns = vec![
            column(&own, "SYS_CHANGE_VERSION", "version", SqlType::BigInt),
            column(
                &own,
                "SYS_CHANGE_CONTEXT",
                "context",
                SqlType::VarBinary(128),
            ),
        ];
        columns.extend(
            names
                .iter()
                .filter_map(|name| table.column(name).ok())
                .map(|key| column(&own, &key.name, &key.postgres(), key.sql_type)),
        );
        scope.sources.push(Source {
            alias: alias.to_owned(),
            columns,
        });
        Ok(format!("{sql} AS {own}"))
    }
}

fn column(own: &str, name: &str, postgres: &str, sql_type: SqlType) -> SourceColumn {
    SourceColumn {
        name: name.to_owned(),
        bound: Bound::new(format!("{own}.{postgres}"), sql_type),
    }
}

/// A table under an alias of PostgreSQL.
pub(super) fn source_of(table: &Table, alias: &str, own: &str) -> Source {
    let columns = table
        .columns
        .iter()
        .map(|column| SourceColumn {
            name: column.name.clone(),
            bound: Bound {
                nullable: column.nullable,
                identity: column.identity,
                ..Bound::new(format!("{own}.{}", column.postgres()), column.sql_type)
            },
        })
        .collect();
    Source {
        alias: alias.to_owned(),
        columns,
    }
}
