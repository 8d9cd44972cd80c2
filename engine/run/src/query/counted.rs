//! Streams of which it is known about how many rows they have, so that a join builds on the smaller side.

use std::fmt;
use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// A leaf of a query plan: streams and the number of their rows.
#[derive(Debug)]
pub(super) struct CountedExec {
    streams: StreamingTableExec,
    statistics: Arc<Statistics>,
}

impl CountedExec {
    /// The streams, all together with about so many rows.
    pub(super) fn of(streams: StreamingTableExec, rows: Option<u64>) -> Arc<dyn ExecutionPlan> {
        let Some(rows) = rows else {
            return Arc::new(streams);
        };
        let mut statistics = Statistics::new_unknown(&streams.schema());
        statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        Arc::new(Self {
            streams,
            statistics: Arc::new(statistics),
        })
    }
}

impl DisplayAs for CountedExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.streams.fmt_as(format, f)?;
        write!(f, ", rows={}", self.statistics.num_rows)
    }
}

impl ExecutionPlan for CountedExec {
    fn name(&self) -> &'static str {
        "CountedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.streams.properties()
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
        self.streams.execute(partition, context)
    }
}
