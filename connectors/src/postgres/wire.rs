//! A session with a server: messages framed in place, queries answered as text.
//!
//! Knows the frontend/backend protocol, version 3; knows nothing of tables, types or Arrow. A client of our own, because
//! reading a table costs least when the rows of a `COPY` are decoded where the socket put them.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::auth::{self, Login};
use super::cancel::Cancellation;
use super::failure::{lost, protocol, server_error};
use super::transport::{Endpoint, Transport};
use crate::background::Cancellations;
use crate::error::{Error, ErrorKind, Result};

/// How much is asked of the socket at once, in bytes.
const READ_SIZE: usize = 512 * 1024;
/// The longest message that is taken, in bytes: a row of a `COPY` is one.
const MAX_MESSAGE: usize = 256 * 1024 * 1024;
/// The type byte and the length.
const HEADER: usize = 5;

/// A message of the server, in the session's buffer until the next one is asked for.
pub(super) struct Message {
    pub(super) tag: u8,
    body: Range<usize>,
}

/// The rows of an answer, as text.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// What `Describe` says of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) type_oid: u32,
    pub(super) typmod: i32,
}

/// One session with a server. Dropping it closes the socket, and stops the server where it is still at work.
pub(super) struct Session {
    transport: Transport,
    input: Vec<u8>,
    start: usize,
    end: usize,
    endpoint: Arc<Endpoint>,
    key: Option<(i32, i32)>,
    version: String,
    /// Something was asked, and the server has not said that it is done.
    busy: bool,
    /// The server waits for a query.
    ready: bool,
    cancellations: Arc<Cancellations>,
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn open(
        endpoint: &Arc<Endpoint>,
        login: &Login,
        cancellations: &Arc<Cancellations>,
    ) -> Result<Self> {
        let transport = endpoint.connect().await?;
        let mut session = Self {
            transport,
            input: vec![0; READ_SIZE],
            start: 0,
            end: 0,
            endpoint: Arc::clone(endpoint),
            key: None,
            version: String::new(),
            busy: false,
            ready: false,
            cancellations: Arc::clone(cancellations),
        };
        auth::log_in(&mut session, login).await?;
        session.until_ready(|_, _| Ok(())).await?;
        session.run(&auth::settings(login)).await?;
        Ok(session)
    }

    /// The version the server gave itself, `15.18 (Debian …)`, and how the session is encrypted.
    pub(super) fn server(&self) -> (&str, &'static str) {
        (&self.version, self.transport.tls())
    }

    /// Sends messages that were written into a buffer.
    pub(super) async fn send(&mut self, messages: &[u8]) -> Result<()> {
        self.busy = true;
        self.ready = false;
        self.transport.write(messages).await.map_err(lost)
    }

    /// Sends a query (or several) without looking at the answer.
    pub(super) async fn start(&mut self, sql: &str) -> Result<()> {
        let mut output = BytesMut::new();
        frontend::query(sql, &mut output).map_err(unsendable)?;
        self.send(&output).await
    }

    /// Runs a query (or several) and returns all rows, as text.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Rows> {
        self.start(sql).await?;
        let mut rows = Rows::new();
        self.until_ready(|tag, body| {
            if tag == b'D' {
                rows.push(text_row(body).ok_or_else(|| protocol("a row"))?);
            }
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Runs a query and returns the first value of its first row.
    pub(super) async fn value(&mut self, sql: &str) -> Result<Option<String>> {
        let row = self.rows(sql).await?.into_iter().next();
        Ok(row.and_then(|row| row.into_iter().next()).flatten())
    }

    /// Runs a statement and returns its command tag: `INSERT 0 12`.
    pub(super) async fn run(&mut self, sql: &str) -> Result<String> {
        self.start(sql).await?;
        let mut done = String::new();
        self.until_ready(|tag, body| {
            if tag == b'C' {
                let (text, _) = cut_text(body).ok_or_else(|| protocol("a command tag"))?;
                done = text;
            }
            Ok(())
        })
        .await?;
        Ok(done)
    }

    /// Asks for the columns of one statement without running it. More than one statement is refused by the server.
    pub(super) async fn describe(&mut self, sql: &str) -> Result<Vec<Described>> {
        let mut output = BytesMut::new();
        frontend::parse("", sql, std::iter::empty(), &mut output).map_err(unsendable)?;
        frontend::describe(b'S', "", &mut output).map_err(unsendable)?;
        frontend::sync(&mut output);
        self.send(&output).await?;
        let mut columns = Vec::new();
        self.until_ready(|tag, body| {
            if tag == b'T' {
                columns = described(body).ok_or_else(|| protocol("the description of a row"))?;
            }
            Ok(())
        })
        .await?;
        Ok(columns)
    }

    /// Takes messages until the server is ready for the next query. The first error is returned after that, so that
    /// the session stays usable.
    pub(super) async fn until_ready(
        &mut self,
        mut take: impl FnMut(u8, &[u8]) -> Result<()> + Send,
    ) -> Result<()> {
        let mut outcome = Ok(());
        loop {
            let message = match self.next().await {
                Ok(message) => message,
                // A server that gives up says why, and closes.
                Err(lost) => return outcome.and(Err(lost)),
            };
            match message.tag {
                b'Z' => return outcome,
                b'E' => outcome = outcome.and(Err(server_error(self.body(&message)))),
                tag => {
                    let taken = take(tag, self.body(&message));
                    outcome = outcome.and(taken);
                }
            }
        }
    }

    /// Waits for the end of what was asked before, whatever it is, and of every request to stop it: one that came late
    /// would stop what is asked next.
    pub(super) async fn settle(&mut self) -> Result<()> {
        if self.ready {
            return Ok(());
        }
        while !self.ready {
            self.next().await?;
        }
        self.cancellations.settle().await;
        Ok(())
    }

    /// The next message, waiting for it. Notices and parameters are dealt with here.
    pub(super) async fn next(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// The next message that has already arrived whole.
    pub(super) fn buffered(&mut self) -> Result<Option<Message>> {
        loop {
            let arrived = self.input.get(self.start..self.end).unwrap_or_default();
            let Some((&tag, rest)) = arrived.split_first() else {
                return Ok(None);
            };
            let Some(length) = rest.first_chunk::<4>() else {
                return Ok(None);
            };
            let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or_default();
            if length < 4 {
                return Err(protocol("the length of a message"));
            }
            if arrived.len() <= length {
                return Ok(None);
            }
            let body = self.start + HEADER..self.start + 1 + length;
            self.start = body.end;
            match tag {
                b'N' | b'A' => {}
                b'S' => self.parameter(&body),
                b'K' => self.key = self.input.get(body).and_then(key),
                _ => {
                    // After an error nothing is left to be stopped, though the server has yet to say that it is ready.
                    self.busy &= !matches!(tag, b'Z' | b'E');
                    self.ready = tag == b'Z';
                    return Ok(Some(Message { tag, body }));
                }
            }
        }
    }

    /// The content of a message returned last.
    pub(super) fn body(&self, message: &Message) -> &[u8] {
        self.input.get(message.body.clone()).unwrap_or_default()
    }

    /// Reads from the socket once. Messages returned before are gone.
    pub(super) async fn fill(&mut self) -> Result<()> {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.make_room()?;
        let free = self.input.get_mut(self.end..).unwrap_or_default();
        let count = self.transport.read(free).await.map_err(lost)?;
        if count == 0 {
            return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
        self.end += count;
        Ok(())
    }

    /// Grows the buffer to hold the message that has begun; one that was grown shrinks when it is empty.
    fn make_room(&mut self) -> Result<()> {
        let begun = self
            .input
            .get(1..self.end)
            .and_then(<[u8]>::first_chunk::<4>);
        let length = begun.map_or(0, |length| i32::from_be_bytes(*length));
        let needed = usize::try_from(length).unwrap_or_default() + 1;
        if needed > MAX_MESSAGE {
            return Err(Error::new(ErrorKind::LimitExceeded, "a row is too long")
                .with("bytes", needed)
                .with("limit", MAX_MESSAGE)
                .help("leave the long column out, or read it in parts with a query"));
        }
        if needed > self.input.len() {
            self.input.resize(needed.next_multiple_of(READ_SIZE), 0);
        } else if self.end == 0 && self.input.len() > READ_SIZE {
            self.input = vec![0; READ_SIZE];
        }
        Ok(())
    }

    fn parameter(&mut self, body: &Range<usize>) {
        let text = self.input.get(body.clone()).unwrap_or_default();
        if let Some((name, rest)) = cut_text(text)
            && name == "server_version"
            && let Some((version, _)) = cut_text(rest)
        {
            self.version = version;
        }
    }
}

impl Session {
    /// Asks the server to stop what it is at. Whoever uses the session again waits for the end of that.
    pub(super) fn stop(&mut self) {
        if let (true, Some((process, secret))) = (self.busy, self.key) {
            self.busy = false;
            let cancellation = Cancellation {
                endpoint: Arc::clone(&self.endpoint),
                process,
                secret,
            };
            self.cancellations.request(cancellation.request());
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(super) fn unsendable(error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "a text with a zero byte, or a too long one, cannot be sent to the server",
    )
    .caused_by(error)
}

fn key(body: &[u8]) -> Option<(i32, i32)> {
    let (process, rest) = body.split_first_chunk::<4>()?;
    let secret = rest.first_chunk::<4>()?;
    Some((i32::from_be_bytes(*process), i32::from_be_bytes(*secret)))
}

fn cut_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((String::from_utf8_lossy(text).into_owned(), rest.get(1..)?))
}

fn text_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Vec::new();
    for _ in 0..i16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            row.push(None);
            continue;
        };
        let (value, after) = rest.split_at_checked(length)?;
        rest = after;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
    }
    Some(row)
}

fn described(body: &[u8]) -> Option<Vec<Described>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..i16::from_be_bytes(*count) {
        // Name, table oid (4), column number (2), type oid (4), type size (2), type modifier (4), format (2).
        let (name, after) = cut_text(rest)?;
        let (fixed, after) = after.split_first_chunk::<18>()?;
        rest = after;
        let type_oid = u32::from_be_bytes(*fixed.get(6..)?.first_chunk::<4>()?);
        let typmod = i32::from_be_bytes(*fixed.get(12..)?.first_chunk::<4>()?);
        columns.push(Described {
            name,
            type_oid,
            typmod,
        });
    }
    Some(columns)
}
