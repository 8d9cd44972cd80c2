//! Conditions about rows of a table, as it will be with those that come: the part that is replaced, what an audit expects.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use connectors::Result;
use spec::model::{Load, Step};
use spec::{SqlOf, previous};

use super::{Survey, of_condition};
use crate::lake::LakeTable;
use crate::query::{RowCondition, condition};

impl Survey<'_> {
    /// A part of a table is told by a condition on its columns, as they will be with those of the rows.
    pub(super) async fn part(
        &mut self,
        step: &Step,
        condition: &str,
        rows: &SchemaRef,
        table: Option<&LakeTable>,
    ) -> Result<()> {
        let schema = self.knows_table(step, rows, table)?;
        let mut faults = self.condition(condition, &step.name).await?;
        if faults.is_empty() {
            faults = of_condition(RowCondition::plan(&self.session, condition, &schema))?;
            faults.extend(of_condition(condition::lasting(
                &self.session,
                condition,
                &schema,
            ))?);
        }
        let of = SqlOf::Part(self.pipeline.id.clone(), step.name.clone());
        self.note(&of, faults);
        Ok(())
    }

    /// What is expected of a table is planned, so that a run never writes rows that it cannot audit.
    pub(super) async fn audit(
        &mut self,
        step: &Step,
        load: &Load,
        rows: &SchemaRef,
        table: Option<&LakeTable>,
    ) -> Result<()> {
        let renamed = table.map(|table| table.renamed(rows, &load.renamed_from));
        let renamed = renamed.transpose()?;
        self.knows_table(step, rows, renamed.as_ref())?;
        for rule in &load.audit {
            let expect = previous::as_if_now(&rule.expect);
            let faults = self.condition(&expect, &step.name).await;
            let faults = faults.map_err(|error| error.with("rule", &rule.name))?;
            let (pipeline, step) = (self.pipeline.id.clone(), step.name.clone());
            let of = SqlOf::Rule(pipeline, step, rule.name.clone());
            self.note(&of, faults);
        }
        Ok(())
    }

    /// Makes a table known under the name of its load, with the columns that it has and those that come.
    fn knows_table(
        &self,
        step: &Step,
        rows: &SchemaRef,
        table: Option<&LakeTable>,
    ) -> Result<SchemaRef> {
        let there = table.map(LakeTable::arrow_schema);
        let there = there.iter().flat_map(|schema| schema.fields());
        let mut fields: Vec<FieldRef> = there.cloned().collect();
        for field in rows.fields() {
            if fields.iter().all(|there| there.name() != field.name()) {
                fields.push(Arc::clone(field));
            }
        }
        let schema = Arc::new(Schema::new(fields));
        self.register(&step.name, &schema)?;
        Ok(schema)
    }
}
