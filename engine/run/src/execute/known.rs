//! Rows that are read again at the edge of a window, and are in the table already: they are known by their key.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use connectors::{Error, ErrorKind, Literal, Result, Watermark};
use futures::{StreamExt, TryStreamExt};
use spec::model::{Renames, StepName, TableRef};
use spec::plan::{Action, PlannedWindow};

use super::executor::Attempt;
use super::rows::Rows;
use crate::open::table_id;
use crate::query::{from_datafusion, quoted, stream_table};
use crate::watermark;

impl Attempt<'_> {
    /// Leaves out the rows of `step` that `table` has, some columns maybe still under their old names: where their window
    /// begins with rows that were read before.
    pub(super) async fn only_new(
        &self,
        step: &StepName,
        table: &TableRef,
        rows: Rows,
        renamed_from: &Renames,
    ) -> Result<Rows> {
        let Some(window) = self.window_above(step) else {
            return Ok(rows);
        };
        let (Some(key), Some(column), Some(_)) = (window.edge.key(), &window.column, &window.after)
        else {
            return Ok(rows);
        };
        let Some(found) = self.engine.lake().await?.table(&table_id(table)).await? else {
            return Ok(rows);
        };
        let found = found.renamed(&rows.schema(), renamed_from)?;
        let there = found.arrow_schema();
        require_key(key, &rows.schema(), &there)?;
        let session = self.engine.session()?;
        let schema = rows.schema();
        let streams = rows.into_streams(self.engine.parallel()).await?;
        session.register_step("__incoming", stream_table(&schema, streams)?)?;
        session.register_step("__there", found.provider())?;
        let columns: Vec<String> = key.iter().map(|key| quoted(key)).collect();
        let same: Vec<String> = columns
            .iter()
            .map(|key| format!("(t.{key} IS NOT DISTINCT FROM i.{key})"))
            .collect();
        let sql = format!(
            "SELECT i.* FROM (SELECT {} FROM \"__there\" WHERE {}) t RIGHT ANTI JOIN \"__incoming\" i ON {}",
            columns.join(", "),
            edge_condition(column, window, &there)?,
            same.join(" AND "),
        );
        let frame = session.query(&sql).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let streams = frame.execute_stream_partitioned().await;
        let streams = streams.map_err(from_datafusion)?.into_iter();
        let streams = streams.map(|stream| stream.map_err(from_datafusion).boxed());
        Ok(Rows::Streams {
            schema,
            streams: streams.collect(),
        })
    }

    /// The window of the incremental extract that a step's rows come from. There is one at most: specs with more are
    /// refused (`two-increments`).
    pub(super) fn window_above(&self, step: &StepName) -> Option<&PlannedWindow> {
        let step = self.plan.step(step)?;
        match &step.action {
            Action::Extract(extract) => extract.window.as_ref(),
            Action::Transform(_) | Action::Check(_) | Action::Load(_) => step
                .inputs
                .iter()
                .find_map(|input| self.window_above(input)),
        }
    }
}

/// The condition on the table's rows that can be met again: those from the window's start on, and those that have no
/// place in its order.
fn edge_condition(column: &str, window: &PlannedWindow, table: &SchemaRef) -> Result<String> {
    let start = window
        .after
        .as_ref()
        .map(watermark::from_json)
        .transpose()?;
    let r#type = table.field_with_name(column)?.data_type().clone();
    Ok(match start {
        Some(Watermark::Value(value)) => match literal(&value, &r#type) {
            Some(value) => {
                let column = quoted(column);
                format!("({column} >= {value}) OR ({column} IS NULL)")
            }
            None => "true".to_owned(),
        },
        Some(Watermark::Files(_)) | None => "true".to_owned(),
    })
}

/// A value as SQL of the type that the table's column has. Text has none: its source may order it in another way.
fn literal(value: &Literal, r#type: &DataType) -> Option<String> {
    match value {
        Literal::Text(_) | Literal::Float(_) | Literal::Bool(_) => None,
        Literal::Uuid(uuid) => Some(format!(
            "arrow_cast(X'{}', '{type}')",
            uuid.replace('-', "")
        )),
        _ => Some(format!("arrow_cast('{value}', '{type}')")),
    }
}

fn require_key(key: &[String], rows: &SchemaRef, table: &SchemaRef) -> Result<()> {
    for column in key {
        if rows.field_with_name(column).is_err() || table.field_with_name(column).is_err() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("rows that are read again cannot be known again: there is no column `{column}`"),
            )
            .help("load the watermark and the columns of `key` too, or say `unique: true` where it is"));
        }
    }
    Ok(())
}
