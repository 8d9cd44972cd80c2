//! DDL of keys, indexes and constraints.

use std::fmt::Write as _;

use super::Session;
use super::definition::CHANGED;
use crate::catalog::Table;
use crate::error::{Result, SqlError};
use crate::sql::{ConstraintKind, Expression, Name, TableConstraint, schema_and_name};
use crate::types::quoted;

/// A key or an index, as `tds.indexes` has it.
struct Index<'a> {
    name: &'a str,
    kind: i16,
    unique: bool,
    primary: bool,
    constraint: Option<i32>,
    columns: Vec<(i32, bool)>,
    included: Vec<i32>,
}

impl Session {
    pub(super) async fn add_constraint(
        &mut self,
        table: &mut Table,
        constraint: &TableConstraint,
    ) -> Result<()> {
        let (kind, prefix) = match &constraint.kind {
            ConstraintKind::Key { primary: true, .. } => ("PK", "PK"),
            ConstraintKind::Key { .. } => ("UQ", "UQ"),
            ConstraintKind::Foreign { .. } => ("F", "FK"),
            ConstraintKind::Check(_) => ("C", "CK"),
        };
        let id: i32 = sqlx::query_scalar("SELECT nextval('tds.object_ids')::integer")
            .fetch_one(&mut self.postgres)
            .await?;
        let name = constraint
            .name
            .clone()
            .unwrap_or_else(|| format!("{prefix}__{}__{id:08X}", table.name));
        let schema = self
            .catalog
            .schema(self.facts.database, &table.schema)
            .map_or(1, |schema| schema.id);
        sqlx::query("INSERT INTO tds.objects (object_id, database_id, schema_id, parent_object_id, name, type) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(id)
            .bind(table.database)
            .bind(schema)
            .bind(table.id)
            .bind(&name)
            .bind(kind)
            .execute(&mut self.postgres)
            .await?;
        match &constraint.kind {
            ConstraintKind::Key {
                primary,
                clustered,
                columns,
            } => {
                self.add_key(table, id, &name, *primary, *clustered, columns)
                    .await
            }
            ConstraintKind::Foreign {
                columns,
                table: referenced,
                referenced: names,
            } => {
                self.add_foreign_key(table, id, columns, referenced, names)
                    .await
            }
            ConstraintKind::Check(condition) => self.add_check(table, id, condition).await,
        }
    }

    async fn add_key(
        &mut self,
        table: &mut Table,
        id: i32,
        name: &str,
        primary: bool,
        clustered: Option<bool>,
        columns: &[(String, bool)],
    ) -> Result<()> {
        let keys = key_columns(table, columns)?;
        let listed: Vec<String> = keys.iter().map(|(id, _)| format!("c{id}")).collect();
        let what = if primary { "PRIMARY KEY" } else { "UNIQUE" };
        self.execute(&format!(
            "ALTER TABLE {} ADD CONSTRAINT k{id} {what} ({})",
            table.postgres(),
            listed.join(", ")
        ))
        .await?;
        if primary {
            table.key = keys.iter().map(|(id, _)| *id).collect();
        }
        let kind = if clustered.unwrap_or(primary) { 1 } else { 2 };
        let index = Index {
            name,
            kind,
            unique: true,
            primary,
            constraint: Some(id),
            columns: keys,
            included: Vec::new(),
        };
        self.describe_index(table.id, &index).await
    }

    async fn describe_index(&mut self, table: i32, index: &Index<'_>) -> Result<()> {
        let first = if index.kind == 1 { 1 } else { 2 };
        let number: i32 = sqlx::query_scalar(
            "INSERT INTO tds.indexes SELECT $1, greatest(coalesce(max(index_id), 0) + 1, $2), $3, $4, $5, $6, $7, $8 FROM tds.indexes WHERE object_id = $1 AND ($2 = 2 OR index_id = 0) RETURNING index_id",
        )
        .bind(table)
        .bind(first)
        .bind(index.name)
        .bind(index.kind)
        .bind(i16::from(index.unique))
        .bind(i16::from(index.primary))
        .bind(i16::from(index.constraint.is_some() && !index.primary))
        .bind(index.constraint.unwrap_or(0))
        .fetch_one(&mut self.postgres)
        .await?;
        let keys = index
            .columns
            .iter()
            .map(|(column, descending)| (*column, *descending, false));
        let all = keys.chain(index.included.iter().map(|column| (*column, false, true)));
        for ((column, descending, included), at) in all.zip(1_i32..) {
            let ordinal = if included { 0 } else { at };
            let sql = format!(
                "INSERT INTO tds.index_columns VALUES ({table}, {number}, {at}, {column}, {ordinal}, {}, {})",
                i32::from(descending),
                i32::from(included)
            );
            self.execute(&sql).await?;
        }
        Ok(())
    }

    async fn add_foreign_key(
        &mut self,
        table: &Table,
        id: i32,
        columns: &[String],
        referenced: &Name,
        names: &[String],
    ) -> Result<()> {
        let other = if crate::catalog::same(&schema_and_name(referenced).1, &table.name) {
            table.clone()
        } else {
            self.catalog.table(referenced, self.facts.database)?.clone()
        };
        let own: Vec<i32> = columns
            .iter()
            .map(|name| table.column(name).map(|column| column.id))
            .collect::<Result<_>>()?;
        let theirs: Vec<i32> = if names.is_empty() {
            other.key.clone()
        } else {
            names
                .iter()
                .map(|name| other.column(name).map(|column| column.id))
                .collect::<Result<_>>()?
        };
        let list = |ids: &[i32]| {
            ids.iter()
                .map(|id| format!("c{id}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut sql = format!(
            "ALTER TABLE {} ADD CONSTRAINT k{id} FOREIGN KEY ({}) REFERENCES {} ({}); INSERT INTO tds.foreign_keys VALUES ({id}, {}, {});",
            table.postgres(),
            list(&own),
            other.postgres(),
            list(&theirs),
            table.id,
            other.id
        );
        for ((own, theirs), at) in own.iter().zip(&theirs).zip(1..) {
            let _ = write!(
                sql,
                "INSERT INTO tds.foreign_key_columns VALUES ({id}, {at}, {}, {own}, {}, {theirs});",
                table.id, other.id
            );
        }
        self.execute(&sql).await.map(|_| ())
    }

    async fn add_check(&mut self, table: &Table, id: i32, condition: &Expression) -> Result<()> {
        let sql = self.binder().check(&table.columns, condition)?;
        self.execute(&format!(
            "ALTER TABLE {} ADD CONSTRAINT k{id} CHECK ({sql})",
            table.postgres()
        ))
        .await
        .map(|_| ())
    }

    pub(super) async fn create_index(
        &mut self,
        table: &Table,
        name: &str,
        unique: bool,
        clustered: bool,
        columns: &[(String, bool)],
        included: &[String],
    ) -> Result<()> {
        let keys = key_columns(table, columns)?;
        let included: Vec<i32> = included
            .iter()
            .map(|name| table.column(name).map(|column| column.id))
            .collect::<Result<_>>()?;
        let listed: Vec<String> = keys
            .iter()
            .map(|(id, descending)| format!("c{id}{}", if *descending { " DESC" } else { "" }))
            .collect();
        let id: i32 = sqlx::query_scalar("SELECT nextval('tds.object_ids')::integer")
            .fetch_one(&mut self.postgres)
            .await?;
        let word = if unique { "UNIQUE " } else { "" };
        // One NULL only, as a unique index of T-SQL has it.
        let nulls = if unique { " NULLS NOT DISTINCT" } else { "" };
        self.execute(&format!(
            "CREATE {word}INDEX k{id} ON {} ({}){nulls}",
            table.postgres(),
            listed.join(", ")
        ))
        .await?;
        let index = Index {
            name,
            kind: if clustered { 1 } else { 2 },
            unique,
            primary: false,
            constraint: None,
            columns: keys,
            included,
        };
        self.describe_index(table.id, &index).await?;
        // The name PostgreSQL has for it is found by the columns' comment.
        self.execute(&format!(
            "COMMENT ON INDEX data.k{id} IS {}; {CHANGED}",
            quoted(name)
        ))
        .await
        .map(|_| ())
    }

    pub(super) async fn drop_index(&mut self, name: &str, table: &Name) -> Result<()> {
        let table = self.catalog.table(table, self.facts.database)?.id;
        let found: Option<String> = sqlx::query_scalar(
            "SELECT c.relname::text FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid \
             WHERE i.indrelid = to_regclass('data.t' || $1) AND lower(obj_description(c.oid, 'pg_class')) = lower($2)",
        )
        .bind(table.to_string())
        .bind(name)
        .fetch_optional(&mut self.postgres)
        .await?;
        let found = found.ok_or_else(|| SqlError::new(3701, 11, format!("Cannot drop the index '{name}', because it does not exist or you do not have permission.")))?;
        self.execute(&format!(
            "DROP INDEX data.{found}; DELETE FROM tds.indexes WHERE object_id = {table} AND lower(name) = lower({}); {CHANGED}",
            quoted(name)
        ))
        .await
        .map(|_| ())
    }

    pub(super) async fn drop_constraint(&mut self, table: &Table, name: &str) -> Result<()> {
        let id: Option<i32> = sqlx::query_scalar("SELECT object_id FROM tds.objects WHERE parent_object_id = $1 AND lower(name) = lower($2)")
            .bind(table.id)
            .bind(name)
            .fetch_optional(&mut self.postgres)
            .await?;
        let id =
            id.ok_or_else(|| SqlError::new(3728, 16, format!("'{name}' is not a constraint.")))?;
        let sql = format!(
            "ALTER TABLE {} DROP CONSTRAINT k{id}; DELETE FROM tds.indexes WHERE constraint_id = {id}; DELETE FROM tds.objects WHERE object_id = {id}",
            table.postgres()
        );
        self.execute(&sql).await.map(|_| ())
    }
}

fn key_columns(table: &Table, columns: &[(String, bool)]) -> Result<Vec<(i32, bool)>> {
    columns
        .iter()
        .map(|(name, descending)| table.column(name).map(|column| (column.id, *descending)))
        .collect()
}
