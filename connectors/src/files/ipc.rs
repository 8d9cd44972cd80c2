//! Arrow IPC: files and streams.
//!
//! Knows the IPC framing. Both are read front to back: a file is a stream between two marks, so that neither needs more
//! memory than one message.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::root_as_message;
use bytes::{Buf as _, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::bytes::ByteStream;
use super::failure;
use crate::contract::BatchStream;
use crate::error::{Error, ErrorKind, Result};

/// What a file begins with; a stream does not have it.
const FILE_MARK: &[u8] = b"ARROW1\0\0";

/// What may stand between that and the first message, any number of times.
const FILLER: [u8; 8] = [0; 8];

/// What a message begins with, before the length of its header.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// What a stream ends with: a message without a header.
const END: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];

/// The largest message, in bytes.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024 * 1024;

/// An opened file: its schema, and its rows.
pub(super) struct Opened {
    /// The columns, as the file has them.
    pub(super) schema: SchemaRef,
    messages: Messages,
}

/// Reads up to the schema.
pub(super) async fn open(input: ByteStream, file: &str) -> Result<Opened> {
    let mut messages = Messages {
        input,
        pending: BytesMut::new(),
        decoder: StreamDecoder::new(),
        ready: VecDeque::new(),
        ended: false,
        file: file.to_owned(),
    };
    messages.fill(FILE_MARK.len()).await?;
    if messages.pending.starts_with(FILE_MARK) {
        messages.pending.advance(FILE_MARK.len());
        // Writers fill up to their alignment before the first message.
        while messages.fill(FILLER.len()).await? && messages.pending.starts_with(&FILLER) {
            messages.pending.advance(FILLER.len());
        }
    }
    let missing = "the file does not begin with a schema";
    let Some(frame) = messages.frame().await? else {
        return Err(messages.broken(missing));
    };
    let header = messages.header(&frame);
    let message = root_as_message(&header)
        .map_err(|error| messages.broken(missing).caused_by(error.to_string()))?;
    let schema = message
        .header_as_schema()
        .map(fb_to_schema)
        .ok_or_else(|| messages.broken(missing))?;
    messages.decode(&frame)?;
    Ok(Opened {
        schema: SchemaRef::new(schema),
        messages,
    })
}

impl Opened {
    /// The rows.
    pub(super) fn rows(self) -> BatchStream {
        stream::try_unfold(self.messages, |mut messages| async move {
            let batch = messages.next().await?;
            Ok(batch.map(|batch| (batch, messages)))
        })
        .boxed()
    }
}

/// Takes whole messages off the input, up to the end mark: the footer of a file comes after it.
struct Messages {
    input: ByteStream,
    pending: BytesMut,
    decoder: StreamDecoder,
    ready: VecDeque<RecordBatch>,
    ended: bool,
    file: String,
}

/// Where a message lies in the pending bytes.
struct Frame {
    /// The bytes before the header.
    lead: usize,
    /// The bytes of the header.
    header: usize,
    /// The bytes of the body.
    body: usize,
}

impl Frame {
    const fn whole(&self) -> usize {
        self.lead + self.header + self.body
    }
}

impl Messages {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.ready.is_empty() && !self.ended {
            if let Some(frame) = self.frame().await? {
                self.decode(&frame)?;
                continue;
            }
            // The decoder gives a batch without a body only when something follows it.
            self.ended = true;
            self.push(Buffer::from_slice_ref(END))?;
            // The rest is read too: only at its end is it sure that the file did not change.
            while self.input.try_next().await?.is_some() {}
        }
        Ok(self.ready.pop_front())
    }

    /// Waits until so many bytes are there; false where the input ends before.
    async fn fill(&mut self, bytes: usize) -> Result<bool> {
        if bytes > MAX_MESSAGE_BYTES {
            let message = format!("a message is larger than {MAX_MESSAGE_BYTES} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, message).with("file", &self.file));
        }
        while self.pending.len() < bytes {
            match self.input.try_next().await? {
                Some(more) => self.pending.extend_from_slice(&more),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next message, all of it pending; `None` at the end.
    async fn frame(&mut self) -> Result<Option<Frame>> {
        if !self.fill(CONTINUATION.len() * 2).await? {
            if self.pending.is_empty() {
                return Ok(None);
            }
            return Err(self.cut_short());
        }
        // Writers before Arrow 0.15 put no mark before the length.
        let lead = if self.pending.starts_with(&CONTINUATION) {
            8
        } else {
            4
        };
        let length = self.pending.get(lead - 4..lead).unwrap_or_default();
        let length: [u8; 4] = length.try_into().unwrap_or_default();
        let header = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if header == 0 {
            return Ok(None);
        }
        if !self.fill(lead.saturating_add(header)).await? {
            return Err(self.cut_short());
        }
        let mut frame = Frame {
            lead,
            header,
            body: 0,
        };
        frame.body = self.body_length(&frame)?;
        let whole = lead.saturating_add(header).saturating_add(frame.body);
        if self.fill(whole).await? {
            Ok(Some(frame))
        } else {
            Err(self.cut_short())
        }
    }

    /// A copy, because a header is only accepted at an address that is a multiple of eight.
    fn header(&self, frame: &Frame) -> Buffer {
        let header = self.pending.get(frame.lead..frame.lead + frame.header);
        Buffer::from_slice_ref(header.unwrap_or_default())
    }

    fn body_length(&self, frame: &Frame) -> Result<usize> {
        let malformed = || self.broken("a message is malformed");
        let header = self.header(frame);
        let message =
            root_as_message(&header).map_err(|error| malformed().caused_by(error.to_string()))?;
        usize::try_from(message.bodyLength()).map_err(|error| malformed().caused_by(error))
    }

    /// Gives the first pending message to the decoder, with the mark that old writers left out, so that its header is
    /// at an address that is a multiple of eight.
    fn decode(&mut self, frame: &Frame) -> Result<()> {
        let whole = frame.whole();
        let mut message = MutableBuffer::with_capacity(whole + CONTINUATION.len());
        if frame.lead == CONTINUATION.len() {
            message.extend_from_slice(&CONTINUATION);
        }
        message.extend_from_slice(&self.pending.split_to(whole));
        self.push(message.into())
    }

    fn push(&mut self, mut buffer: Buffer) -> Result<()> {
        while !buffer.is_empty() {
            match self.decoder.decode(&mut buffer) {
                Ok(batch) => self.ready.extend(batch),
                Err(error) => {
                    let message = "the Arrow file cannot be decoded";
                    return Err(failure::bad_data(message, &self.file).caused_by(error));
                }
            }
        }
        Ok(())
    }

    fn cut_short(&self) -> Error {
        self.broken("the file is cut short")
    }

    fn broken(&self, message: &str) -> Error {
        failure::bad_data(message, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;
    use arrow::ipc::writer::{FileWriter, StreamWriter};
    use bytes::Bytes;

    use super::*;

    fn batch() -> RecordBatch {
        let column = Int32Array::from(vec![1, 2, 3]);
        RecordBatch::try_from_iter([("a", Arc::new(column) as arrow::array::ArrayRef)]).unwrap()
    }

    async fn rows(bytes: Vec<u8>) -> Result<usize> {
        let chunks: Vec<Result<Bytes>> = bytes
            .chunks(5)
            .map(|part| Ok(Bytes::copy_from_slice(part)))
            .collect();
        let opened = open(stream::iter(chunks).boxed(), "f").await?;
        assert_eq!(opened.schema, batch().schema());
        let batches: Vec<RecordBatch> = opened.rows().try_collect().await?;
        Ok(batches.iter().map(RecordBatch::num_rows).sum())
    }

    fn file() -> Vec<u8> {
        let mut writer = FileWriter::try_new(Vec::new(), &batch().schema()).unwrap();
        writer.write(&batch()).unwrap();
        writer.write(&batch()).unwrap();
        writer.into_inner().unwrap()
    }

    #[tokio::test]
    async fn files_and_streams_are_read() {
        assert_eq!(rows(file()).await.unwrap(), 6);
        let mut writer = StreamWriter::try_new(Vec::new(), &batch().schema()).unwrap();
        writer.write(&batch()).unwrap();
        assert_eq!(rows(writer.into_inner().unwrap()).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error() {
        let whole = file();
        assert!(rows(whole[..300].to_vec()).await.is_err());
    }
}
