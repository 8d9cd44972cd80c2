//! Writing a table: rows wait in the stage, and the commit exchanges the table under the lock.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::table::Table;
use super::{Shared, Tables, lock};
use crate::contract::{Remembered, Sink, Stage, Staged, Write};
use crate::error::Result;

#[async_trait]
impl Sink for Tables {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        Ok(lock(&self.tables)
            .get(table)
            .map(|table| table.rows.schema()))
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        Ok(lock(&self.tables)
            .get(&write.table)
            .is_some_and(|table| table.memory.knows(&write.run)))
    }

    async fn remembered(&self, table: &str) -> Result<Vec<Remembered>> {
        Ok(lock(&self.tables)
            .get(table)
            .map(|table| table.memory.newest())
            .unwrap_or_default())
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        let tables = Arc::clone(&self.tables);
        Ok(Box::new(Waiting {
            tables,
            write: write.clone(),
            schema,
            batches: Vec::new(),
        }))
    }
}

struct Waiting {
    tables: Shared,
    write: Write,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[async_trait]
impl Stage for Waiting {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.batches.push(batch.clone());
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>> {
        let rows = concat_batches(&self.schema, &self.batches)?;
        Ok(Box::new(Ready {
            tables: self.tables,
            write: self.write,
            rows,
        }))
    }
}

struct Ready {
    tables: Shared,
    write: Write,
    rows: RecordBatch,
}

#[async_trait]
impl Staged for Ready {
    async fn commit(self: Box<Self>) -> Result<u64> {
        let Self {
            tables,
            write,
            rows,
        } = *self;
        let mut tables = lock(&tables);
        // The changed table is put back only when all of it worked.
        let known = tables.get(&write.table).cloned();
        let mut table = known.unwrap_or_else(|| Table::empty(rows.schema()));
        let count = table
            .take(&write, rows)
            .map_err(|error| error.with("table", &write.table))?;
        tables.insert(write.table, table);
        Ok(count)
    }
}
