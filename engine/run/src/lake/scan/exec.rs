//! The physical plan of a scan: each partition reads its files one after the other.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::scan::FileScanTask;
use iceberg::table::Table;

use super::external;

/// Reads planned files.
#[derive(Debug)]
pub(super) struct LakeExec {
    table: Table,
    groups: Vec<Vec<FileScanTask>>,
    properties: Arc<PlanProperties>,
    statistics: Arc<Statistics>,
}

impl LakeExec {
    /// A plan with one partition a group.
    pub(super) fn new(
        table: Table,
        groups: Vec<Vec<FileScanTask>>,
        schema: SchemaRef,
        statistics: Statistics,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            table,
            groups,
            properties: Arc::new(properties),
            statistics: Arc::new(statistics),
        }
    }
}

impl DisplayAs for LakeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.groups.iter().map(Vec::len).sum();
        write!(
            f,
            "LakeExec: table={}, files={files}",
            self.table.identifier()
        )?;
        if let Precision::Exact(rows) | Precision::Inexact(rows) = self.statistics.num_rows {
            write!(f, ", rows={rows}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for LakeExec {
    fn name(&self) -> &'static str {
        "LakeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        Ok(match partition {
            None => Arc::clone(&self.statistics),
            Some(_) => Arc::new(Statistics::new_unknown(&self.schema())),
        })
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let tasks = self
            .groups
            .get(partition)
            .ok_or_else(|| internal_datafusion_err!("the scan has no partition {partition}"))?
            .clone();
        // One file at a time: the library can hang when readers share a delete file.
        let reader = self
            .table
            .reader_builder()
            .with_data_file_concurrency_limit(1)
            .with_batch_size(context.session_config().batch_size())
            .build();
        let tasks = stream::iter(tasks.into_iter().map(Ok)).boxed();
        let batches = reader
            .read(tasks)
            .map_err(external)?
            .stream()
            .map_err(external);
        let planned = self.schema();
        let schema = Arc::clone(&planned);
        let batches = batches.map(move |batch| as_planned(&planned, &batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A batch with the planned schema: what the reader returns says nothing of extension types, and has a column too many, two
/// where only rows are counted.
fn as_planned(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .take(schema.fields().len())
        .cloned()
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}
