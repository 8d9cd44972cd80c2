//! The rows in which two snapshots of a table differ.
//!
//! Rows are compared whole, as often as they occur: what one side has more often than the other is a difference. A key
//! then tells which removed and added row are one that changed. Only files that the snapshots do not share are read.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, StringArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use connectors::{BatchStream, Error, ErrorKind, Result};
use futures::{StreamExt, TryStreamExt};

use super::Engine;
use crate::lake::{At, DiffFiles, Moment, PairedColumn, SnapshotDiff, TableId};
use crate::query::{Session, from_datafusion, quoted};

/// The most rows of a batch that is given out.
const BATCH_ROWS: usize = 8192;

/// The columns of the query that are not the table's: what a row is, and how many of it there are.
const OWN: usize = 2;

/// What a row of a difference is, in the order of its numbers in the query.
const WORDS: [&str; 4] = ["removed", "added", "before", "after"];

/// How many rows differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffCounts {
    /// Rows that only the second snapshot has.
    pub added: u64,
    /// Rows that only the first snapshot has.
    pub removed: u64,
    /// Rows that both have, with other values; counted once.
    pub changed: u64,
}

/// The difference of two snapshots: rows that come one batch after the other.
pub struct Diff {
    /// The first moment.
    pub from: Moment,
    /// The second moment.
    pub to: Moment,
    /// The columns by which rows are known again; none when rows are only compared whole.
    pub key: Vec<String>,
    /// How many files are read, and how many need not be.
    pub files: DiffFiles,
    /// The columns that only the second snapshot has, and those that only the first has.
    pub columns: (Vec<String>, Vec<String>),
    schema: SchemaRef,
    rows: BatchStream,
    counts: DiffCounts,
    /// A batch of the query, the row that is next, and how often it was given out.
    open: Option<(RecordBatch, usize, u64)>,
}

impl Engine {
    /// The rows in which two moments of a table differ. Rows are known again by `key`; when it is `None`, by the key that
    /// the project merges rows into the table with, where there is one.
    pub async fn diff(
        &self,
        table: &TableId,
        from: &At,
        to: &At,
        key: Option<Vec<String>>,
    ) -> Result<Diff> {
        let found = self.lake_table(table).await?;
        let (from, to) = (found.moment(from)?, found.moment(to)?);
        let between = found.diff(from.snapshot, to.snapshot).await?;
        let names = names(&between.columns);
        let key = match key {
            Some(key) => {
                known(key, &between.columns).map_err(|error| error.with("table", table))?
            }
            None => self
                .merge_key(table)
                .and_then(|key| known(key, &between.columns).ok())
                .unwrap_or_default(),
        };
        let SnapshotDiff {
            before,
            after,
            columns,
            files,
        } = between;
        let session = self.session()?;
        session.register_step("__before", before)?;
        session.register_step("__after", after)?;
        let (schema, rows) = ask(&session, &sql(&columns, &names, &key)).await?;
        Ok(Diff {
            from,
            to,
            key,
            files,
            columns: (
                only(&columns, |column| column.before.is_none(), &names),
                only(&columns, |column| column.after.is_none(), &names),
            ),
            schema: labelled(&schema),
            rows,
            counts: DiffCounts::default(),
            open: None,
        })
    }
}

async fn ask(session: &Session, sql: &str) -> Result<(SchemaRef, BatchStream)> {
    let frame = session.query(sql).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let rows = frame.execute_stream().await.map_err(from_datafusion)?;
    Ok((schema, rows.map_err(from_datafusion).boxed()))
}

impl Diff {
    /// The columns of the rows: what the row is, then those of the table.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows were given out so far.
    pub const fn counts(&self) -> DiffCounts {
        self.counts
    }

    /// The next rows, each as often as it differs; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let (batch, first, given) = match self.open.take() {
            Some(open) => open,
            None => match self.rows.try_next().await? {
                Some(batch) => (batch, 0, 0),
                None => return Ok(None),
            },
        };
        let (kinds, times) = (numbers(&batch, 0)?, numbers(&batch, 1)?);
        let (mut rows, mut words) = (Vec::new(), Vec::new());
        let mut skipped = given;
        for (row, (kind, times)) in kinds.iter().zip(times).enumerate().skip(first) {
            let times = u64::try_from(*times).unwrap_or_default();
            let word = usize::try_from(*kind).ok().and_then(|kind| WORDS.get(kind));
            let room = (BATCH_ROWS - rows.len()) as u64;
            let now = (times - skipped).min(room);
            for _ in 0..now {
                rows.push(row as u64);
                words.push(*word.unwrap_or(&""));
            }
            self.counts.count(*kind, now);
            if skipped + now < times {
                self.open = Some((batch.clone(), row, skipped + now));
                break;
            }
            skipped = 0;
        }
        let taken = take_record_batch(&batch, &UInt64Array::from(rows))?;
        let mut columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(StringArray::from(words))];
        columns.extend(taken.columns().iter().skip(OWN).cloned());
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Some(rows))
    }
}

impl DiffCounts {
    fn count(&mut self, kind: i64, rows: u64) {
        match kind {
            0 => self.removed += rows,
            1 => self.added += rows,
            // Of the two rows of a change the later one counts.
            3 => self.changed += rows,
            _ => {}
        }
    }
}

fn numbers(batch: &RecordBatch, column: usize) -> Result<&[i64]> {
    let numbers = batch.columns().get(column);
    let numbers = numbers.and_then(|column| column.as_primitive_opt::<Int64Type>());
    numbers.map(|numbers| &**numbers.values()).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "a difference came without its own columns",
        )
    })
}

/// The columns of the query, with a word for what a row is instead of the query's own columns.
fn labelled(schema: &SchemaRef) -> SchemaRef {
    let columns = schema.fields().iter().skip(OWN);
    let mut word = "_change".to_owned();
    while columns.clone().any(|column| *column.name() == word) {
        word.insert(0, '_');
    }
    let word = Arc::new(Field::new(word, DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(word).chain(columns.cloned()).collect();
    Arc::new(Schema::new(fields))
}

/// The names of the columns in the answer: the newer ones. A dropped column whose name another has got is told apart.
fn names(columns: &[PairedColumn]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut name = column
            .after
            .clone()
            .or_else(|| column.before.clone())
            .unwrap_or_default();
        while names.contains(&name) {
            name.push_str("_before");
        }
        names.push(name);
    }
    names
}

fn only(
    columns: &[PairedColumn],
    wanted: impl Fn(&PairedColumn) -> bool,
    names: &[String],
) -> Vec<String> {
    let columns = columns.iter().zip(names);
    let wanted = columns.filter(|(column, _)| wanted(column));
    wanted.map(|(_, name)| name.clone()).collect()
}

/// The key, if both snapshots have its columns.
fn known(key: Vec<String>, columns: &[PairedColumn]) -> Result<Vec<String>> {
    let both = columns.iter().filter(|column| column.before.is_some());
    let both: Vec<&str> = both.filter_map(|column| column.after.as_deref()).collect();
    match key.iter().find(|name| !both.contains(&name.as_str())) {
        None => Ok(key),
        Some(name) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("the snapshots have no column `{name}` in common"),
        )
        .help(format!("they have {}", both.join(", ")))),
    }
}

/// The query whose rows are the differences: what each is, how many of it there are, and the table's columns.
fn sql(columns: &[PairedColumn], names: &[String], key: &[String]) -> String {
    let side = |name: fn(&PairedColumn) -> &Option<String>| {
        let columns = columns.iter().zip(names).map(|(column, answer)| {
            let value = name(column).as_deref().map_or("NULL".to_owned(), quoted);
            format!("{value} AS {}", quoted(answer))
        });
        columns.collect::<Vec<_>>().join(", ")
    };
    let (after, before) = (side(|column| &column.after), side(|column| &column.before));
    let all = list(names);
    let differing = format!(
        "SELECT {all}, sum(\"__side\") AS \"__surplus\" FROM \
         (SELECT {after}, 1 AS \"__side\" FROM \"__after\" UNION ALL SELECT {before}, -1 AS \"__side\" FROM \"__before\") \
         GROUP BY {all} HAVING sum(\"__side\") <> 0"
    );
    let alone = "CASE WHEN \"__surplus\" > 0 THEN 1 ELSE 0 END";
    if key.is_empty() {
        return format!(
            "SELECT {alone} AS \"__kind\", abs(\"__surplus\") AS \"__times\", {all} FROM ({differing}) ORDER BY {all}, \"__kind\""
        );
    }
    let key = list(key);
    let of_key =
        |sign: &str| format!("sum(greatest({sign}\"__surplus\", 0)) OVER (PARTITION BY {key})");
    format!(
        "SELECT CASE WHEN \"__come\" = 1 AND \"__gone\" = 1 THEN {alone} + 2 ELSE {alone} END AS \"__kind\", \
         abs(\"__surplus\") AS \"__times\", {all} FROM \
         (SELECT *, {} AS \"__come\", {} AS \"__gone\" FROM ({differing})) ORDER BY {key}, \"__kind\"",
        of_key(""),
        of_key("-"),
    )
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    names.join(", ")
}
