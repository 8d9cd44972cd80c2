//! Writes rows into data files that no table refers to yet.
//!
//! Bounded memory whatever the number of partitions: rows wait in lanes, one a partition, and when they together hold
//! too much the fullest are encoded and the largest files closed. Knows nothing of catalogs, runs and commits.

mod bloom;
mod bounds;
mod file;
mod lane;
mod properties;
mod shape;
mod sort;
mod split;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::RecordBatch;
use connectors::Result;
use iceberg::spec::{DataFile, Struct};

use self::lane::Lane;
pub(super) use self::shape::Shape;
pub(super) use self::split::Splitter;
use super::schema::Conform;

/// Bytes of rows that may wait in the lanes of one writer, before they are encoded.
const MAX_WAITING_BYTES: usize = 24 << 20;
/// Bytes that the open files of one writer may hold in memory: encoded rows, and what being open costs.
const MAX_OPEN_BYTES: usize = 64 << 20;

/// Files written and not yet part of any table.
#[derive(Default)]
pub struct WrittenFiles {
    /// The files.
    pub(super) files: Vec<DataFile>,
    /// The rows in them.
    pub(super) rows: u64,
}

impl WrittenFiles {
    /// How many rows were written.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// How many files were written.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// How many bytes the files have.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(DataFile::file_size_in_bytes).sum()
    }
}

/// Writes rows of one stage. Several may write at the same time, each with files of its own.
pub struct StageWriter {
    shape: Arc<Shape>,
    number: usize,
    splitter: Option<Splitter>,
    conform: Option<Conform>,
    lanes: HashMap<Struct, Lane>,
    written: WrittenFiles,
}

impl StageWriter {
    /// The writer of this number.
    pub(super) fn open(shape: Arc<Shape>, number: usize) -> Result<Self> {
        let splitter = Splitter::of(&shape)?;
        Ok(Self {
            shape,
            number,
            splitter,
            conform: None,
            lanes: HashMap::new(),
            written: WrittenFiles::default(),
        })
    }

    /// Takes rows. Their columns are found by name and cast to the table's types.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.conform(batch)?;
        self.written.rows += batch.num_rows() as u64;
        let Some(splitter) = &self.splitter else {
            return self.push(Struct::empty(), batch).await;
        };
        for (partition, rows) in splitter.split(&batch)? {
            self.push(partition, rows).await?;
        }
        self.make_room().await
    }

    /// Rows taken so far.
    pub const fn rows(&self) -> u64 {
        self.written.rows
    }

    /// Bytes of Parquet so far, in files that are done and in those that are open.
    pub fn bytes(&self) -> u64 {
        let open: usize = self.lanes.values().map(Lane::encoded_bytes).sum();
        self.written.bytes() + open as u64
    }

    /// Ends writing.
    pub async fn finish(mut self) -> Result<WrittenFiles> {
        let mut lanes: Vec<Lane> = std::mem::take(&mut self.lanes).into_values().collect();
        // The order of files in a manifest should not depend on a hash.
        lanes.sort_by(|one, other| one.folder().cmp(other.folder()));
        for lane in lanes {
            self.written.files.extend(lane.finish(&self.shape).await?);
        }
        Ok(self.written)
    }

    fn conform(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let schema = batch.schema();
        if let Some(conform) = self
            .conform
            .as_ref()
            .filter(|conform| conform.is_from(&schema))
        {
            return conform.apply(batch);
        }
        let conform = Conform::between(&schema, &self.shape.arrow, &self.shape.exact)?;
        let batch = conform.apply(batch)?;
        self.conform = Some(conform);
        Ok(batch)
    }

    async fn push(&mut self, partition: Struct, rows: RecordBatch) -> Result<()> {
        let shape = &self.shape;
        let lane = match self.lanes.entry(partition) {
            Entry::Occupied(lane) => lane.into_mut(),
            Entry::Vacant(place) => {
                let partition = place.key().clone();
                place.insert(Lane::new(shape.folder(&partition)?, partition, self.number))
            }
        };
        self.written.files.extend(lane.push(rows, shape).await?);
        Ok(())
    }

    /// Encodes the rows of the fullest lanes and closes the largest files until the rest is small enough.
    async fn make_room(&mut self) -> Result<()> {
        while self.lanes.values().map(Lane::waiting_bytes).sum::<usize>() > MAX_WAITING_BYTES {
            let fullest = self
                .lanes
                .values_mut()
                .max_by_key(|lane| lane.waiting_bytes());
            let Some(lane) = fullest else { break };
            lane.encode(&self.shape).await?;
        }
        loop {
            let open = self.lanes.values().filter(|lane| lane.is_open()).count();
            let encoded: usize = self.lanes.values().map(Lane::held_bytes).sum();
            if open == 0 || encoded + open * self.shape.open_file_bytes <= MAX_OPEN_BYTES {
                return Ok(());
            }
            let largest = self
                .lanes
                .values_mut()
                .max_by_key(|lane| lane.encoded_bytes());
            let Some(lane) = largest else { return Ok(()) };
            self.written.files.extend(lane.close(&self.shape).await?);
        }
    }
}
