//! A hash join's other form: both sides sorted, which spills, and merged.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::build::once;

/// Whether the keys of a join can be merged.
pub(super) fn is_possible(join: &HashJoinExec) -> Result<bool> {
    let (left, right) = (join.left().schema(), join.right().schema());
    for (one, other) in join.on() {
        if key(one, &left)?.is_none() || key(other, &right)?.is_none() {
            return Ok(false);
        }
    }
    Ok(!join.on().is_empty())
}

/// The join of two streams by sorting both.
pub(super) fn plan(
    join: &HashJoinExec,
    left: SendableRecordBatchStream,
    right: SendableRecordBatchStream,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (left, right) = (once(relaxed(left))?, once(relaxed(right))?);
    let mut on = Vec::new();
    for (one, other) in join.on() {
        if let (Some(one), Some(other)) = (key(one, &left.schema())?, key(other, &right.schema())?)
        {
            on.push((one, other));
        }
    }
    let left = sorted(left, on.iter().map(|(key, _)| key));
    let right = sorted(right, on.iter().map(|(_, key)| key));
    let order = vec![SortOptions::default(); on.len()];
    let merged = Arc::new(SortMergeJoinExec::try_new(
        left,
        right,
        on,
        join.filter().cloned(),
        *join.join_type(),
        order,
        join.null_equality(),
    )?);
    let Some(columns) = &join.projection else {
        return Ok(merged);
    };
    let schema = merged.schema();
    let columns = columns.iter().map(|index| {
        let name = schema.field(*index).name();
        ProjectionExpr::new(Arc::new(Column::new(name, *index)), name.clone())
    });
    let columns: Vec<ProjectionExpr> = columns.collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, merged)?))
}

/// The rows in columns that may all be NULL. The merge makes up rows of NULLs for a filter to look at, also in columns
/// that are never NULL themselves.
fn relaxed(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let fields = rows.schema();
    let fields = fields.fields().iter();
    let nullable = fields.map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let declared = Arc::clone(&schema);
    let rows = rows.map(move |batch| in_schema(&declared, &batch?));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// The rows with another schema of the same types.
pub(super) fn in_schema(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let columns = rows.columns().to_vec();
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

fn sorted<'a>(
    rows: Arc<dyn ExecutionPlan>,
    keys: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
) -> Arc<dyn ExecutionPlan> {
    let keys = keys.map(|key| PhysicalSortExpr::new(Arc::clone(key), SortOptions::default()));
    match LexOrdering::new(keys) {
        Some(order) => Arc::new(SortExec::new(order, rows)),
        None => rows,
    }
}

/// A key as the merge can compare it; `None` where it cannot. It knows fewer types than the hash join, and stops at a
/// float that is no number.
fn key(key: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let cast = |to: DataType| -> Arc<dyn PhysicalExpr> {
        Arc::new(CastExpr::new(Arc::clone(key), to, None))
    };
    Ok(match key.data_type(schema)? {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_)
        | DataType::Decimal128(..)
        | DataType::Timestamp(_, None)
        | DataType::Date32
        | DataType::Date64 => Some(Arc::clone(key)),
        // The number behind it: both sides have the same unit, and equal instants are equal numbers.
        DataType::Timestamp(_, Some(_)) | DataType::Time64(_) | DataType::Duration(_) => {
            Some(cast(DataType::Int64))
        }
        DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond) => Some(cast(DataType::Int32)),
        _ => None,
    })
}
