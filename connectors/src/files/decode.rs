//! Rows decoded from a stream of bytes, a batch at a time.
//!
//! Knows the push decoders of Arrow; knows nothing of the files the bytes come from.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::bytes::ByteStream;
use super::failure;
use crate::contract::BatchStream;
use crate::error::{Error, Result};

/// How many rows a batch of text has.
pub(super) const BATCH_ROWS: usize = 8192;

/// A decoder that takes bytes and gives batches.
pub(super) trait Decode: Send + 'static {
    /// Takes bytes until a batch is full; says how many. No bytes at all mean the end.
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, ArrowError>;
    /// The rows taken so far, if any.
    fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError>;
    /// Why the bytes must not end here, where they must not.
    fn cut_off(&self) -> Option<Error> {
        None
    }
}

impl Decode for arrow::json::reader::Decoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<usize, ArrowError> {
        Self::decode(self, bytes)
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        Self::flush(self)
    }
}

struct Decoding<D> {
    input: ByteStream,
    pending: Bytes,
    ended: bool,
    decoder: D,
    rows: usize,
    file: String,
}

/// All rows of the bytes.
pub(super) fn batches<D: Decode>(input: ByteStream, decoder: D, file: String) -> BatchStream {
    let state = Decoding {
        input,
        pending: Bytes::new(),
        ended: false,
        decoder,
        rows: 0,
        file,
    };
    stream::try_unfold(state, Decoding::step).boxed()
}

impl<D: Decode> Decoding<D> {
    async fn step(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            while self.pending.is_empty() && !self.ended {
                match self.input.try_next().await? {
                    Some(more) => self.pending = more,
                    None => self.ended = true,
                }
            }
            if self.ended
                && let Some(error) = self.decoder.cut_off()
            {
                return Err(error);
            }
            let taken = self
                .decoder
                .decode(&self.pending)
                .map_err(|error| self.malformed(error))?;
            self.pending.advance(taken);
            if taken > 0 && self.pending.is_empty() {
                continue;
            }
            match self
                .decoder
                .flush()
                .map_err(|error| self.malformed(error))?
            {
                Some(batch) => {
                    self.rows += batch.num_rows();
                    return Ok(Some((batch, self)));
                }
                None if self.ended => return Ok(None),
                None => {}
            }
        }
    }

    fn malformed(&self, error: ArrowError) -> Error {
        failure::bad_data("the file does not have the form of its format", &self.file)
            .with("after row", self.rows)
            .caused_by(error)
    }
}
