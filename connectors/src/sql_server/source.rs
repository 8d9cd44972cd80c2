//! Reading: what the highest watermark is, and a read of one moment.
//!
//! Knows how a [`Read`] becomes a `SELECT`; rows are taken off the wire by [`Rows`].

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream;

use super::ReadOptions;
use super::catalog::{self, Column, Table, Tracking};
use super::changes::{self, Changes};
use super::cut::{self, Cut, Measure};
use super::decode::Rows;
use super::kind::{AllowLossy, Kind};
use super::moment::{Guard, Lent, Moment, Tracked};
use super::server::Server;
use super::session::Session;
use super::sql::{self, Relation};
use super::watermark;
use crate::contract::{BatchStream, Read, Scan, Source, Split};
use crate::error::{Error, ErrorKind, Result};
use crate::ranges;
use crate::relational::{column, part, projected, split};
use crate::value::Watermark;

/// A limit up to this many rows is read in one piece.
const SMALL_LIMIT: u64 = 1_000_000;

/// The reading side of a connection.
pub(super) struct SqlServerSource {
    server: Arc<Server>,
    /// Whether rows may be read that no one moment has.
    unguarded: bool,
}

impl SqlServerSource {
    pub(super) const fn new(server: Arc<Server>, unguarded: bool) -> Self {
        Self { server, unguarded }
    }
}

#[async_trait]
impl Source for SqlServerSource {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        let relation = Relation::new(&read.from)?;
        let allowed = allowed(read)?;
        let mut session = self.server.session().await?;
        if read.window.as_ref().is_some_and(|window| window.changes) {
            return changes::current(&mut session).await.map(Some);
        }
        let columns = catalog::columns(&mut session, &relation)
            .await
            .map_err(|error| about(error, &relation))?;
        let window = read.window.as_ref();
        let name = window
            .and_then(|window| window.column.as_deref())
            .ok_or_else(watermark::no_column)?;
        let column = column(&columns, name)?;
        if column.kind == Kind::RowVersion {
            let readers = catalog::readers(&mut session, &relation).await?;
            watermark::refuse_uncounted(readers, column)?;
        }
        watermark::highest(&mut session, &relation, column, &allowed).await
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

impl SqlServerSource {
    async fn open(&self, read: &Read, relation: &Relation) -> Result<SqlServerScan> {
        let allowed = allowed(read)?;
        let mut session = self.server.session().await?;
        let readers = catalog::readers(&mut session, relation).await?;
        let guard = Guard::of(readers, self.unguarded)?;
        guard.begin(&mut session, relation).await?;
        let mut all = catalog::columns(&mut session, relation).await?;
        let table = catalog::table(&mut session, relation).await?;
        let asked = read.window.as_ref().filter(|window| window.changes);
        let changes = Changes::asked(&mut session, readers, relation, &table, asked).await?;
        if let Some(changes) = &changes {
            all = changes.columns(all, &allowed)?;
        }
        let columns = projected(&all, read.columns.as_deref())?;
        let schema = catalog::schema(&columns, &allowed)?;

        let mut conditions = Vec::new();
        // What changed is told by versions; a predicate would have to hold of what a row was as well.
        let mut predicate = None;
        if changes.is_none() {
            conditions.extend(window(&mut session, relation, read, &all).await?);
            let asked = read.predicate.as_ref();
            predicate = asked.and_then(|predicate| sql::condition(predicate, &all));
            conditions.extend(predicate.clone());
        }

        let whole = guard != Guard::Snapshot
            || changes.as_ref().is_some_and(|changes| !changes.whole())
            || read.limit.is_some_and(|limit| limit <= SMALL_LIMIT);
        let (mut cuts, by) = if whole {
            (vec![Cut::All], None)
        } else {
            let sessions = self.server.sessions();
            cuts(&mut session, relation, &table, &all, read, sessions).await?
        };
        let moment = self
            .moment(
                (guard, readers.counts),
                session,
                relation,
                &table,
                &all,
                cuts.len(),
            )
            .await?;
        let share = table.rows.map(|rows| rows / cuts.len().max(1) as u64);
        if moment.moved().is_some() {
            cuts.push(Cut::Moved);
        }
        Ok(SqlServerScan {
            schema,
            select: Select {
                relation: relation.clone(),
                changes,
                columns,
                conditions,
                limit: read.limit,
            },
            splits: splits(&cuts, share)?,
            cut_kind: by
                .as_ref()
                .and_then(|name| column(&all, name).ok())
                .map_or(Kind::BigInt, |column| column.kind.clone()),
            by,
            predicate,
            moment: Arc::new(moment),
        })
    }

    /// The sessions that read: several where they can be brought to one moment.
    async fn moment(
        &self,
        (guard, counted): (Guard, bool),
        session: Session,
        relation: &Relation,
        table: &Table,
        columns: &[Column],
        cuts: usize,
    ) -> Result<Moment> {
        let key: Result<Vec<_>> = table.key.iter().map(|name| column(columns, name)).collect();
        match key {
            Ok(key)
                if cuts > 1
                    && counted
                    && table.tracked == Tracking::Yes
                    && !key.is_empty()
                    && key.iter().all(|column| column.kind.is_exact()) =>
            {
                let tracked = Tracked {
                    table: relation,
                    key,
                };
                Moment::of_many(&self.server, session, &tracked, cuts).await
            }
            _ => Ok(Moment::of_one(guard, session)),
        }
    }
}

/// The condition for the rows of the window, where there is one.
async fn window(
    session: &mut Session,
    relation: &Relation,
    read: &Read,
    columns: &[Column],
) -> Result<Option<String>> {
    let Some(window) = &read.window else {
        return Ok(None);
    };
    let name = window.column.as_deref().ok_or_else(watermark::no_column)?;
    let column = column(columns, name)?;
    watermark::refuse_nulls(session, relation, column, window).await?;
    watermark::condition(column, window).map(Some)
}

fn allowed(read: &Read) -> Result<AllowLossy> {
    let options: ReadOptions = serde_json::from_value(read.options.clone()).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            "the options of the extract do not fit its connector",
        )
        .caused_by(error)
    })?;
    Ok(options.allow_lossy)
}

fn about(error: Error, relation: &Relation) -> Error {
    match relation {
        Relation::Table(_) => error.with("table", relation.as_sql()),
        Relation::Query(_) => error,
    }
}

fn splits(cuts: &[Cut], rows: Option<u64>) -> Result<Vec<Split>> {
    cuts.iter()
        .map(|cut| split(cut.name(), cut, rows))
        .collect()
}

/// The parts, and the column that makes them.
async fn cuts(
    session: &mut Session,
    relation: &Relation,
    table: &Table,
    columns: &[Column],
    read: &Read,
    sessions: usize,
) -> Result<(Vec<Cut>, Option<String>)> {
    let by = match (&read.splits.column, &table.ordered_by) {
        (Some(asked), _) => Some(column(columns, asked)?),
        (None, Some(ordered)) => columns.iter().find(|column| column.name == *ordered),
        (None, None) => None,
    };
    let Some((by, measure)) = by.and_then(|by| Some((by, cut::measure(&by.kind)?))) else {
        return Ok((vec![Cut::All], None));
    };
    let rows = match table.rows {
        Some(rows) => rows,
        // What is no table is counted by reading it once.
        None => counted(session, relation).await?,
    };
    let parts = ranges::table_parts(rows, &read.splits, sessions);
    if parts < 2 {
        return Ok((vec![Cut::All], None));
    }
    let cuts = match measure {
        Measure::Uuid => cut::uuids(&by.name, parts),
        Measure::Asked(measured, literal) => {
            let name = sql::identifier(&by.name);
            let (low, high) = (format!("MIN({name})"), format!("MAX({name})"));
            let rows = session
                .rows(format!(
                    "{}SELECT {}, {} FROM {}",
                    relation.prefix(),
                    measured(&low),
                    measured(&high),
                    relation.as_sql()
                ))
                .await?;
            let bounds = rows.first().map(Vec::as_slice).unwrap_or_default();
            let number = |at: usize| bounds.get(at)?.as_deref()?.parse::<i64>().ok();
            match (number(0), number(1)) {
                (Some(low), Some(high)) => {
                    cut::ranges((&by.name, &by.kind), (low, high), parts, literal)
                }
                _ => vec![Cut::All],
            }
        }
    };
    Ok((cuts, Some(by.name.clone())))
}

async fn counted(session: &mut Session, relation: &Relation) -> Result<u64> {
    let rows = session
        .value(format!(
            "{}SELECT COUNT_BIG(*) FROM {}",
            relation.prefix(),
            relation.as_sql()
        ))
        .await?;
    Ok(rows.and_then(|rows| rows.parse().ok()).unwrap_or(0))
}

/// What is asked for, but for the part.
struct Select {
    relation: Relation,
    changes: Option<Changes>,
    columns: Vec<Column>,
    conditions: Vec<String>,
    limit: Option<u64>,
}

impl Select {
    fn as_sql(&self, part: Option<String>, moved: Option<String>) -> String {
        let selected = self.columns.iter().map(|column| match &self.changes {
            Some(changes) => changes.selected(&column.name),
            None => sql::identifier(&column.name),
        });
        let mut selected = selected.collect::<Vec<_>>().join(", ");
        if selected.is_empty() {
            // Rows without columns are counted by a column that nobody sees.
            selected.push_str("CAST(1 AS bit) AS one");
        }
        let top = self
            .limit
            .map(|limit| format!("TOP ({limit}) "))
            .unwrap_or_default();
        let from = match &self.changes {
            Some(changes) => changes.from(),
            None => self.relation.as_sql(),
        };
        let with = self.relation.prefix();
        let mut select = format!("{with}SELECT {top}{selected} FROM {from}");
        let conditions: Vec<_> = self
            .conditions
            .iter()
            .cloned()
            .chain(part)
            .chain(moved)
            .collect();
        if !conditions.is_empty() {
            select.push_str(" WHERE ");
            select.push_str(&conditions.join(" AND "));
        }
        select
    }
}

/// A read of one moment, which lives as long as its sessions.
struct SqlServerScan {
    schema: SchemaRef,
    select: Select,
    splits: Vec<Split>,
    /// What makes the parts.
    by: Option<String>,
    cut_kind: Kind,
    predicate: Option<String>,
    moment: Arc<Moment>,
}

#[async_trait]
impl Scan for SqlServerScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self) -> &[Split] {
        &self.splits
    }

    fn describe(&self) -> String {
        let cut = match (self.splits.len(), &self.by) {
            (0 | 1, _) | (_, None) => "1 split".to_owned(),
            (count, Some(by)) => format!("{count} splits by `{by}`"),
        };
        let predicate = self
            .predicate
            .as_ref()
            .map(|sql| format!(", where {sql}"))
            .unwrap_or_default();
        let changes = self.select.changes.as_ref();
        let what = changes
            .map(|changes| format!("{}, ", changes.describe()))
            .unwrap_or_default();
        format!("{what}{cut}, {}{predicate}", self.moment.describe())
    }

    async fn read(&self, split: &Split) -> Result<BatchStream> {
        let cut: Cut = part(split)?;
        let moved = self.moment.moved().map(|moved| match cut {
            Cut::Moved => moved.to_owned(),
            _ => format!("NOT {moved}"),
        });
        let select = self.select.as_sql(cut.condition(&self.cut_kind), moved);
        let mut session = self.moment.session(cut == Cut::Moved).await?;
        session.start(select).await?;
        let kinds: Vec<_> = self
            .select
            .columns
            .iter()
            .map(|column| column.kind.clone())
            .collect();
        same_columns(&mut session, &kinds)?;
        let reading = Reading {
            rows: Rows::new(self.schema(), &kinds),
            session,
            ended: false,
        };
        Ok(Box::pin(stream::try_unfold(
            reading,
            |mut reading| async move {
                let batch = reading.next().await?;
                Ok(batch.map(|batch| (batch, reading)))
            },
        )))
    }
}

/// A table may be altered between two statements, where nothing keeps its moment.
fn same_columns(session: &mut Session, kinds: &[Kind]) -> Result<()> {
    let now = catalog::started(session)?;
    let same =
        now.len() == kinds.len() && now.iter().zip(kinds).all(|(now, kind)| now.kind == *kind);
    if same || kinds.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        "the columns changed while the read began",
    ))
}

/// A statement whose rows are on their way.
struct Reading {
    session: Lent,
    rows: Rows,
    ended: bool,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.ended {
            return Ok(None);
        }
        if !self.session.fill(&mut self.rows).await? {
            self.ended = true;
            self.session.end().await?;
        }
        self.rows.batch()
    }
}
