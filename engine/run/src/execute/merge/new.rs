//! Rows that a table does not have are added to it, and no row that is there changes.
//!
//! A row is left out only where one with its key is there or is added in its place: where times count, one that lies no
//! further away. So no row is lost, and rows that come again are known again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array as _, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use connectors::{BatchStream, Error, ErrorKind, Result};
use futures::StreamExt;
use spec::model::{Dedupe, TableRef};
use spec::plan::{PlannedLoad, PlannedStep};

use super::incoming::{How, Incoming, all_seen, without_null};
use super::{column, list, no_more_writers, streams_of};
use crate::execute::executor::Attempt;
use crate::execute::load::request_of;
use crate::execute::rows::Rows;
use crate::lake::{ChangedRows, Staged, WriteMode};
use crate::query::quoted;

/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;

impl Attempt<'_> {
    /// Takes in rows of which some may be new: one a key, or all where times count, since which of them are added
    /// depends on what is there.
    pub(super) async fn maybe_new(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        table: &TableRef,
        dedupe: &Dedupe,
        rows: Rows,
    ) -> Result<Incoming> {
        let from = rows.schema();
        let request = request_of(load, table, WriteMode::Merge, &from);
        let lake = self.engine.lake().await?;
        let now = lake.table(&request.table).await?;
        let read_before = self.read_so_far(now.as_ref(), &load.watermarks_of);
        let stage = lake.stage(request.clone()).await?;
        let (schema, _) = stage.table_types(&from, &[])?;
        let keys = match near(dedupe, &schema)? {
            Some((by, reach)) => stage.keys_near(&dedupe.key, (by, reach), &schema)?,
            None => stage.keys(&dedupe.key, &schema)?,
        };
        let keys = Arc::new(Mutex::new(keys));
        let mut streams = Vec::new();
        for stream in rows.into_streams(self.engine.parallel()).await? {
            let types = stage.table_types(&from, &[])?.1;
            let (keys, dedupe) = (Arc::clone(&keys), dedupe.clone());
            let intake = move |batch: Result<RecordBatch>| {
                let rows = types.apply(&batch?)?;
                without_null(&rows, &dedupe.key)?;
                timed(&rows, &dedupe)?;
                let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
                keys.add(&rows)?;
                Ok(rows)
            };
            streams.push(stream.map(intake).boxed());
        }
        let mut rows = self.spool(&step.name, "incoming", &schema, streams).await?;
        if dedupe.within.is_none() {
            let key = list(dedupe.key.iter());
            let order = order(dedupe, &schema);
            rows = self
                .first_of_each(&step.name, &key, &order, (&schema, rows))
                .await?;
        }
        Ok(Incoming {
            step: step.name.clone(),
            request,
            how: How::New(dedupe.clone()),
            schema,
            rows,
            keys: Some(all_seen(keys)?),
            watermarks_of: load.watermarks_of.clone(),
            read_before,
        })
    }

    /// Adds those of the rows that the table does not have now.
    pub(super) async fn add_new(
        &self,
        incoming: &Incoming,
        dedupe: &Dedupe,
    ) -> Result<(Staged, ChangedRows)> {
        let lake = self.engine.lake().await?;
        let stage = Arc::new(lake.stage(incoming.request.clone()).await?);
        let keys = incoming.keys.as_ref();
        let candidates = stage.candidates(&dedupe.key, keys.map(Arc::as_ref)).await?;
        let (some, all) = candidates.count();
        tracing::debug!(step = %incoming.step, files = some, of = all, "files that may hold a key");
        let session = self.engine.session()?;
        session.register_step("incoming", Arc::new(incoming.rows.clone()))?;
        session.register_step("candidates", candidates.provider())?;
        let near = near(dedupe, &incoming.schema)?;
        let sql = new_sql(dedupe, near, &incoming.schema);
        let mut streams = streams_of(&session, &sql).await?;
        if let Some((by, reach)) = near {
            streams = streams
                .into_iter()
                .map(|sorted| apart(sorted, &dedupe.key, by, reach))
                .collect();
        }
        let (written, inserted) = self.write_all(&stage, &incoming.step, streams).await?;
        let changed = ChangedRows {
            inserted,
            ..ChangedRows::default()
        };
        let alone = no_more_writers(stage)?;
        let staged = alone.merged(written, Vec::new(), changed, incoming.keys.clone());
        Ok((staged, changed))
    }
}

/// The column with the times that count, and how far apart they may lie, in its own unit; `None` where they do not.
fn near<'a>(dedupe: &'a Dedupe, rows: &SchemaRef) -> Result<Option<(&'a str, i64)>> {
    let (Some(by), Some(within)) = (&dedupe.by, dedupe.within) else {
        return Ok(None);
    };
    Ok(Some((
        by,
        reach(within, rows.field_with_name(by)?.data_type()),
    )))
}

fn reach(within: Duration, r#type: &DataType) -> i64 {
    let units = if *r#type == DataType::Date32 {
        u128::from(within.as_secs() / DAY_SECONDS)
    } else {
        within.as_micros()
    };
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// A row without a time cannot be told from others of its key.
fn timed(rows: &RecordBatch, dedupe: &Dedupe) -> Result<()> {
    let by = dedupe.by.as_ref().filter(|_| dedupe.within.is_some());
    match by {
        Some(by) if column(rows, by)?.null_count() > 0 => Err(Error::new(
            ErrorKind::InvalidData,
            format!("a row has no value in `{by}`: nobody knows whether it came before"),
        )
        .help("leave such rows out, or set them aside with a check: `expect: \"… IS NOT NULL\"`")),
        _ => Ok(()),
    }
}

/// The query of the rows that the table does not have; where times count, those of a key together and in order.
fn new_sql(dedupe: &Dedupe, near: Option<(&str, i64)>, incoming: &SchemaRef) -> String {
    let all = incoming.fields().iter().map(|field| {
        let name = quoted(field.name());
        format!("i.{name} AS {name}")
    });
    let mut on: Vec<String> = dedupe
        .key
        .iter()
        .map(|name| {
            let name = quoted(name);
            format!("i.{name} = c.{name}")
        })
        .collect();
    let mut sorted = String::new();
    if let Some((by, reach)) = near {
        let time = |of: &str| format!("arrow_cast({of}.{}, 'Int64')", quoted(by));
        on.push(format!(
            "({} - {}) BETWEEN -{reach} AND {reach}",
            time("i"),
            time("c")
        ));
        let key = list(dedupe.key.iter());
        sorted = format!(" ORDER BY {key}, {}", order(dedupe, incoming));
    }
    format!(
        "SELECT {} FROM incoming i LEFT ANTI JOIN candidates c ON {}{sorted}",
        all.collect::<Vec<_>>().join(", "),
        on.join(" AND "),
    )
}

/// The order in which rows of one key count: by time, then by all values that have an order, so that it does not depend
/// on how they arrived.
fn order(dedupe: &Dedupe, rows: &SchemaRef) -> String {
    let others = rows.fields().iter().filter(|field| {
        !field.data_type().is_nested()
            && dedupe.by.as_ref() != Some(field.name())
            && !dedupe.key.contains(field.name())
    });
    let others = others.map(|field| field.name());
    let mut names: Vec<&String> = dedupe.by.iter().chain(others).collect();
    if names.is_empty() {
        names.extend(&dedupe.key);
    }
    let names = names
        .into_iter()
        .map(|name| format!("{} ASC NULLS LAST", quoted(name)));
    names.collect::<Vec<_>>().join(", ")
}

/// Of rows that come by key and time, those that lie further than `reach` behind the last of their key that was kept.
fn apart(sorted: BatchStream, key: &[String], by: &str, reach: i64) -> BatchStream {
    let (key, by) = (key.to_vec(), by.to_owned());
    let mut kept = None;
    let leave_out = move |batch: Result<RecordBatch>| {
        let batch = batch?;
        if kept.is_none() {
            kept = Some(Kept::none(&key, &batch)?);
        }
        match &mut kept {
            Some(kept) => kept.apart(&batch, &by, reach),
            None => Ok(batch),
        }
    };
    sorted.map(leave_out).boxed()
}

/// The last row that was kept.
struct Kept {
    key: Vec<usize>,
    converter: RowConverter,
    last: Option<(OwnedRow, i64)>,
}

impl Kept {
    fn none(key: &[String], rows: &RecordBatch) -> Result<Self> {
        let schema = rows.schema();
        let fields = key.iter().map(|name| {
            Ok(SortField::new(
                schema.field_with_name(name)?.data_type().clone(),
            ))
        });
        let key = key.iter().map(|name| Ok(schema.index_of(name)?));
        Ok(Self {
            converter: RowConverter::new(fields.collect::<Result<_>>()?)?,
            key: key.collect::<Result<_>>()?,
            last: None,
        })
    }

    fn apart(&mut self, rows: &RecordBatch, by: &str, reach: i64) -> Result<RecordBatch> {
        let times = cast(column(rows, by)?, &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>();
        let key: Vec<_> = self
            .key
            .iter()
            .map(|index| Arc::clone(rows.column(*index)))
            .collect();
        let keys = self.converter.convert_columns(&key)?;
        let mut keep = Vec::with_capacity(rows.num_rows());
        for (key, time) in keys.iter().zip(times.values()) {
            let same = |(last, kept): &(OwnedRow, i64)| {
                last.row() == key && time.saturating_sub(*kept) <= reach
            };
            let is_new = !self.last.as_ref().is_some_and(same);
            if is_new {
                self.last = Some((key.owned(), *time));
            }
            keep.push(is_new);
        }
        Ok(filter_record_batch(rows, &BooleanArray::from(keep))?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn rows_further_apart_than_they_may_be_are_all_kept() {
        let batch = |rows: &[(i64, i64)]| {
            let keys: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
            let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.1)).collect();
            let columns: [(&str, ArrayRef); 2] = [("k", Arc::new(keys)), ("t", Arc::new(times))];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let first = batch(&[(1, i64::MIN), (1, 0), (1, 20), (1, 31)]);
        let second = batch(&[(1, 61), (1, 62), (2, 62), (2, 62), (3, i64::MAX)]);
        let mut kept = Kept::none(&["k".to_owned()], &first).unwrap();
        let mut times = Vec::new();
        for rows in [first, second] {
            let rows = kept.apart(&rows, "t", 30).unwrap();
            let column = cast(rows.column(1), &DataType::Int64).unwrap();
            times.extend_from_slice(column.as_primitive::<Int64Type>().values());
        }
        assert_eq!(times, [i64::MIN, 0, 31, 62, 62, i64::MAX]);
    }

    #[test]
    fn days_are_counted_whole() {
        let hours = Duration::from_hours;
        assert_eq!(reach(hours(47), &DataType::Date32), 1);
        let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
        assert_eq!(reach(hours(1), &micros), 3_600_000_000);
    }
}
