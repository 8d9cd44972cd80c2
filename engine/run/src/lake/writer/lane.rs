//! The rows of one partition on their way into files.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use connectors::Result;
use iceberg::spec::{DataFile, Struct};

use super::file::OpenFile;
use super::properties::{ROW_GROUP_BYTES, ROW_GROUP_ROWS};
use super::shape::Shape;
use super::sort::sorted;

/// Rows of a partition that go to the encoder together: fewer would cost more than they carry.
const MIN_ENCODED_ROWS: usize = 8192;

/// The rows of one partition on their way into files.
pub(super) struct Lane {
    folder: String,
    partition: Struct,
    writer: usize,
    file: Option<OpenFile>,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
}

impl Lane {
    /// A lane without rows.
    pub(super) const fn new(folder: String, partition: Struct, writer: usize) -> Self {
        Self {
            folder,
            partition,
            writer,
            file: None,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
        }
    }

    /// Takes rows; returns a file when they filled one.
    pub(super) async fn push(
        &mut self,
        rows: RecordBatch,
        shape: &Shape,
    ) -> Result<Option<DataFile>> {
        self.waiting_rows += rows.num_rows();
        self.waiting_bytes += rows.get_array_memory_size();
        self.waiting.push(rows);
        let enough = if !shape.sort.is_empty() {
            self.waiting_rows >= ROW_GROUP_ROWS || self.waiting_bytes >= ROW_GROUP_BYTES
        } else if shape.spec.is_unpartitioned() {
            true
        } else {
            self.waiting_rows >= MIN_ENCODED_ROWS
        };
        if enough {
            self.encode(shape).await?;
        }
        if self.encoded_bytes() < shape.target_file_bytes {
            return Ok(None);
        }
        self.close(shape).await
    }

    /// Ends the lane.
    pub(super) async fn finish(mut self, shape: &Shape) -> Result<Option<DataFile>> {
        self.encode(shape).await?;
        self.close(shape).await
    }

    /// Closes the file that is open.
    pub(super) async fn close(&mut self, shape: &Shape) -> Result<Option<DataFile>> {
        match self.file.take() {
            Some(file) => file.finish(shape, &self.partition).await,
            None => Ok(None),
        }
    }

    /// Where its files go.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Bytes of rows that wait.
    pub(super) const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Bytes of the open file that may still be in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.file.as_ref().map_or(0, OpenFile::held_bytes)
    }

    /// Bytes of the file that is open.
    pub(super) fn encoded_bytes(&self) -> usize {
        self.file.as_ref().map_or(0, OpenFile::bytes)
    }

    /// Whether a file is open.
    pub(super) const fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Moves the waiting rows into the file, sorted where the table is.
    pub(super) async fn encode(&mut self, shape: &Shape) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        let Some(first) = waiting.first() else {
            return Ok(());
        };
        let mut rows = match waiting.as_slice() {
            [one] => one.clone(),
            several => concat_batches(&first.schema(), several)?,
        };
        if !shape.sort.is_empty() {
            rows = sorted(&rows, &shape.sort)?;
        }
        if self.file.is_none() {
            let location = shape.file_in(&self.folder, self.writer);
            self.file = Some(OpenFile::open(shape, location, &rows).await?);
        }
        match &mut self.file {
            Some(file) => file.write(&rows).await,
            None => Ok(()),
        }
    }
}
