//! What a rollback means for the pipelines that load the table: from where they read next, and who is ahead of it.

use connectors::{Result, Watermark};
use spec::model::{ExtractMode, Pipeline, PipelineId, Step, StepKind, StepName, Target};

use super::Engine;
use crate::lake::{LakeTable, TableId};
use crate::last_read::kept_until;
use crate::open::table_id;

/// From where an extract reads next.
#[derive(Clone, Debug)]
pub struct NextRead {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The extract.
    pub extract: StepName,
    /// How far it has read by the snapshot rolled back to; nothing yet when `None`.
    pub from: Option<Watermark>,
    /// How far it has read by the snapshot left.
    pub was: Option<Watermark>,
}

/// Another table of the same pipeline that holds rows of runs which the rollback forgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// A table of the lake: the pipeline is refused until it agrees. The snapshot it can go back to, where there is one.
    Table {
        /// The pipeline.
        pipeline: PipelineId,
        /// The table.
        table: TableId,
        /// The newest snapshot at which it had read as far.
        back_to: Option<i64>,
    },
    /// A table of another system, which cannot go back by itself.
    Connection {
        /// The pipeline.
        pipeline: PipelineId,
        /// The connection and the table.
        target: String,
    },
    /// A table of rows that were set aside: those of the runs that are forgotten will be set aside again.
    Quarantine {
        /// The pipeline.
        pipeline: PipelineId,
        /// The table.
        table: TableId,
    },
}

/// A pipeline whose table goes back.
pub(super) struct Effect<'a> {
    pub(super) engine: &'a Engine,
    pub(super) pipeline: &'a Pipeline,
    pub(super) table: &'a LakeTable,
    pub(super) to: i64,
}

impl Effect<'_> {
    /// From where each incremental extract whose rows reach the table by this load reads next.
    pub(super) fn next_reads(&self, load: &StepName) -> Result<Vec<NextRead>> {
        let mut reads = Vec::new();
        for extract in self.incremental(load) {
            let (then, now) = self.watermarks(&extract);
            let read = |text: Option<String>| text.map(|text| kept_until(&text, self.table.id()));
            reads.push(NextRead {
                pipeline: self.pipeline.id.clone(),
                extract,
                from: read(then).transpose()?,
                was: read(now).transpose()?,
            });
        }
        Ok(reads)
    }

    /// Who else holds what these extracts have read since.
    pub(super) async fn ahead(&self, load: &StepName) -> Result<Vec<Ahead>> {
        let mut ahead = Vec::new();
        for extract in self.incremental(load) {
            let (then, now) = self.watermarks(&extract);
            if then == now {
                continue;
            }
            for step in &self.pipeline.steps {
                let other = self.holder(step, &extract, then.as_deref()).await?;
                ahead.extend(other.filter(|other| !ahead.contains(other)));
            }
        }
        Ok(ahead)
    }

    async fn holder(
        &self,
        step: &Step,
        extract: &StepName,
        then: Option<&str>,
    ) -> Result<Option<Ahead>> {
        let pipeline = self.pipeline.id.clone();
        let graph = self.engine.graph();
        if !graph
            .extracts_of(self.pipeline, &step.name)
            .contains(extract)
        {
            return Ok(None);
        }
        let target = match &step.kind {
            StepKind::Load(load) => &load.target,
            StepKind::Check(check) => {
                let table = check.quarantine.as_ref().map(table_id);
                return Ok(table.map(|table| Ahead::Quarantine { pipeline, table }));
            }
            _ => return Ok(None),
        };
        let id = match target {
            Target::Lake(table) if table_id(table) == *self.table.id() => return Ok(None),
            Target::Lake(table) => table_id(table),
            Target::Connection { connection, table } => {
                let target = format!("{table} in {connection}");
                return Ok(Some(Ahead::Connection { pipeline, target }));
            }
        };
        let Some(other) = self.engine.lake().await?.table(&id).await? else {
            return Ok(None);
        };
        let (name, extract) = (pipeline.to_string(), extract.as_str());
        if other.watermark(&name, extract).as_deref() == then {
            return Ok(None);
        }
        let mut snapshots = other.snapshots().into_iter();
        let same = snapshots.find(|found| {
            found.in_lineage && other.watermark_at(found.id, &name, extract).as_deref() == then
        });
        Ok(Some(Ahead::Table {
            pipeline,
            table: id,
            back_to: same.map(|found| found.id),
        }))
    }

    /// What the table says of an extract at the snapshot rolled back to, and now.
    fn watermarks(&self, extract: &StepName) -> (Option<String>, Option<String>) {
        let (pipeline, extract) = (self.pipeline.id.to_string(), extract.as_str());
        (
            self.table.watermark_at(self.to, &pipeline, extract),
            self.table.watermark(&pipeline, extract),
        )
    }

    fn incremental(&self, load: &StepName) -> Vec<StepName> {
        let mut extracts = self.engine.graph().extracts_of(self.pipeline, load);
        extracts.retain(|name| {
            let step = self.pipeline.steps.iter().find(|step| step.name == *name);
            step.is_some_and(|step| {
                matches!(&step.kind, StepKind::Extract(extract) if extract.mode != ExtractMode::Full)
            })
        });
        extracts
    }
}
