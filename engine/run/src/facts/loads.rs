//! What a plan needs to know of a load: what is there where it writes, and whether its rows can go there.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, SchemaRef};
use connectors::{Error, ErrorKind, Result};
use spec::model::{Deletes, Load, LoadMode, Merge, Reaction, Step, Target};
use spec::plan::{Layout, TableFacts};
use spec::{SqlFault, SqlFaultKind, SqlOf};

use super::columns::{alike, require_free_names};
use super::{Survey, of_condition, table_facts};
use crate::execute::{reactions, written};
use crate::lake::{LakeTable, StageRequest, WriteMode};
use crate::open::table_id;
use crate::query::{RowCondition, columns_of};

impl Survey<'_> {
    pub(super) async fn load(&mut self, step: &Step, load: &Load) -> Result<()> {
        let rows = self.schemas.get(&load.from).cloned();
        let before = self.faults.len();
        let rows = match rows {
            Some(rows) => Some(self.rows(step, load, rows).await?),
            None => None,
        };
        if self.faults.len() > before {
            return Ok(());
        }
        let facts = match &load.target {
            Target::Lake(table) => {
                let found = self.engine.lake().await?.table(&table_id(table)).await?;
                if let (LoadMode::ReplaceWhere(condition), Some(rows)) = (&load.mode, &rows) {
                    self.part(step, condition, rows, found.as_ref()).await?;
                }
                if let Some(rows) = rows.as_ref().filter(|_| !load.audit.is_empty()) {
                    self.audit(step, load, rows, found.as_ref()).await?;
                }
                let facts = match &found {
                    Some(found) => self.lake_facts(step, load, found, rows.as_ref())?,
                    None => TableFacts::default(),
                };
                if self.faults.len() == before
                    && let Some(rows) = &rows
                {
                    self.alike(step, load, rows, found.as_ref())?;
                }
                facts
            }
            Target::Connection { connection, table } => {
                let connection = self.engine.connection(connection).await?;
                let sink = connection.sink().ok_or_else(|| {
                    Error::new(
                        ErrorKind::Unsupported,
                        "this connection cannot be written to",
                    )
                })?;
                let schema = sink.table(table).await?;
                let columns = schema.map(|schema| columns_of(&schema)).transpose()?;
                TableFacts {
                    columns,
                    ..TableFacts::default()
                }
            }
        };
        self.facts.targets.insert(step.name.clone(), facts);
        Ok(())
    }

    /// Looks whether the rows have what the load names, and gives them as they are written.
    async fn rows(&mut self, step: &Step, load: &Load, rows: SchemaRef) -> Result<SchemaRef> {
        let before = self.faults.len();
        match &load.mode {
            LoadMode::Merge(merge) => self.merge_columns(step, merge, &rows)?,
            LoadMode::AppendNew(dedupe) => self.dedupe_columns(step, dedupe, &rows)?,
            LoadMode::ReplaceWhere(_) => require_free_names(&rows)?,
            LoadMode::Append
            | LoadMode::Replace
            | LoadMode::ReplacePartitions
            | LoadMode::CreateOnly => {}
        }
        if self.faults.len() > before {
            return Ok(rows);
        }
        let rows = match &load.mode {
            LoadMode::Merge(merge) => {
                self.merge(step, load, merge, &rows).await?;
                written(merge, &rows)?
            }
            _ => rows,
        };
        if let Target::Lake(table) = &load.target {
            self.layout(step, load, &rows)
                .map_err(|error| error.with("table", table))?;
        }
        Ok(rows)
    }

    /// The condition of a merge goes with its rows.
    async fn merge(
        &mut self,
        step: &Step,
        load: &Load,
        merge: &Merge,
        rows: &SchemaRef,
    ) -> Result<()> {
        if let Deletes::Flagged { when, .. } = &merge.deletes {
            let from = self.rows_name(&load.from);
            let mut faults = self.condition(when, from).await?;
            if faults.is_empty() {
                faults = of_condition(RowCondition::plan(&self.session, when, rows))?;
            }
            let of = SqlOf::Deletes(self.pipeline.id.clone(), step.name.clone());
            self.note(&of, faults);
        }
        Ok(())
    }

    /// Refuses columns whose names differ only in case: most of those who read the table could not tell them apart.
    fn alike(
        &mut self,
        step: &Step,
        load: &Load,
        rows: &SchemaRef,
        table: Option<&LakeTable>,
    ) -> Result<()> {
        let mut fields: Vec<FieldRef> = rows.fields().iter().cloned().collect();
        let mut of = "the rows have";
        if alike(rows.fields()).is_none()
            && load.on_schema_change.drop != Reaction::Accept
            && let Some(table) = table
        {
            let there = table.renamed(rows, &load.renamed_from)?.arrow_schema();
            let more = there.fields().iter();
            let more = more.filter(|field| rows.field_with_name(field.name()).is_err());
            // What a table has of old is as it is.
            if alike(there.fields()).is_none() {
                fields.extend(more.cloned());
                of = "rows and table have";
            }
        }
        let Some((first, second)) = alike(&fields.into()) else {
            return Ok(());
        };
        let fault = SqlFault {
            about: Some(second.clone()),
            help: Some(format!(
                "give one of them another name in a transform before: `\"{first}\" AS …`"
            )),
            ..SqlFault::new(
                SqlFaultKind::DuplicateColumn,
                format!("{of} columns `{first}` and `{second}`, which differ only in case"),
            )
        };
        let of = SqlOf::Step(self.pipeline.id.clone(), step.name.clone());
        self.note(&of, vec![fault]);
        Ok(())
    }

    /// What a load finds in the lake. What it could not do to the table is told; what it may not do, the plan tells.
    fn lake_facts(
        &mut self,
        step: &Step,
        load: &Load,
        found: &LakeTable,
        rows: Option<&SchemaRef>,
    ) -> Result<TableFacts> {
        let mut facts = table_facts(found)?;
        let Some(rows) = rows else {
            return Ok(facts);
        };
        let before = self.faults.len();
        self.renames_of_table(step, load, found, rows)?;
        if self.faults.len() > before {
            return Ok(facts);
        }
        match &load.mode {
            LoadMode::Merge(merge) => {
                let renamed = found.renamed(rows, &load.renamed_from)?;
                self.key_of_table(step, &merge.key, &renamed)?;
            }
            LoadMode::AppendNew(dedupe) => {
                let renamed = found.renamed(rows, &load.renamed_from)?;
                self.key_of_table(step, &dedupe.key, &renamed)?;
                self.times_of_table(step, dedupe, &renamed)?;
            }
            _ => {}
        }
        if self.faults.len() > before {
            return Ok(facts);
        }
        let changes = found.relayout(&StageRequest {
            partition_by: load.partition_by.clone(),
            sort_by: load.sort_by.clone(),
            on_schema_change: reactions(load.on_schema_change),
            renamed_from: load.renamed_from.clone(),
            ..StageRequest::new(found.id().clone(), WriteMode::Append, Arc::clone(rows))
        })?;
        let to = |from, to: &Vec<String>| Layout {
            from,
            to: to.clone(),
        };
        facts.partitions = changes
            .partitions
            .then(|| to(found.partitioning(), &load.partition_by));
        facts.order = changes.order.then(|| to(found.sorting(), &load.sort_by));
        Ok(facts)
    }
}
