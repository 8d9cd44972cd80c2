//! Bytes of a message, read from the front, every length checked.
//!
//! Knows numbers and texts as MS-TDS writes them. Knows no message.

use crate::error::{Result, SqlError};

#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| SqlError::protocol("The message ends within a value."))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut found = [0; N];
        found.copy_from_slice(self.bytes(N)?);
        Ok(found)
    }

    pub(crate) fn collation(&mut self) -> Result<[u8; 5]> {
        self.array()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length of four bytes.
    pub(crate) fn length(&mut self) -> Result<usize> {
        usize::try_from(self.u32()?).map_err(|_| SqlError::protocol("A length does not fit."))
    }

    /// As many units of UTF-16.
    pub(crate) fn utf16(&mut self, units: usize) -> Result<String> {
        Ok(utf16(self.bytes(units * 2)?))
    }

    /// `B_VARCHAR`.
    pub(crate) fn short_text(&mut self) -> Result<String> {
        let units = usize::from(self.u8()?);
        self.utf16(units)
    }
}

/// Text of UTF-16; a lone surrogate, which PostgreSQL cannot keep either, becomes U+FFFD.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    char::decode_utf16(pairs.iter().map(|pair| u16::from_le_bytes(*pair)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
