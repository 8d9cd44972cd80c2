//! The build side of a join: kept while it fits, handed on where it does not.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool,
};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::StreamingTableExec;
use futures::{StreamExt, TryStreamExt};

use crate::query::stream_table::Once;

/// What a hash table takes for a row, in bytes: DataFusion's own estimate (12 bytes, doubled where a table is just
/// over a power of two, and 4 for the chain), rounded up.
pub(super) const ROW_BYTES: usize = 32;

/// One partition of a build side.
pub(super) enum Build {
    /// All of it, in memory that is reserved for a hash join.
    Fits(Kept),
    /// What was kept until there was no more memory, and the rest: one stream, to be read once.
    TooLarge(SendableRecordBatchStream),
}

/// A build side in memory.
pub(super) struct Kept {
    rows: SendableRecordBatchStream,
    reservation: MemoryReservation,
}

/// Reads one partition of a build side as long as there is memory for it.
pub(super) async fn read_build(
    partition: usize,
    mut rows: SendableRecordBatchStream,
    context: &TaskContext,
) -> Result<Build> {
    let schema = rows.schema();
    let reservation = MemoryConsumer::new(format!("JoinBuild[{partition}]"))
        .with_can_spill(true)
        .register(context.memory_pool());
    let mut kept = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let fits = reservation.try_grow(cost(&batch)).is_ok();
        if fits {
            kept.push(batch);
            continue;
        }
        // The memory goes with the batches, to whoever takes them over.
        let released = futures::stream::iter(kept).map(move |batch| {
            reservation.shrink(cost(&batch));
            Ok(batch)
        });
        let last = futures::stream::iter([Ok(batch)]);
        let all = released.chain(last).chain(rows);
        return Ok(Build::TooLarge(Box::pin(RecordBatchStreamAdapter::new(
            schema, all,
        ))));
    }
    let rows = futures::stream::iter(kept.into_iter().map(Ok));
    Ok(Build::Fits(Kept {
        rows: Box::pin(RecordBatchStreamAdapter::new(schema, rows)),
        reservation,
    }))
}

/// What a batch takes in a hash join: the rows, which it copies into one batch, and their places in the hash table.
fn cost(batch: &RecordBatch) -> usize {
    2 * get_record_batch_memory_size(batch) + ROW_BYTES * batch.num_rows()
}

impl Kept {
    /// The rows of a hash join with `probe`.
    pub(super) fn hash_join(
        self,
        join: &HashJoinExec,
        probe: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Self { rows, reservation } = self;
        let join = join
            .builder()
            .with_partition_mode(PartitionMode::Partitioned)
            .with_new_children(vec![once(rows)?, once(probe)?])?
            .build()?;
        let schema = join.schema();
        // Its memory is reserved already, and in one piece: asking again while others ask too could fail halfway.
        let unbounded = Arc::new(UnboundedMemoryPool::default());
        let joined = join.execute(0, with_memory(context, unbounded)?)?;
        let joined = joined.inspect_ok(move |_| {
            let _held = &reservation;
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, joined)))
    }
}

/// The same context with another memory.
pub(in crate::query) fn with_memory(
    context: &Arc<TaskContext>,
    memory: Arc<dyn MemoryPool>,
) -> Result<Arc<TaskContext>> {
    let runtime = RuntimeEnvBuilder::from_runtime_env(&context.runtime_env())
        .with_memory_pool(memory)
        .build_arc()?;
    Ok(Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        context.session_config().clone(),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        runtime,
    )))
}

/// A stream as the plan of one partition.
pub(in crate::query) fn once(rows: SendableRecordBatchStream) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = rows.schema();
    Ok(Arc::new(StreamingTableExec::try_new(
        schema,
        vec![Once::partition(rows)],
        None,
        None,
        false,
        None,
    )?))
}
