//! Reading: what the highest watermark is, and a read of one moment.
//!
//! Knows how a [`Read`] becomes a `SELECT`; rows are taken by [`copy_out`].

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::sync::Mutex;

use super::catalog::{self, Column};
use super::copy_out::{self, Tuples};
use super::cut::{self, Cut};
use super::kind::Kind;
use super::server::Server;
use super::sql::{self, Relation};
use super::watermark;
use super::wire::Session;
use crate::contract::{BatchStream, Read, Scan, Source, Split};
use crate::error::{Error, Result};
use crate::ranges;
use crate::relational::{column, part, projected, split};
use crate::value::Watermark;

/// A limit up to this many rows is read in one piece.
const SMALL_LIMIT: u64 = 1_000_000;

/// The reading side of a connection.
pub(super) struct PostgresSource {
    server: Arc<Server>,
}

impl PostgresSource {
    pub(super) const fn new(server: Arc<Server>) -> Self {
        Self { server }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        let relation = Relation::new(&read.from)?;
        let mut session = self.server.session().await?;
        let columns = catalog::columns(&mut session, &relation)
            .await
            .map_err(|error| about(error, &relation))?;
        let window = read.window.as_ref();
        let name = window
            .and_then(|window| window.column.as_deref())
            .ok_or_else(watermark::no_column)?;
        watermark::highest(&mut session, &relation, column(&columns, name)?).await
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        let relation = Relation::new(&read.from)?;
        let scan = self
            .open(read, &relation)
            .await
            .map_err(|error| about(error, &relation))?;
        Ok(Box::new(scan))
    }
}

impl PostgresSource {
    async fn open(&self, read: &Read, relation: &Relation) -> Result<PostgresScan> {
        let (mut holder, snapshot) = self.server.holder().await?;
        let all = catalog::columns(&mut holder, relation).await?;

        let mut conditions = Vec::new();
        if let Some(window) = &read.window {
            let name = window.column.as_deref().ok_or_else(watermark::no_column)?;
            let column = column(&all, name)?;
            watermark::refuse_nulls(&mut holder, relation, column, window).await?;
            conditions.extend(watermark::condition(column, window)?);
        }
        let predicate = read
            .predicate
            .as_ref()
            .and_then(|predicate| sql::condition(predicate, &all));
        conditions.extend(predicate.clone());

        let (cuts, by, rows) =
            cuts(&mut holder, relation, &all, read, self.server.sessions()).await?;
        let columns = projected(&all, read.columns.as_deref())?;
        let share = rows.map(|rows| rows / cuts.len().max(1) as u64);
        Ok(PostgresScan {
            server: Arc::clone(&self.server),
            schema: catalog::schema(&columns)?,
            select: Select {
                relation: relation.clone(),
                columns,
                conditions,
                limit: read.limit,
            },
            splits: splits(&cuts, share)?,
            cut_kind: by
                .as_ref()
                .and_then(|name| column(&all, name).ok()?.kind.clone()),
            by: by.map_or_else(|| "ctid".to_owned(), |name| format!("`{name}`")),
            predicate,
            snapshot,
            holder: Arc::new(Mutex::new(holder)),
        })
    }
}

fn about(error: Error, relation: &Relation) -> Error {
    match relation {
        Relation::Table { .. } => error.with("table", relation.as_sql()),
        Relation::Query(_) => error,
    }
}

fn splits(cuts: &[Cut], rows: Option<u64>) -> Result<Vec<Split>> {
    cuts.iter()
        .map(|cut| split(cut.name(), cut, rows))
        .collect()
}

/// The parts, the column that makes them (none: pages), and about how many rows there are.
async fn cuts(
    holder: &mut Session,
    relation: &Relation,
    columns: &[Column],
    read: &Read,
    sessions: usize,
) -> Result<(Vec<Cut>, Option<String>, Option<u64>)> {
    let heap = match relation {
        Relation::Table { .. } => catalog::heap(holder, relation).await?,
        Relation::Query(_) => catalog::Heap::default(),
    };
    let parts = ranges::parts(
        heap.pages * heap.page_size,
        heap.rows,
        &read.splits,
        sessions,
    );
    if read.limit.is_some_and(|limit| limit <= SMALL_LIMIT) {
        return Ok((vec![Cut::All], None, heap.rows));
    }
    if let Some(name) = &read.splits.column {
        let column = column(columns, name)?;
        if let Some(kind) = &column.kind
            && let Some((measure, literal)) = cut::measure(kind, name)
        {
            // What has pages is counted by them; anything else is counted by reading it once.
            let count = if heap.plain { "NULL" } else { "count(*)" };
            let from = relation.as_sql();
            let rows = holder
                .rows(&format!(
                    "SELECT min({measure}), max({measure}), {count} FROM {from}"
                ))
                .await?;
            let bounds = rows.first().map(Vec::as_slice).unwrap_or_default();
            let number = |i: usize| bounds.get(i)?.as_deref()?.parse::<i64>().ok();
            let counted = number(2).and_then(|rows| u64::try_from(rows).ok());
            let parts = counted.map_or(parts, |rows| ranges::query_parts(rows, &read.splits));
            let cuts = match (number(0), number(1)) {
                (Some(lowest), Some(highest)) => {
                    cut::ranges((name, kind), (lowest, highest), parts, literal)
                }
                _ => vec![Cut::All],
            };
            return Ok((cuts, Some(name.clone()), counted.or(heap.rows)));
        }
    }
    let cuts = if heap.plain {
        cut::pages(heap.pages, parts)
    } else {
        vec![Cut::All]
    };
    Ok((cuts, None, heap.rows))
}

/// What is asked for, but for the part.
struct Select {
    relation: Relation,
    columns: Vec<Column>,
    conditions: Vec<String>,
    limit: Option<u64>,
}

impl Select {
    fn as_sql(&self, part: Option<String>) -> String {
        let selected = self.columns.iter().filter_map(|column| {
            let kind = column.kind.as_ref()?;
            Some(kind.selected(&sql::identifier(&column.name)))
        });
        let selected = selected.collect::<Vec<_>>().join(", ");
        let conditions: Vec<_> = self.conditions.iter().cloned().chain(part).collect();
        let mut select = format!("SELECT {selected} FROM {}", self.relation.as_sql());
        if !conditions.is_empty() {
            select.push_str(" WHERE ");
            select.push_str(&conditions.join(" AND "));
        }
        if let Some(limit) = self.limit {
            select.push_str(" LIMIT ");
            select.push_str(&limit.to_string());
        }
        select
    }
}

/// A read of one moment: the session that exported the snapshot keeps it alive, and reads as well.
struct PostgresScan {
    server: Arc<Server>,
    schema: SchemaRef,
    select: Select,
    splits: Vec<Split>,
    /// What makes the parts.
    by: String,
    cut_kind: Option<Kind>,
    predicate: Option<String>,
    snapshot: String,
    holder: Arc<Mutex<Session>>,
}

#[async_trait]
impl Scan for PostgresScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self) -> &[Split] {
        &self.splits
    }

    fn describe(&self) -> String {
        let cut = match self.splits.len() {
            1 => "1 split".to_owned(),
            count => format!("{count} splits by {}", self.by),
        };
        let predicate = self
            .predicate
            .as_ref()
            .map(|sql| format!(", where {sql}"))
            .unwrap_or_default();
        format!("{cut}, one snapshot ({}){predicate}", self.snapshot)
    }

    async fn read(&self, split: &Split) -> Result<BatchStream> {
        let cut: Cut = part(split)?;
        let part = cut.condition(self.cut_kind.as_ref().unwrap_or(&Kind::Int8));
        let kinds = self
            .select
            .columns
            .iter()
            .filter_map(|column| column.kind.clone())
            .collect();
        let tuples = Tuples::new(self.schema(), kinds);
        let session = self.server.reader(&self.snapshot, &self.holder).await?;
        copy_out::stream(session, &self.select.as_sql(part), tuples).await
    }
}
