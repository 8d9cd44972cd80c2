//! Copy-on-write: files with changed rows are written again, each changed row in the place of the row it was.
//!
//! One pass over the files and one over the changes, both in the order of places, so that a table that was sorted stays
//! sorted and nothing is held but a batch of each.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef, UInt32Type, UInt64Type};
use connectors::{BatchStream, Error, ErrorKind, Result};
use futures::StreamExt;

use super::candidates::{Candidates, FILE, POSITION, Placed};
use super::{DELETES, column};
use crate::lake::failure::failed;
use crate::lake::schema::Conform;
use crate::lake::writer::StageWriter;

/// Rows read from a file at a time.
const BATCH_ROWS: usize = 8192;

/// Writes the files again that changes name; which those are. Of those that are `listed` only the changed rows are
/// written. Changes come in the order of their places.
pub(super) async fn rewrite(
    candidates: &Candidates,
    writer: &mut StageWriter,
    changes: BatchStream,
    listed: &BTreeSet<u32>,
) -> Result<Vec<u32>> {
    let mut changes = Changes::new(changes, candidates.arrow());
    let names: Vec<&str> = candidates
        .arrow()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut rewritten = Vec::new();
    while let Some(number) = changes.next_file().await? {
        if listed.contains(&number) {
            if let Some(rows) = changes.rows_of(number, candidates.arrow())? {
                writer.write(&rows).await?;
            }
            continue;
        }
        let file = candidates.files().get(number as usize);
        let file = file.ok_or_else(|| out_of_order(number))?;
        let mut rows = candidates.read(file, &names, BATCH_ROWS)?;
        while let Some(placed) = rows.next().await {
            let placed = placed.map_err(|error| {
                failed("a file of the table cannot be read")(error)
                    .with("file", file.live.file.file_path())
            })?;
            let here = changes.below(number, placed.end()).await?;
            if let Some(rows) = changed(&placed, &here, candidates.arrow())? {
                writer.write(&rows).await?;
            }
        }
        if changes.next_file().await? == Some(number) {
            return Err(out_of_order(number));
        }
        rewritten.push(number);
    }
    Ok(rewritten)
}

fn out_of_order(file: u32) -> Error {
    Error::new(
        ErrorKind::Internal,
        "changes of a file name rows that it has not",
    )
    .with("file", file)
}

/// The rows of a batch with its changes; `None` where no row is left.
fn changed(placed: &Placed, here: &Here, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
    if here.rows.is_empty() && placed.gone.is_empty() {
        return Ok(Some(RecordBatch::try_new(
            Arc::clone(schema),
            placed.rows.columns().to_vec(),
        )?));
    }
    let mut gone = placed.gone.iter().copied().peekable();
    let mut changes = here.rows.iter().peekable();
    // From which batch each row comes, the file's own being 0, and its number there.
    let mut picked: Vec<(usize, usize)> = Vec::with_capacity(placed.rows.num_rows());
    for (row, place) in (placed.first..placed.end()).enumerate() {
        let is_gone = gone.next_if_eq(&place).is_some();
        let mut change = None;
        // A place that is named twice has the last change.
        while let Some(found) = changes.next_if(|found| found.place == place) {
            change = Some(found);
        }
        match change {
            _ if is_gone => {}
            None => picked.push((0, row)),
            Some(change) if change.deletes => {}
            Some(change) => picked.push((change.batch + 1, change.row)),
        }
    }
    if picked.is_empty() {
        return Ok(None);
    }
    let batches: Vec<&RecordBatch> = std::iter::once(&placed.rows)
        .chain(here.batches.iter())
        .collect();
    let columns = (0..schema.fields().len()).map(|index| -> Result<ArrayRef> {
        let sources: Vec<&dyn Array> = batches
            .iter()
            .map(|batch| batch.column(index).as_ref())
            .collect();
        Ok(interleave(&sources, &picked)?)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Some(RecordBatch::try_new(Arc::clone(schema), columns)?))
}

/// The changes of a stretch of a file.
struct Here {
    batches: Vec<RecordBatch>,
    rows: Vec<Change>,
}

/// A row that takes the place of another, or only takes it away.
struct Change {
    place: u64,
    deletes: bool,
    batch: usize,
    row: usize,
}

/// Changes in the order of their places.
struct Changes {
    stream: BatchStream,
    /// The table's columns, none of them required: a row that only deletes has no values.
    schema: SchemaRef,
    conform: Option<Conform>,
    waiting: VecDeque<Waiting>,
}

/// A batch of changes, those before `next` being done.
struct Waiting {
    files: UInt32Array,
    places: UInt64Array,
    deletes: BooleanArray,
    rows: RecordBatch,
    next: usize,
}

impl Changes {
    fn new(stream: BatchStream, schema: &SchemaRef) -> Self {
        Self {
            stream,
            schema: Arc::new(Schema::new(
                schema.fields().iter().map(nullable).collect::<Vec<_>>(),
            )),
            conform: None,
            waiting: VecDeque::new(),
        }
    }

    /// The file of the next change.
    async fn next_file(&mut self) -> Result<Option<u32>> {
        while self.waiting.front().is_none_or(Waiting::is_done) {
            self.waiting.pop_front();
            if self.waiting.is_empty() && !self.fetch().await? {
                return Ok(None);
            }
        }
        let front = self.waiting.front();
        Ok(front.and_then(|front| front.files.values().get(front.next).copied()))
    }

    /// All further changes of a file at places below `end`.
    async fn below(&mut self, file: u32, end: u64) -> Result<Here> {
        let mut here = Here {
            batches: Vec::new(),
            rows: Vec::new(),
        };
        while self.next_file().await? == Some(file) {
            let Some(front) = self.waiting.front_mut() else {
                break;
            };
            let batch = here.batches.len();
            let before = here.rows.len();
            while let (Some(of), Some(place)) = (
                front.files.values().get(front.next),
                front.places.values().get(front.next),
            ) {
                if *of != file || *place >= end {
                    break;
                }
                here.rows.push(Change {
                    place: *place,
                    deletes: front.deletes.value(front.next),
                    batch,
                    row: front.next,
                });
                front.next += 1;
            }
            if here.rows.len() == before {
                break;
            }
            here.batches.push(front.rows.clone());
            if !front.is_done() {
                break;
            }
        }
        Ok(here)
    }

    /// The rows of the next changes, as far as they are of this file and in one batch; `None` where all only delete.
    fn rows_of(&mut self, file: u32, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
        let Some(front) = self.waiting.front_mut() else {
            return Ok(None);
        };
        let mut stay: Vec<u32> = Vec::new();
        while front.files.values().get(front.next) == Some(&file) {
            if !front.deletes.value(front.next) {
                stay.extend(u32::try_from(front.next));
            }
            front.next += 1;
        }
        if stay.is_empty() {
            return Ok(None);
        }
        let rows = take_record_batch(&front.rows, &UInt32Array::from(stay))?;
        let rows = RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec())?;
        Ok(Some(rows))
    }

    /// Takes in one more batch; whether there was one.
    async fn fetch(&mut self) -> Result<bool> {
        let Some(batch) = self.stream.next().await else {
            return Ok(false);
        };
        let batch = batch?;
        let conform = if let Some(conform) = self.conform.take() {
            conform
        } else {
            let exact = self
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone());
            Conform::between(&batch.schema(), &self.schema, &exact.collect())?
        };
        self.waiting.push_back(Waiting {
            files: column(&batch, FILE)?.as_primitive::<UInt32Type>().clone(),
            places: column(&batch, POSITION)?
                .as_primitive::<UInt64Type>()
                .clone(),
            deletes: column(&batch, DELETES)?.as_boolean().clone(),
            rows: conform.apply(&batch)?,
            next: 0,
        });
        self.conform = Some(conform);
        Ok(true)
    }
}

impl Waiting {
    fn is_done(&self) -> bool {
        self.next >= self.files.len()
    }
}

fn nullable(field: &FieldRef) -> Field {
    field.as_ref().clone().with_nullable(true)
}
