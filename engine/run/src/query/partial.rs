//! The first half of an aggregate, kept small.
//!
//! An aggregate has two halves: each thread groups the rows it gets, and hands its groups to the thread that has all rows
//! of a group. DataFusion lets the first half grow as long as there is memory, and then holds most groups twice. One that
//! hands on what it has when it is full has nearly the same effect, since rows of a group mostly come near each other, in
//! memory that the processor keeps close. Knows plans and memory; knows nothing of steps and tables.

use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, Statistics, internal_err, resources_datafusion_err};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties,
};

use super::join::{once, with_memory};

/// What the groups of a first half may have in one thread, in bytes. Where rows of a group are spread evenly and not all
/// groups have room, rows are handed on nearly one by one: with half of this, 200 000 such groups took half as much
/// processor time again.
const PARTIAL_BYTES: usize = 16 << 20;

/// The rule: first halves of aggregates become such that stay small.
#[derive(Debug)]
pub(super) struct SmallPartials;

impl PhysicalOptimizerRule for SmallPartials {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else {
                return Ok(Transformed::no(plan));
            };
            let small = *aggregate.mode() == AggregateMode::Partial
                && *aggregate.input_order_mode() == InputOrderMode::Linear
                && !aggregate.group_expr().is_empty()
                && aggregate.limit_options().is_none();
            if !small {
                return Ok(Transformed::no(plan));
            }
            Ok(Transformed::yes(Arc::new(SmallPartialExec {
                aggregate: Arc::new(aggregate.clone()),
            })))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "small_partials"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The first half of an aggregate, which hands on its groups when it is full.
#[derive(Debug)]
struct SmallPartialExec {
    aggregate: Arc<AggregateExec>,
}

impl DisplayAs for SmallPartialExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmallPartialExec: ")?;
        self.aggregate.fmt_as(format, f)
    }
}

impl ExecutionPlan for SmallPartialExec {
    fn name(&self) -> &'static str {
        "SmallPartialExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.aggregate.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregate = Arc::clone(&self.aggregate).with_new_children(children)?;
        let Some(aggregate) = aggregate.downcast_ref::<AggregateExec>() else {
            return internal_err!("an aggregate has become something else");
        };
        Ok(Arc::new(Self {
            aggregate: Arc::new(aggregate.clone()),
        }))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.aggregate.partition_statistics(partition)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        // Only the aggregate itself is bounded: what it reads has the memory that all share.
        let input = self
            .aggregate
            .input()
            .execute(partition, Arc::clone(&context))?;
        let alone = Arc::clone(&self.aggregate).with_new_children(vec![once(input)?])?;
        let memory = AtMost {
            all: Arc::clone(context.memory_pool()),
        };
        alone.execute(0, with_memory(&context, Arc::new(memory))?)
    }
}

/// The memory that all share, of which no consumer gets more than a first half may have.
#[derive(Debug)]
struct AtMost {
    all: Arc<dyn MemoryPool>,
}

impl fmt::Display for AtMost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} of {}", PARTIAL_BYTES, self.all)
    }
}

impl MemoryPool for AtMost {
    fn name(&self) -> &'static str {
        "at_most"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if reservation.size() + additional > PARTIAL_BYTES {
            return Err(resources_datafusion_err!(
                "the first half of an aggregate is full"
            ));
        }
        self.all.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.all.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.all.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use datafusion::execution::SessionStateBuilder;
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// More groups than a first half has room for, each with rows that are near each other and others far away.
    const SQL: &str = "SELECT count(*), sum(n), sum(total), max(most) FROM (
        SELECT value / 3 % 400000 AS part, count(*) AS n, sum(value) AS total, max(value) AS most
        FROM generate_series(0, 2399999) GROUP BY 1)";

    #[tokio::test]
    async fn groups_that_were_handed_on_early_are_put_together() {
        let config = SessionConfig::new().with_target_partitions(2);
        let mut rules = PhysicalOptimizer::new().rules;
        rules.push(Arc::new(SmallPartials));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_default_features()
            .with_physical_optimizer_rules(rules)
            .build();
        let small = SessionContext::new_with_state(state);
        let frame = small.sql(SQL).await.unwrap();
        let plan = frame.clone().create_physical_plan().await.unwrap();
        let plan = displayable(plan.as_ref()).indent(false);
        assert!(plan.to_string().contains("SmallPartialExec"), "{plan}");
        let rows = frame.collect().await.unwrap();
        let sums = (0..4).map(|column| rows[0].column(column).as_primitive::<Int64Type>().value(0));
        assert_eq!(
            sums.collect::<Vec<_>>(),
            [400_000, 2_400_000, 2_879_998_800_000, 2_399_999]
        );
    }

    #[test]
    fn no_first_half_gets_more() {
        let all = Arc::new(UnboundedMemoryPool::default());
        let pool: Arc<dyn MemoryPool> = Arc::new(AtMost { all });
        let [one, other] = ["one", "other"].map(|name| MemoryConsumer::new(name).register(&pool));
        one.try_grow(PARTIAL_BYTES).unwrap();
        assert!(one.try_grow(1).is_err());
        other.try_grow(PARTIAL_BYTES).unwrap();
        one.shrink(1);
        one.try_grow(1).unwrap();
    }
}
