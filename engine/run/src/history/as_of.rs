//! Queries over tables as they were.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use connectors::{BatchStream, Error, ErrorKind, Result};

use crate::ask::relations;
use crate::engine::Engine;
use crate::lake::{At, Moment, TableId};

/// Which moment of each table a query is about; the newest where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct AsOf {
    all: Option<At>,
    tables: BTreeMap<TableId, At>,
}

impl AsOf {
    /// Reads what was written: `MOMENT` for all tables, `TABLE=MOMENT` for one.
    pub fn read(written: &[String]) -> Result<Self> {
        let mut read = Self::default();
        for text in written {
            let (table, at) = match text.split_once('=') {
                Some((table, at)) => (Some(table.parse::<TableId>()?), at),
                None => (None, text.as_str()),
            };
            let Ok(at) = at.parse::<At>();
            let before = match &table {
                Some(table) => read.tables.insert(table.clone(), at),
                None => read.all.replace(at),
            };
            if before.is_some() {
                let whose = table.map_or_else(|| "all tables".to_owned(), |id| format!("`{id}`"));
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("two moments are given for {whose}"),
                )
                .help("name the tables: `--at TABLE=MOMENT`"));
            }
        }
        Ok(read)
    }

    fn of(&self, table: &TableId) -> Option<&At> {
        self.tables.get(table).or(self.all.as_ref())
    }
}

/// The answer of a query over tables as they were.
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub rows: BatchStream,
    /// The moments that were meant.
    pub read: BTreeMap<TableId, Moment>,
}

impl Engine {
    /// The rows of a query over the lake, each table as it was at a moment, with the columns that it had then.
    pub async fn query_as_of(&self, sql: &str, as_of: &AsOf) -> Result<Answer> {
        let session = self.session()?;
        let mut read = BTreeMap::new();
        let mut named = Vec::new();
        for relation in relations(&session, sql)? {
            let [namespace, name] = relation.as_slice() else {
                continue;
            };
            let id = TableId::new(namespace, name);
            let Some(table) = self.lake().await?.table(&id).await? else {
                continue;
            };
            let provider = match as_of.of(&id) {
                Some(at) => {
                    let moment = table.moment(at)?;
                    read.insert(id.clone(), moment);
                    table.provider_at(Some(moment.snapshot))?
                }
                None => table.provider(),
            };
            session.register_lake_table(namespace, name, provider)?;
            named.push(id);
        }
        if let Some(other) = as_of.tables.keys().find(|id| !named.contains(id)) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the query reads no table `{other}` of the lake"),
            )
            .help("write it in `--at` as the query does, `namespace.table`"));
        }
        let (schema, rows) = self.answer(&session, sql).await?;
        Ok(Answer { schema, rows, read })
    }
}
