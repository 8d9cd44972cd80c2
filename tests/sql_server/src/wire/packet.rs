//! Packets, and the messages they carry.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::error::{Result, SqlError};

pub(crate) const HEADER: usize = 8;
/// The largest message a client may send.
const LARGEST: usize = 1 << 30;
const END: u8 = 0x01;
const IGNORE: u8 = 0x02;
const RESET: u8 = 0x08;
const RESET_KEEPING: u8 = 0x10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Batch,
    Call,
    Attention,
    Bulk,
    Transaction,
    Login,
    Prelogin,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Batch,
            3 => Self::Call,
            6 => Self::Attention,
            7 => Self::Bulk,
            14 => Self::Transaction,
            16 => Self::Login,
            18 => Self::Prelogin,
            _ => return None,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    /// The session is to be as after its login before the message is acted on.
    pub(crate) reset: bool,
    /// The client gave the message up while it sent it.
    pub(crate) ignored: bool,
}

/// The next message, or `None` where the client has gone.
pub(crate) async fn read_message<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<Message>> {
    let mut bytes = Vec::new();
    let mut reset = false;
    loop {
        let mut header = [0; HEADER];
        match stream.read_exact(&mut header).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && bytes.is_empty() => {
                return Ok(None);
            }
            Err(error) => return Err(broken(&error)),
        }
        let [kind, status, high, low, ..] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = length
            .checked_sub(HEADER)
            .ok_or_else(|| SqlError::protocol("A packet is shorter than its header."))?;
        let at = bytes.len();
        if at + body > LARGEST {
            return Err(SqlError::protocol("The message is too large."));
        }
        bytes.resize(at + body, 0);
        if let Some(rest) = bytes.get_mut(at..) {
            stream
                .read_exact(rest)
                .await
                .map_err(|error| broken(&error))?;
        }
        reset |= status & (RESET | RESET_KEEPING) != 0;
        if status & END != 0 {
            let kind = Kind::of(kind)
                .ok_or_else(|| SqlError::protocol("The kind of a message is not known."))?;
            return Ok(Some(Message {
                kind,
                bytes,
                reset,
                ignored: status & IGNORE != 0,
            }));
        }
    }
}

pub(crate) fn broken(error: &io::Error) -> SqlError {
    SqlError::protocol(&format!("The connection is broken: {error}"))
}

/// Cuts a reply into packets; a full one is sent at once.
pub(crate) struct PacketWriter {
    stream: Box<dyn AsyncWrite + Send + Unpin>,
    buffer: Vec<u8>,
    size: usize,
    number: u8,
    spid: u16,
    /// Waited before each packet.
    pub(crate) delay: Duration,
    /// Nothing is sent any more.
    closed: bool,
}

impl PacketWriter {
    pub(crate) fn new(stream: Box<dyn AsyncWrite + Send + Unpin>, size: usize, spid: u16) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            size,
            number: 0,
            spid,
            delay: Duration::ZERO,
            closed: false,
        }
    }

    /// Takes what `write` puts into a buffer.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn set_size(&mut self, size: usize) {
        self.size = size;
    }

    /// Sends the packets that are full.
    pub(crate) async fn send_full(&mut self) -> Result<()> {
        let body = self.size - HEADER;
        if self.buffer.len() <= body {
            return Ok(());
        }
        let all = std::mem::take(&mut self.buffer);
        let whole = (all.len() - 1) / body * body;
        let (full, rest) = all.split_at(whole);
        for packet in full.chunks(body) {
            self.send(packet, 0).await?;
        }
        self.buffer.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the message.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.send_full().await?;
        let rest = std::mem::take(&mut self.buffer);
        self.send(&rest, END).await?;
        self.stream.flush().await.map_err(|error| broken(&error))
    }

    /// Sends a part of a packet and closes the connection: what a client meets when a network fails.
    pub(crate) async fn break_off(&mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.buffer);
        let part = rest.len() / 2;
        self.send(rest.get(..part).unwrap_or_default(), 0).await?;
        self.closed = true;
        self.stream.shutdown().await.map_err(|error| broken(&error))
    }

    async fn send(&mut self, body: &[u8], status: u8) -> Result<()> {
        if self.closed {
            return Err(broken(&io::ErrorKind::BrokenPipe.into()));
        }
        if !self.delay.is_zero() {
            self.stream.flush().await.map_err(|error| broken(&error))?;
            tokio::time::sleep(self.delay).await;
        }
        self.number = self.number.wrapping_add(1);
        let packet = framed(4, status, body, self.number, self.spid);
        self.stream
            .write_all(&packet)
            .await
            .map_err(|error| broken(&error))
    }
}

/// One packet with its header.
pub(crate) fn framed(kind: u8, status: u8, body: &[u8], number: u8, spid: u16) -> Vec<u8> {
    let length = u16::try_from(body.len() + HEADER).unwrap_or(u16::MAX);
    let mut packet = Vec::with_capacity(body.len() + HEADER);
    packet.extend([kind, status]);
    packet.extend(length.to_be_bytes());
    packet.extend(spid.to_be_bytes());
    packet.extend([number, 0]);
    packet.extend_from_slice(body);
    packet
}
