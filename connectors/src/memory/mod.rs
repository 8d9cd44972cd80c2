//! `memory`: tables that stand in the spec, and live as long as the connection.
//!
//! The reference: what the contract says, in the fewest lines. Examples and tests need no service with it.

mod remembering;
mod sink;
mod source;
mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::columns::Columns;
use crate::contract::{
    Capability, Connection, Connector, Incremental, Opening, Sink, SinkCapability, Source,
    SourceCapability,
};
use crate::error::Result;
use table::Table;

/// Tables in memory.
pub(crate) struct Memory;

/// Tables in memory, written out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MemoryOptions")]
pub(crate) struct Options {
    /// The tables there are from the beginning, by name.
    #[serde(default)]
    tables: BTreeMap<String, Rows>,
}

/// A table, written out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MemoryTable")]
struct Rows {
    /// The columns.
    columns: Columns,
    /// The rows, each a list of values in the order of the columns.
    #[serde(default)]
    rows: Vec<Vec<serde_json::Value>>,
}

/// Options of an extract or a load: there are none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MemoryNoOptions")]
pub(crate) struct Nothing {}

#[async_trait]
impl Connector for Memory {
    const KIND: &'static str = "memory";
    const CAPABILITY: Capability = Capability {
        source: Some(SourceCapability {
            changes: false,
            sessions: false,
            queries: false,
            predicates: false,
            incremental: Incremental::Column,
        }),
        sink: Some(SinkCapability {
            append: true,
            replace: true,
            merge: true,
            remembers: true,
        }),
    };
    type Options = Options;
    type ReadOptions = Nothing;
    type WriteOptions = Nothing;

    async fn open(options: Self::Options, _: Opening<'_>) -> Result<Box<dyn Connection>> {
        let mut tables = BTreeMap::new();
        for (name, rows) in options.tables {
            let table = Table::of_values(&rows.columns.schema().into(), &rows.rows)
                .map_err(|error| error.with("table", &name))?;
            tables.insert(name, table);
        }
        Ok(Box::new(Tables {
            tables: Arc::new(Mutex::new(tables)),
        }))
    }
}

/// A connection: its tables.
struct Tables {
    tables: Shared,
}

/// The tables by name. The lock is held to copy or exchange one, never while waiting.
type Shared = Arc<Mutex<BTreeMap<String, Table>>>;

fn lock(tables: &Shared) -> MutexGuard<'_, BTreeMap<String, Table>> {
    tables.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Connection for Tables {
    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        Some(self)
    }

    async fn probe(&self) -> Result<String> {
        Ok(format!("memory, {} tables", lock(&self.tables).len()))
    }
}
