//! INSERT BULK: the rows that follow it, with the types the client gives them.

use super::Session;
use crate::error::{Result, SqlError};
use crate::sql::bind::constant;
use crate::sql::{BulkColumn, Name};
use crate::types::decode::{Announced, type_info};
use crate::types::{SqlType, Value};
use crate::wire::{Command, Reader};

/// Rows written by one INSERT.
const ROWS_AT_ONCE: usize = 500;

/// Where the rows of the next bulk message go.
pub(super) struct Load {
    table: Name,
    columns: Vec<String>,
}

impl Session {
    pub(super) fn begin_bulk(&mut self, table: &Name, columns: &[BulkColumn]) -> Result<()> {
        let found = self.catalog.table(table, self.facts.database)?;
        for column in columns {
            found.column(&column.name)?;
        }
        let columns = columns.iter().map(|column| column.name.clone()).collect();
        self.bulk = Some(Load {
            table: table.clone(),
            columns,
        });
        Ok(())
    }

    pub(super) async fn bulk_rows(&mut self, bytes: &[u8]) -> Result<()> {
        let load = self.bulk.take().ok_or_else(|| {
            SqlError::new(
                4804,
                16,
                "There are rows of a bulk load without an INSERT BULK before them.",
            )
        })?;
        self.catalog.refresh(&mut self.postgres).await?;
        let rows = read_rows(bytes, load.columns.len())?;
        let table = self
            .catalog
            .table(&load.table, self.facts.database)?
            .clone();
        let columns: Vec<_> = load
            .columns
            .iter()
            .map(|name| table.column(name).cloned())
            .collect::<Result<_>>()?;
        let listed: Vec<String> = columns
            .iter()
            .map(crate::catalog::Column::postgres)
            .collect();
        self.before_statement().await?;
        let mut done = Ok(());
        for part in rows.chunks(ROWS_AT_ONCE) {
            let mut written = Vec::new();
            for row in part {
                let mut values = Vec::new();
                for ((sql_type, value), column) in row.iter().zip(&columns) {
                    values.push(constant(value, *sql_type, column.sql_type)?);
                }
                written.push(format!("({})", values.join(", ")));
            }
            let sql = format!(
                "INSERT INTO {} ({}) VALUES {}",
                table.postgres(),
                listed.join(", "),
                written.join(", ")
            );
            done = self.execute(&sql).await.map(|_| ());
            if done.is_err() {
                break;
            }
        }
        self.after_statement(done.is_ok()).await?;
        done?;
        self.reply.done(Command::Insert, Some(rows.len() as u64));
        Ok(())
    }
}

type Row = Vec<(SqlType, Value)>;

/// COLMETADATA, ROW and NBCROW as a client writes them.
fn read_rows(bytes: &[u8], wanted: usize) -> Result<Vec<Row>> {
    let mut reader = Reader::new(bytes);
    let mut columns: Vec<Announced> = Vec::new();
    let mut rows = Vec::new();
    while !reader.is_empty() {
        match reader.u8()? {
            0x81 => columns = read_columns(&mut reader, wanted)?,
            0xd1 => rows.push(read_row(&mut reader, &columns, &[])?),
            0xd2 => {
                let map = reader.bytes(columns.len().div_ceil(8))?.to_vec();
                rows.push(read_row(&mut reader, &columns, &map)?);
            }
            0xfd => break,
            token => {
                return Err(SqlError::new(
                    4804,
                    16,
                    format!("The token 0x{token:02x} does not belong into a bulk load."),
                ));
            }
        }
    }
    Ok(rows)
}

fn read_columns(reader: &mut Reader<'_>, wanted: usize) -> Result<Vec<Announced>> {
    let count = usize::from(reader.u16()?);
    if count != wanted {
        return Err(SqlError::new(
            4816,
            16,
            "The bulk load has other columns than INSERT BULK names.",
        ));
    }
    let mut columns = Vec::new();
    for _ in 0..count {
        reader.bytes(6)?;
        let announced = type_info(reader)?;
        if matches!(
            announced.sql_type,
            SqlType::Text(_) | SqlType::NText(_) | SqlType::Image
        ) {
            let units = usize::from(reader.u16()?);
            reader.utf16(units)?;
        }
        reader.short_text()?;
        columns.push(announced);
    }
    Ok(columns)
}

fn read_row(reader: &mut Reader<'_>, columns: &[Announced], nulls: &[u8]) -> Result<Row> {
    let mut row = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        let null = nulls
            .get(at / 8)
            .is_some_and(|byte| byte >> (at % 8) & 1 == 1);
        let value = if null {
            Value::Null
        } else {
            column.value(reader, true)?
        };
        row.push((column.sql_type, value));
    }
    Ok(row)
}
