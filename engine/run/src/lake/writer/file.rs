//! One Parquet file being written.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use connectors::{Error, ErrorKind, Result};
use iceberg::spec::{DataFile, Struct};
use iceberg::writer::CurrentFileStatus;
use iceberg::writer::file_writer::{
    FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder,
};

use super::bounds;
use super::properties::{ROW_GROUP_BYTES, properties};
use super::shape::Shape;
use crate::failpoint::{self, Point};
use crate::lake::failure::failed;

/// One Parquet file being written.
pub(super) struct OpenFile {
    writer: ParquetWriter,
    location: String,
    /// Sorted runs in the file; a file of one run is sorted as a whole.
    runs: usize,
    /// Columns whose bounds cannot be trusted.
    unbounded: BTreeSet<i32>,
}

impl OpenFile {
    /// Opens a file; `first` are the rows that come first, which show how its columns are best encoded.
    pub(super) async fn open(shape: &Shape, location: String, first: &RecordBatch) -> Result<Self> {
        failpoint::before(Point::FileOpen).await?;
        let encoding = properties(first, !shape.spec.is_unpartitioned(), shape.blooms())?;
        let output = shape
            .file_io
            .new_output(&location)
            .map_err(|error| failed("a data file cannot be made")(error).with("file", &location))?;
        let writer = ParquetWriterBuilder::new(encoding, shape.schema.clone())
            .build(output)
            .await
            .map_err(|error| failed("a data file cannot be made")(error).with("file", &location))?;
        failpoint::after(Point::FileOpen).await?;
        Ok(Self {
            writer,
            location,
            runs: 0,
            unbounded: BTreeSet::new(),
        })
    }

    /// Adds a run of rows.
    pub(super) async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.runs += 1;
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            bounds::find_long(field, column, &mut self.unbounded);
        }
        self.writer.write(rows).await.map_err(|error| {
            failed("a data file cannot be written")(error).with("file", &self.location)
        })
    }

    /// Bytes of the file so far, those in memory included.
    pub(super) fn bytes(&self) -> usize {
        self.writer.current_written_size()
    }

    /// Bytes of it that may still be in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes().min(ROW_GROUP_BYTES)
    }

    /// Closes the file.
    pub(super) async fn finish(
        self,
        shape: &Shape,
        partition: &Struct,
    ) -> Result<Option<DataFile>> {
        failpoint::before(Point::FileClose).await?;
        let closed = self.writer.close().await.map_err(|error| {
            failed("a data file cannot be closed")(error).with("file", &self.location)
        })?;
        failpoint::after(Point::FileClose).await?;
        let Some(mut file) = closed.into_iter().next() else {
            return Ok(None);
        };
        if !self.unbounded.is_empty() {
            bounds::forget(&mut file, &self.unbounded)?;
        }
        file.partition(partition.clone())
            .partition_spec_id(shape.spec.spec_id());
        if let Some(order) = shape.sort_order_id.filter(|_| self.runs == 1) {
            file.sort_order_id(order);
        }
        file.build().map(Some).map_err(|error| {
            Error::new(ErrorKind::Internal, "a data file lacks its description")
                .with("file", &self.location)
                .caused_by(error)
        })
    }
}
