//! What a client asks for after its login: batches, calls, transactions.

use super::reader::{Reader, utf16};
use crate::error::{Result, SqlError};
use crate::sql::Isolation;
use crate::types::decode::type_info;
use crate::types::{SqlType, Value};

/// A call of a procedure.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) procedure: String,
    pub(crate) parameters: Vec<Parameter>,
}

#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) output: bool,
    pub(crate) sql_type: SqlType,
    pub(crate) value: Value,
}

/// A transaction to begin when another has ended, with a level where one is said.
#[derive(Debug)]
pub(crate) struct Again(pub(crate) Option<Isolation>);

#[derive(Debug)]
pub(crate) enum TransactionRequest {
    Begin(Option<Isolation>),
    Commit { again: Option<Again> },
    Rollback { to: String, again: Option<Again> },
    Save(String),
}

/// `ALL_HEADERS`, of which none means anything here.
pub(crate) fn skip_headers(reader: &mut Reader<'_>) -> Result<()> {
    let length = reader.length()?;
    let rest = length
        .checked_sub(4)
        .ok_or_else(|| SqlError::protocol("The headers are too short."))?;
    reader.bytes(rest).map(|_| ())
}

pub(crate) fn sql_text(bytes: &[u8]) -> Result<String> {
    let mut reader = Reader::new(bytes);
    skip_headers(&mut reader)?;
    Ok(utf16(reader.rest()))
}

pub(crate) fn calls(bytes: &[u8]) -> Result<Vec<Call>> {
    let mut reader = Reader::new(bytes);
    skip_headers(&mut reader)?;
    let mut found = Vec::new();
    while !reader.is_empty() {
        let procedure = procedure(&mut reader)?;
        reader.u16()?;
        let mut parameters = Vec::new();
        loop {
            match reader.peek() {
                None => break,
                Some(0x80 | 0xfe | 0xff) => {
                    reader.u8()?;
                    break;
                }
                Some(_) => parameters.push(parameter(&mut reader)?),
            }
        }
        found.push(Call {
            procedure,
            parameters,
        });
    }
    Ok(found)
}

fn procedure(reader: &mut Reader<'_>) -> Result<String> {
    let units = reader.u16()?;
    if units != u16::MAX {
        return reader.utf16(usize::from(units));
    }
    let name = match reader.u16()? {
        10 => "sp_executesql",
        11 => "sp_prepare",
        12 => "sp_execute",
        13 => "sp_prepexec",
        15 => "sp_unprepare",
        number => {
            return Err(SqlError::new(
                2812,
                16,
                format!("Could not find stored procedure {number}."),
            ));
        }
    };
    Ok(name.to_owned())
}

fn parameter(reader: &mut Reader<'_>) -> Result<Parameter> {
    let name = reader.short_text()?;
    let status = reader.u8()?;
    let announced = type_info(reader)?;
    let value = announced.value(reader, false)?;
    Ok(Parameter {
        name,
        output: status & 1 != 0,
        sql_type: announced.sql_type,
        value,
    })
}

pub(crate) fn transaction(bytes: &[u8]) -> Result<TransactionRequest> {
    let mut reader = Reader::new(bytes);
    skip_headers(&mut reader)?;
    match reader.u16()? {
        5 => {
            let level = isolation(reader.u8()?);
            Ok(TransactionRequest::Begin(level))
        }
        7 => {
            reader.short_text()?;
            Ok(TransactionRequest::Commit {
                again: again(&mut reader)?,
            })
        }
        8 => {
            let to = reader.short_text()?;
            Ok(TransactionRequest::Rollback {
                to,
                again: again(&mut reader)?,
            })
        }
        9 => reader.short_text().map(TransactionRequest::Save),
        other => Err(SqlError::new(
            3989,
            16,
            format!("The transaction request {other} is not known."),
        )),
    }
}

/// The transaction to begin when this one has ended.
fn again(reader: &mut Reader<'_>) -> Result<Option<Again>> {
    if reader.is_empty() || reader.u8()? & 1 == 0 {
        return Ok(None);
    }
    Ok(Some(Again(isolation(reader.u8()?))))
}

fn isolation(byte: u8) -> Option<Isolation> {
    Some(match byte {
        1 => Isolation::ReadUncommitted,
        2 => Isolation::ReadCommitted,
        3 => Isolation::RepeatableRead,
        4 => Isolation::Serializable,
        5 => Isolation::Snapshot,
        _ => return None,
    })
}
