//! Buffers that columns are filled into, and the arrays made of them without a copy.
//!
//! Knows Arrow's layout; knows nothing of where values come from.

use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType};
use arrow::error::ArrowError;

/// More bytes than the offsets of a column can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Values of different lengths, end to end.
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    /// The bytes of all values; what stands behind the last offset becomes the next value.
    pub(crate) data: Vec<u8>,
}

impl Bytes {
    /// An empty column with room for this many short values.
    pub(crate) fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            data: Vec::with_capacity(rows * 8),
        }
    }

    /// Takes a value.
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) -> Result<(), Full> {
        self.data.extend_from_slice(value);
        self.end()
    }

    /// Ends the value whose bytes were added to `data`: an empty one where there were none.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<(), Full> {
        self.offsets
            .push(i32::try_from(self.data.len()).map_err(|_| Full)?);
        Ok(())
    }

    /// Forgets the bytes of a value that was not ended.
    pub(crate) fn abandon(&mut self) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.data.truncate(usize::try_from(end).unwrap_or(0));
    }

    /// What was filled, and an empty column in its place.
    pub(crate) fn take(&mut self, rows: usize) -> (OffsetBuffer<i32>, Buffer) {
        let taken = std::mem::replace(self, Self::new(rows));
        (OffsetBuffer::new(taken.offsets.into()), taken.data.into())
    }
}

/// What was filled, and an empty vector with room for `rows` in its place.
pub(crate) fn take<T: ArrowNativeType>(values: &mut Vec<T>, rows: usize) -> ScalarBuffer<T> {
    std::mem::replace(values, Vec::with_capacity(rows)).into()
}

/// An array of what was filled.
pub(crate) fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(
        take(values, rows),
        nulls,
    )?))
}
