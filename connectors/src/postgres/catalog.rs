//! What the server's catalogue says of the columns of a table or a query.
//!
//! Knows `pg_type`, `pg_attribute` and `pg_class`; knows nothing of how rows are read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::kind::{Kind, TypeRow};
use super::sql::{self, Relation};
use super::wire::{Described, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::relational::Named;

/// A column, typed; `kind` is `None` where its type is not read.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Option<Kind>,
    pub(super) nullable: bool,
    /// The type as the server writes it, for messages.
    pub(super) type_name: String,
}

impl Named for Column {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Column {
    /// How the column is read, or the error that says how it could be.
    pub(super) fn readable(&self) -> Result<&Kind> {
        self.kind.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                format!("column `{}` has a type that is not read", self.name),
            )
            .with("type", &self.type_name)
            .help(format!(
                "leave it out of `columns:`, or read a query that casts it: `{}::{}`",
                sql::identifier(&self.name),
                if self.type_name.starts_with("numeric") {
                    "numeric(38,9)"
                } else {
                    "text"
                },
            ))
        })
    }
}

/// Whether there is such a table.
pub(super) async fn exists(session: &mut Session, table: &Relation) -> Result<bool> {
    let found = session
        .value(&format!(
            "SELECT pg_catalog.to_regclass({})",
            sql::text(&table.as_sql())
        ))
        .await?;
    Ok(found.is_some())
}

/// The columns of a relation, in its order.
pub(super) async fn columns(session: &mut Session, relation: &Relation) -> Result<Vec<Column>> {
    let described = session
        .describe(&format!("SELECT * FROM {}", relation.as_sql()))
        .await?;
    let types = types(session, &described).await?;
    let required = match relation {
        Relation::Table { .. } => not_null(session, relation).await?,
        Relation::Query(_) => Vec::new(),
    };
    let mut columns = Vec::with_capacity(described.len());
    for column in described {
        let kind = Kind::of(column.type_oid, column.typmod, &types);
        let type_name = match (&kind, types.get(&column.type_oid)) {
            (None, Some(row)) if row.name == "numeric" => {
                format!("numeric({})", (column.typmod - 4) >> 16)
            }
            (_, Some(row)) => row.name.clone(),
            (_, None) => column.type_oid.to_string(),
        };
        let nullable = !required.contains(&column.name);
        columns.push(Column {
            name: column.name,
            kind,
            nullable,
            type_name,
        });
    }
    Ok(columns)
}

/// The Arrow schema of columns that can all be read.
pub(super) fn schema(columns: &[Column]) -> Result<SchemaRef> {
    let mut fields = Vec::with_capacity(columns.len());
    for column in columns {
        fields.push(column.readable()?.field(&column.name, column.nullable));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The types of columns, with those that they are made of.
async fn types(session: &mut Session, columns: &[Described]) -> Result<HashMap<u32, TypeRow>> {
    let mut types = HashMap::new();
    let mut wanted: Vec<u32> = columns.iter().map(|column| column.type_oid).collect();
    while !wanted.is_empty() {
        let oids: Vec<String> = wanted.iter().map(u32::to_string).collect();
        let rows = session
            .rows(&format!(
                "SELECT t.oid, t.typname, t.typtype, \
                 CASE WHEN t.typlen = -1 AND t.typelem <> 0 AND t.typcategory = 'A' THEN t.typelem ELSE 0 END, \
                 t.typbasetype, t.typtypmod, t.typnamespace = 'pg_catalog'::regnamespace \
                 FROM pg_catalog.pg_type t WHERE t.oid IN ({})",
                oids.join(",")
            ))
            .await?;
        wanted.clear();
        for row in rows {
            let (oid, row) = type_row(&row).ok_or_else(|| super::failure::protocol("pg_type"))?;
            wanted.extend([row.element, row.base].into_iter().filter(|oid| *oid != 0));
            types.insert(oid, row);
        }
        wanted.retain(|oid| !types.contains_key(oid));
    }
    Ok(types)
}

fn type_row(row: &[Option<String>]) -> Option<(u32, TypeRow)> {
    let text = |i: usize| row.get(i)?.as_deref();
    let row = TypeRow {
        name: text(1)?.to_owned(),
        class: text(2)?.chars().next()?,
        element: text(3)?.parse().ok()?,
        base: text(4)?.parse().ok()?,
        typmod: text(5)?.parse().ok()?,
        builtin: text(6)? == "t",
    };
    Some((text(0)?.parse().ok()?, row))
}

async fn not_null(session: &mut Session, table: &Relation) -> Result<Vec<String>> {
    let rows = session
        .rows(&format!(
            "SELECT attname FROM pg_catalog.pg_attribute \
             WHERE attrelid = {}::regclass AND attnum > 0 AND attnotnull AND NOT attisdropped",
            sql::text(&table.as_sql())
        ))
        .await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// The size of a table, where it lies in pages of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Heap {
    /// Its pages now; zero for what has none: views, partitioned and foreign tables.
    pub(super) pages: u64,
    /// The size of a page, in bytes.
    pub(super) page_size: u64,
    /// About how many rows, where the server has counted.
    pub(super) rows: Option<u64>,
    /// Whether `ctid` cuts it: a plain table or materialized view without children.
    pub(super) plain: bool,
}

/// How large a table is.
pub(super) async fn heap(session: &mut Session, table: &Relation) -> Result<Heap> {
    let rows = session
        .rows(&format!(
            "SELECT pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8, \
             current_setting('block_size'), \
             CASE WHEN c.reltuples >= 0 AND c.relpages > 0 THEN \
               (c.reltuples / c.relpages * (pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int8))::int8 \
             END, \
             c.relkind IN ('r', 'm') AND a.amname = 'heap' AND NOT c.relhassubclass \
             FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam \
             WHERE c.oid = {}::regclass",
            sql::text(&table.as_sql())
        ))
        .await?;
    let row = rows.first().map(Vec::as_slice).unwrap_or_default();
    let number = |i: usize| {
        row.get(i)
            .and_then(Option::as_deref)
            .and_then(|text| text.parse::<u64>().ok())
    };
    Ok(Heap {
        pages: number(0).unwrap_or(0),
        page_size: number(1).unwrap_or(8192),
        rows: number(2),
        plain: row.get(3).and_then(Option::as_deref) == Some("t"),
    })
}
