//! TLS as TDS 7 has it: the records of the handshake travel in PRELOGIN packets, everything after it does not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::packet::{HEADER, framed};

/// A stream that wraps what is written, and unwraps what is read, until it is told to stop.
pub(crate) struct Wrapped<S> {
    inner: S,
    wrapping: bool,
    header: Vec<u8>,
    /// What is left of the body of the packet that is being read.
    left: usize,
    waiting: Vec<u8>,
    framed: Vec<u8>,
}

impl<S> Wrapped<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            wrapping: true,
            header: Vec::new(),
            left: 0,
            waiting: Vec::new(),
            framed: Vec::new(),
        }
    }

    /// The handshake is over.
    pub(crate) fn unwrap_from_now(&mut self) {
        self.wrapping = false;
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> Wrapped<S> {
    fn poll_header(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.header.len() < HEADER {
            let mut byte = [0];
            let mut buffer = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            match buffer.filled() {
                [byte] => self.header.push(*byte),
                _ => return Poll::Ready(Ok(false)),
            }
        }
        let length = match self.header.as_slice() {
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        self.header.clear();
        self.left = length.saturating_sub(HEADER);
        Poll::Ready(Ok(true))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wrapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.wrapping {
            return Pin::new(&mut this.inner).poll_read(context, buffer);
        }
        while this.left == 0 {
            if !ready!(this.poll_header(context))? {
                return Poll::Ready(Ok(()));
            }
        }
        let mut part = buffer.take(this.left);
        ready!(Pin::new(&mut this.inner).poll_read(context, &mut part))?;
        let read = part.filled().len();
        this.left -= read;
        // `take` lends the unfilled part only: what it filled is told to the whole.
        buffer.initialize_unfilled_to(read);
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Wrapped<S> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            // A flight may be longer than a packet of the smallest size that everyone takes.
            for part in self.waiting.chunks(4096 - HEADER) {
                self.framed.extend(framed(0x12, 1, part, 0, 0));
            }
            self.waiting.clear();
        }
        while !self.framed.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(context, &self.framed))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.framed.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wrapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.wrapping {
            self.waiting.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
