//! LOGIN7: who comes, and what they want (MS-TDS 2.2.6.4).

use super::reader::{Reader, utf16};
use crate::error::{Result, SqlError};

#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) tds_version: u32,
    pub(crate) packet_size: usize,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    /// The numbers of the features it asks for.
    pub(crate) features: Vec<u8>,
    /// Windows authentication, which there is none of here.
    pub(crate) integrated: bool,
}

/// Where the pairs of place and length begin.
const PAIRS: usize = 36;

impl Login {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        reader.u32()?;
        let tds_version = reader.u32()?;
        let packet_size = reader.length()?;
        reader.bytes(12)?;
        let (_, second, _, third) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
        let text = |pair: usize| text_at(bytes, pair);
        let features = if third & 0x10 == 0 {
            Vec::new()
        } else {
            features(bytes)?
        };
        Ok(Self {
            tds_version,
            packet_size,
            user: text(1)?,
            password: password(bytes)?,
            database: text(8)?,
            features,
            integrated: second & 0x80 != 0,
        })
    }
}

/// Place and length of the field with this number.
fn pair(bytes: &[u8], number: usize) -> Result<(usize, usize)> {
    let mut reader = Reader::new(bytes);
    reader.bytes(PAIRS + number * 4)?;
    Ok((usize::from(reader.u16()?), usize::from(reader.u16()?)))
}

fn field(bytes: &[u8], at: usize, length: usize) -> Result<&[u8]> {
    bytes
        .get(at..at + length)
        .ok_or_else(|| SqlError::protocol("A field of the login lies outside of it."))
}

fn text_at(bytes: &[u8], number: usize) -> Result<String> {
    let (at, units) = pair(bytes, number)?;
    if units == 0 {
        return Ok(String::new());
    }
    field(bytes, at, units * 2).map(utf16)
}

/// Each byte has its halves swapped and some bits turned: against a glance, not against anyone else.
fn password(bytes: &[u8]) -> Result<String> {
    let (at, units) = pair(bytes, 2)?;
    if units == 0 {
        return Ok(String::new());
    }
    let plain: Vec<u8> = field(bytes, at, units * 2)?
        .iter()
        .map(|byte| (byte ^ 0xa5).rotate_left(4))
        .collect();
    Ok(utf16(&plain))
}

fn features(bytes: &[u8]) -> Result<Vec<u8>> {
    let (at, length) = pair(bytes, 5)?;
    let place = Reader::new(field(bytes, at, length.max(4))?).length()?;
    let mut reader = Reader::new(bytes);
    reader.bytes(place)?;
    let mut found = Vec::new();
    loop {
        let id = reader.u8()?;
        if id == 0xff {
            return Ok(found);
        }
        let length = reader.length()?;
        reader.bytes(length)?;
        found.push(id);
    }
}
