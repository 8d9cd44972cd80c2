//! The rows that come, on their way to the disk: in the table's types, one a key, each with whether it deletes.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array as _, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use connectors::{Error, ErrorKind, Result};
use futures::StreamExt;
use spec::model::{Dedupe, Deletes, Merge, StepName, TableRef};
use spec::plan::{PlannedLoad, PlannedStep};

use super::part::Part;
use super::{column, list, states, streams_of};
use crate::execute::executor::Attempt;
use crate::execute::load::request_of;
use crate::execute::rows::Rows;
use crate::lake::{DELETES, Keys, SeenKeys, StageRequest, TableTypes, WriteMode};
use crate::query::{RowCondition, Session, Spool, quoted};

/// The column that tells how many rows have one key.
const COUNT: &str = "__lakewright_count";

/// The column that tells the latest of several rows, where the table has it not.
const ORDER: &str = "__lakewright_order";

/// How rows meet those that are there.
pub(super) enum How {
    /// By key: they insert, update, delete.
    Merge(Merge),
    /// They are added where the table does not have them.
    New(Dedupe),
    /// They take the place of a part.
    Part(Part),
}

/// Rows that come, one a key, kept on disk.
pub(in crate::execute) struct Incoming {
    pub(in crate::execute) step: StepName,
    pub(super) request: StageRequest,
    pub(super) how: How,
    /// The table's columns that the rows have, in its types; for a merge, [`DELETES`] as well.
    pub(super) schema: SchemaRef,
    pub(super) rows: Spool,
    /// Where their keys lie; `None` where they have none.
    pub(super) keys: Option<Arc<Keys>>,
    pub(super) watermarks_of: Vec<StepName>,
    /// How far the table told, when the rows began to come, that each of `watermarks_of` was read.
    pub(super) read_before: Vec<Option<String>>,
}

impl Incoming {
    /// The extracts that read only what is new.
    pub(super) fn watermarks_of(&self) -> &[StepName] {
        &self.watermarks_of
    }
}

/// What is done with each batch of rows that come.
struct Intake {
    types: TableTypes,
    flag: Option<Arc<RowCondition>>,
    schema: SchemaRef,
    key: Vec<String>,
    /// The column with the time of a change, where history is kept.
    time: Option<String>,
    /// The column that is kept as [`ORDER`].
    order: Option<usize>,
    keys: Arc<Mutex<SeenKeys>>,
}

impl Intake {
    fn take(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let deletes = match &self.flag {
            Some(flag) => flag.passes(batch)?,
            None => BooleanArray::from(vec![false; batch.num_rows()]),
        };
        let rows = self.types.apply(batch)?;
        without_null(&rows, &self.key)?;
        if let Some(time) = &self.time {
            states::without_null(&rows, time)?;
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.add(&rows)?;
        drop(keys);
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(deletes));
        columns.extend(self.order.map(|index| Arc::clone(batch.column(index))));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Attempt<'_> {
    /// Takes in the rows that come.
    pub(super) async fn incoming(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        table: &TableRef,
        merge: &Merge,
        rows: Rows,
    ) -> Result<Incoming> {
        let from = rows.schema();
        let without = merge.deletes.without();
        let request = StageRequest {
            schema: written(merge, &from)?,
            ..request_of(load, table, WriteMode::Merge, &from)
        };
        let lake = self.engine.lake().await?;
        let now = lake.table(&request.table).await?;
        let read_before = self.read_so_far(now.as_ref(), &load.watermarks_of);
        let stage = lake.stage(request.clone()).await?;
        let flag = match &merge.deletes {
            Deletes::Flagged { when, .. } => {
                Some(Arc::new(RowCondition::plan(&self.session, when, &from)?))
            }
            Deletes::Never | Deletes::ByAbsence => None,
        };
        let (columns, _) = stage.table_types(&from, without)?;
        let mut fields: Vec<Arc<Field>> = columns.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(DELETES, DataType::Boolean, false)));
        // What tells the latest of several rows may be no column of the table.
        let order = merge.latest_by.as_ref();
        let order = order.filter(|name| without.contains(name));
        let order = order.map(|name| from.index_of(name)).transpose()?;
        if let Some(index) = order {
            fields.push(Arc::new(from.field(index).clone().with_name(ORDER)));
        }
        let schema = Arc::new(Schema::new(fields));
        let keys = Arc::new(Mutex::new(stage.keys(&merge.key, &columns)?));
        let mut streams = Vec::new();
        for stream in rows.into_streams(self.engine.parallel()).await? {
            let intake = Intake {
                types: stage.table_types(&from, without)?.1,
                flag: flag.clone(),
                schema: Arc::clone(&schema),
                key: merge.key.clone(),
                time: states::time_of(merge).cloned(),
                order,
                keys: Arc::clone(&keys),
            };
            streams.push(stream.map(move |batch| intake.take(&batch?)).boxed());
        }
        let spool = self.spool(&step.name, "incoming", &schema, streams).await?;
        let rows = self.one_a_key(&step.name, merge, &schema, spool).await?;
        let schema = rows.schema();
        Ok(Incoming {
            step: step.name.clone(),
            request,
            how: How::Merge(merge.clone()),
            schema,
            rows,
            keys: Some(all_seen(keys)?),
            watermarks_of: load.watermarks_of.clone(),
            read_before,
        })
    }

    /// Of several rows with one key the latest; where nothing says which that is, several are an error.
    async fn one_a_key(
        &self,
        step: &StepName,
        merge: &Merge,
        schema: &SchemaRef,
        rows: Spool,
    ) -> Result<Spool> {
        let session = self.engine.session()?;
        session.register_step("incoming", Arc::new(rows.clone()))?;
        // Where history is kept, rows of one key and different times are all states of it.
        let key = list(merge.key.iter().chain(states::time_of(merge)));
        let Some(latest_by) = &merge.latest_by else {
            let sql = format!(
                "SELECT {key}, count(*) AS {COUNT} FROM incoming GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
            );
            return match first_row(&session, &sql).await? {
                Some(twice) => Err(doubled(&merge.key, &twice)?),
                None => Ok(rows),
            };
        };
        // Of rows that are as late as each other one that does not delete counts, then the one with the greatest values:
        // which it is must not depend on the order in which they arrive.
        let apart = schema.field_with_name(ORDER).is_ok();
        let latest_by = if apart { ORDER } else { latest_by };
        let others = schema.fields().iter().filter(|field| {
            !field.data_type().is_nested()
                && ![latest_by, DELETES].contains(&field.name().as_str())
                && !merge.key.contains(field.name())
        });
        let others = others.map(|field| format!("{} DESC NULLS LAST", quoted(field.name())));
        let first = [
            format!("{} DESC NULLS LAST", quoted(latest_by)),
            DELETES.to_owned(),
        ];
        let order: Vec<String> = first.into_iter().chain(others).collect();
        let kept = schema.fields().iter();
        let kept: Vec<Arc<Field>> = kept
            .filter(|field| field.name() != ORDER)
            .cloned()
            .collect();
        let schema = Arc::new(Schema::new(kept));
        self.first_of_each(step, &key, &order.join(", "), (&schema, rows))
            .await
    }

    /// Of the rows with one key the first in this order, with these columns.
    pub(super) async fn first_of_each(
        &self,
        step: &StepName,
        key: &str,
        order: &str,
        (schema, rows): (&SchemaRef, Spool),
    ) -> Result<Spool> {
        let session = self.engine.session()?;
        session.register_step("incoming", Arc::new(rows))?;
        let sql = format!(
            "SELECT {} FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS \"__lakewright_rank\" \
             FROM incoming) WHERE \"__lakewright_rank\" = 1",
            list(schema.fields().iter().map(|field| field.name())),
        );
        let streams = streams_of(&session, &sql).await?;
        self.spool(step, "first", schema, streams).await
    }
}

/// Where the keys lie of rows that have all come.
pub(super) fn all_seen(keys: Arc<Mutex<SeenKeys>>) -> Result<Arc<Keys>> {
    let keys = Arc::into_inner(keys)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a reader outlived its rows"))?;
    let keys = keys.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::new(keys.finish()))
}

/// The columns that a merge of rows with these writes.
pub(crate) fn written(merge: &Merge, rows: &SchemaRef) -> Result<SchemaRef> {
    let without = merge.deletes.without();
    let written = rows.fields().iter();
    let written = written.filter(|field| !without.contains(field.name()));
    let mut fields: Vec<Arc<Field>> = written.cloned().collect();
    if let Some(time) = states::time_of(merge) {
        fields.extend(states::columns(rows.field_with_name(time)?));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Rows without a key can never be found again.
pub(super) fn without_null(rows: &RecordBatch, key: &[String]) -> Result<()> {
    for name in key {
        if column(rows, name)?.null_count() > 0 {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("a row has no value in `{name}`, a column of the key"),
            )
            .help(
                "leave such rows out, or set them aside with a check: `expect: \"… IS NOT NULL\"`",
            ));
        }
    }
    Ok(())
}

/// The key that more than one row has.
fn doubled(key: &[String], found: &RecordBatch) -> Result<Error> {
    let value = |name: &String| -> Result<String> {
        let value = array_value_to_string(column(found, name)?, 0)?;
        Ok(format!("{name} = {value}"))
    };
    let values = key.iter().map(value).collect::<Result<Vec<_>>>()?;
    let rows = array_value_to_string(column(found, COUNT)?, 0)?;
    Ok(Error::new(
        ErrorKind::InvalidData,
        "several rows have one key, and nothing says which of them counts",
    )
    .with("key", values.join(", "))
    .with("rows", rows)
    .help("write `latest_by: COLUMN` beside `key`, or leave one row a key in a transform before"))
}

/// The first row of a query's answer.
async fn first_row(session: &Session, sql: &str) -> Result<Option<RecordBatch>> {
    for mut stream in streams_of(session, sql).await? {
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }
    Ok(None)
}
