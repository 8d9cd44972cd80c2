//! The physical plan of a join that can spill.

use std::fmt;
use std::sync::Arc;

use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

use super::build::{Build, read_build};
use super::merge;

/// A join, partition by partition: a hash join where the build side fits, a sort-merge join where it does not.
#[derive(Debug)]
pub(super) struct SpillingJoinExec {
    /// What is joined with what. Its own `execute` is never called.
    join: Arc<HashJoinExec>,
    properties: Arc<PlanProperties>,
}

impl SpillingJoinExec {
    /// The same as a join of both sides' partitions.
    pub(super) fn new(join: HashJoinExec) -> Self {
        let of_join = join.properties();
        let mut equivalences = of_join.equivalence_properties().clone();
        // A hash join keeps the order of its probe side; a merge has an order of its own.
        equivalences.clear_orderings();
        let properties = PlanProperties::new(
            equivalences,
            of_join.output_partitioning().clone(),
            EmissionType::Final,
            of_join.boundedness,
        );
        Self {
            join: Arc::new(join),
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for SpillingJoinExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpillingJoinExec: ")?;
        self.join.fmt_as(format, f)
    }
}

impl ExecutionPlan for SpillingJoinExec {
    fn name(&self) -> &'static str {
        "SpillingJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.join.required_input_distribution()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.join.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let join = self.join.builder().with_new_children(children)?.build()?;
        Ok(Arc::new(Self::new(join)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.join.partition_statistics(partition)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let build = self.join.left().execute(partition, Arc::clone(&context))?;
        let probe = self.join.right().execute(partition, Arc::clone(&context))?;
        let join = Arc::clone(&self.join);
        let schema = self.schema();
        let joined = async move {
            match read_build(partition, build, &context).await? {
                Build::Fits(build) => build.hash_join(&join, probe, &context),
                Build::TooLarge(build) => {
                    tracing::debug!(
                        partition,
                        "a join's build side is too large: both are sorted"
                    );
                    let merged = merge::plan(&join, build, probe)?.execute(0, context)?;
                    let declared = Arc::clone(&schema);
                    let rows = merged.map(move |batch| merge::in_schema(&declared, &batch?));
                    let rows = RecordBatchStreamAdapter::new(schema, rows);
                    Ok(Box::pin(rows) as SendableRecordBatchStream)
                }
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            futures::stream::once(joined).try_flatten(),
        )))
    }
}
