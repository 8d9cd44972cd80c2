//! Joins that do not fail when their build side is larger than the memory.
//!
//! DataFusion's hash join holds one side in memory and cannot spill. A rule puts [`SpillingJoinExec`] in its place,
//! which begins as a hash join and goes on as a sort-merge join where the side does not fit. Knows plans and memory;
//! knows nothing of steps and tables.

mod build;
mod exec;
mod merge;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

pub(super) use self::build::{once, with_memory};
use self::exec::SpillingJoinExec;

/// The part of the memory that a build side may have without being watched.
const UNWATCHED: usize = 32;

/// What a value of a type without a fixed width is taken to have, in bytes.
const LONG_VALUE_BYTES: usize = 128;

/// The rule: hash joins become such that spill.
#[derive(Debug)]
struct SpillingJoins {
    memory_bytes: usize,
}

/// DataFusion's rules with ours among them: after the one that chooses how joins are made, before those that bring
/// rows to where a join wants them.
pub(super) fn optimizer_rules(
    memory_bytes: usize,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let after = rules
        .iter()
        .position(|rule| rule.name() == "join_selection");
    let at = after.map_or(0, |chosen| chosen + 1);
    rules.insert(at, Arc::new(SpillingJoins { memory_bytes }));
    rules
}

impl PhysicalOptimizerRule for SpillingJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(join) = plan.downcast_ref::<HashJoinExec>() else {
                return Ok(Transformed::no(plan));
            };
            if self.stays(join)? {
                return Ok(Transformed::no(plan));
            }
            let join = join
                .builder()
                .with_partition_mode(PartitionMode::Partitioned)
                .build()?;
            Ok(Transformed::yes(Arc::new(SpillingJoinExec::new(join))))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "spilling_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl SpillingJoins {
    /// Whether a join is better off, or the only one that can do it, as it is.
    fn stays(&self, join: &HashJoinExec) -> Result<bool> {
        if join.null_aware || !merge::is_possible(join)? {
            return Ok(true);
        }
        let collected = *join.partition_mode() == PartitionMode::CollectLeft;
        let most = most_bytes(join.left());
        Ok(collected && most.is_some_and(|bytes| bytes <= self.memory_bytes / UNWATCHED))
    }
}

/// The most that the rows of a plan can take in memory, where the number of rows is bounded. An estimate is no bound.
fn most_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    let width: usize = plan
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().primitive_width())
        .map(|width| width.unwrap_or(LONG_VALUE_BYTES))
        .sum();
    most_rows(plan)?.checked_mul(width + build::ROW_BYTES)
}

fn most_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<usize> {
    match plan.children().as_slice() {
        // What tables say of their rows is what is in their files: an upper bound where some may not be wanted.
        [] => plan
            .partition_statistics(None)
            .ok()?
            .num_rows
            .get_value()
            .copied(),
        [only] => match plan.cardinality_effect() {
            CardinalityEffect::Equal | CardinalityEffect::LowerEqual => most_rows(only),
            CardinalityEffect::GreaterEqual | CardinalityEffect::Unknown => None,
        },
        _ => None,
    }
}
