//! Rows in the place of a part of a table: those for which a condition is true.
//!
//! Rows that come are held against the condition as the table will have them, before any is written. Files that cannot
//! hold a row of the part are not opened; those that hold others as well are written again without its rows.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array as _, RecordBatch};
use arrow::compute::not;
use arrow::util::display::array_value_to_string;
use connectors::{Error, ErrorKind, Result};
use futures::StreamExt;
use spec::model::TableRef;
use spec::plan::{Action, PlannedLoad, PlannedStep};
use tokio::task::JoinSet;

use super::incoming::{How, Incoming};
use super::{no_more_writers, streams_of};
use crate::execute::executor::Attempt;
use crate::execute::load::{died, request_of};
use crate::execute::rows::Rows;
use crate::lake::{
    Candidates, ChangedRows, FILE, GoneRows, POSITION, Staged, TableStage, Touched, WriteMode,
    WrittenFiles,
};
use crate::query::{RowCondition, condition};

/// A part of a table.
pub(super) struct Part {
    /// The condition that is true for its rows.
    condition: String,
    /// What the rows were computed from, where that is this table: they may replace nothing else.
    computed_from: Option<State>,
}

/// A table as it was: its snapshot, where it had one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(Option<i64>);

/// Rows that are not of the part.
struct Outside {
    count: u64,
    /// What one of them has in the columns of the condition.
    example: String,
}

impl Attempt<'_> {
    /// Takes in the rows of a part.
    pub(super) async fn of_part(
        &self,
        step: &PlannedStep,
        load: &PlannedLoad,
        table: &TableRef,
        condition: &str,
        rows: Rows,
    ) -> Result<Incoming> {
        let from = rows.schema();
        let request = request_of(load, table, WriteMode::Merge, &from);
        let stage = self.engine.lake().await?.stage(request.clone()).await?;
        let (schema, _) = stage.whole_rows(&from)?;
        let is_of_part = Arc::new(RowCondition::plan(&self.session, condition, &schema)?);
        let outside = Arc::new(Mutex::new(None));
        let mut streams = Vec::new();
        for stream in rows.into_streams(self.engine.parallel()).await? {
            let types = stage.whole_rows(&from)?.1;
            let (is_of_part, outside) = (Arc::clone(&is_of_part), Arc::clone(&outside));
            let intake = move |batch: Result<RecordBatch>| {
                let rows = types.apply(&batch?)?;
                if let Some(found) = Outside::among(&rows, &is_of_part)? {
                    let mut all = outside.lock().unwrap_or_else(PoisonError::into_inner);
                    *all = Some(found.and(all.take()));
                }
                Ok(rows)
            };
            streams.push(stream.map(intake).boxed());
        }
        let rows = self.spool(&step.name, "incoming", &schema, streams).await?;
        let outside = outside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outside) = outside.as_ref() {
            return Err(outside.refused(condition));
        }
        Ok(Incoming {
            step: step.name.clone(),
            request,
            how: How::Part(Part {
                condition: condition.to_owned(),
                computed_from: self.computed_from(table),
            }),
            schema,
            rows,
            keys: None,
            watermarks_of: Vec::new(),
            read_before: Vec::new(),
        })
    }

    /// A table as a transform of this plan reads it, where one does.
    fn computed_from(&self, table: &TableRef) -> Option<State> {
        self.plan.steps.iter().find_map(|step| match &step.action {
            Action::Transform(transform) => transform.tables.get(table).copied().map(State),
            Action::Extract(_) | Action::Check(_) | Action::Load(_) => None,
        })
    }

    /// Puts the rows in the place of the part as it is now.
    pub(super) async fn replace_part(
        &self,
        incoming: &Incoming,
        part: &Part,
    ) -> Result<(Staged, ChangedRows)> {
        let lake = self.engine.lake().await?;
        let stage = Arc::new(lake.stage(incoming.request.clone()).await?);
        let base = State(stage.base_snapshot());
        if part.computed_from.is_some_and(|computed| computed != base) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the table was changed since its rows were read to compute those that come",
            )
            .with("table", &incoming.request.table)
            .help("run the pipeline again: it reads the table as it is now")
            .retry(false));
        }
        let session = self.engine.session()?;
        let columns = stage.table_schema()?;
        let filter = condition::filter(&session, &part.condition, &columns)?;
        let candidates = stage.candidates_where(&filter).await?;
        let (some, all) = candidates.count();
        tracing::debug!(step = %incoming.step, files = some, of = all, "files that may hold rows of the part");
        session.register_step("candidates", candidates.provider())?;
        // On lines of its own it may end in a comment.
        let sql = format!(
            "SELECT {FILE}, {POSITION} FROM candidates WHERE (\n{}\n)",
            part.condition
        );
        let mut gone = GoneRows::default();
        for mut found in streams_of(&session, &sql).await? {
            while let Some(batch) = found.next().await {
                gone.add(&batch?)?;
            }
        }
        let deleted = gone.count();
        let (mut written, touched) = self.without(&stage, &candidates, gone).await?;
        let streams = incoming.rows.streams();
        let (files, inserted) = self.write_all(&stage, &incoming.step, streams).await?;
        written.extend(files);
        let changed = ChangedRows {
            inserted,
            deleted,
            ..ChangedRows::default()
        };
        let alone = no_more_writers(stage)?;
        let may_move = part.computed_from.is_none().then_some(filter);
        Ok((alone.replaced(written, touched, changed, may_move), changed))
    }

    /// Writes files again without these rows, some by each worker.
    async fn without(
        &self,
        stage: &Arc<TableStage>,
        candidates: &Candidates,
        gone: GoneRows,
    ) -> Result<(Vec<WrittenFiles>, Vec<Touched>)> {
        let mut workers = JoinSet::new();
        for some in gone.in_parts(self.engine.parallel()) {
            let (stage, candidates) = (Arc::clone(stage), candidates.clone());
            workers.spawn(async move { stage.without_rows(&candidates, some).await });
        }
        let (mut written, mut touched) = (Vec::new(), Vec::new());
        while let Some(done) = workers.join_next().await {
            let (files, some) = done.map_err(died)??;
            written.push(files);
            touched.push(some);
        }
        Ok((written, touched))
    }
}

impl Outside {
    /// Those among some rows; the condition is not true where it is NULL.
    fn among(rows: &RecordBatch, condition: &RowCondition) -> Result<Option<Self>> {
        let outside = not(&condition.passes(rows)?)?;
        let Some(first) = outside.values().set_indices().next() else {
            return Ok(None);
        };
        let values = condition.columns().into_iter().map(|index| {
            let value = rows.column(index);
            let name = rows.schema_ref().field(index).name().clone();
            Ok(if value.is_null(first) {
                format!("{name} is NULL")
            } else {
                format!("{name} = {}", array_value_to_string(value, first)?)
            })
        });
        Ok(Some(Self {
            count: outside.true_count() as u64,
            example: values.collect::<Result<Vec<_>>>()?.join(", "),
        }))
    }

    /// With those of other rows.
    fn and(self, others: Option<Self>) -> Self {
        Self {
            count: self.count + others.map_or(0, |others| others.count),
            ..self
        }
    }

    /// The error of a load with such rows.
    fn refused(&self, condition: &str) -> Error {
        let error = Error::new(
            ErrorKind::InvalidData,
            "rows came that are not of the part which they were to replace",
        )
        .with("part", condition.trim())
        .with("rows", self.count);
        let error = if self.example.is_empty() {
            error
        } else {
            error.with("one of them", &self.example)
        };
        error.help("leave them out in a transform before, or replace a part that they are in")
    }
}
