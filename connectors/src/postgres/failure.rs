//! What the server says went wrong, as an [`Error`].
//!
//! Knows SQLSTATE; knows nothing of what was asked.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// The SQLSTATE of a server that takes no more sessions.
const FULL: &str = "53300";

/// An `ErrorResponse` of the server.
#[derive(Debug, Default)]
struct ServerError {
    state: String,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ServerError {}

/// Reads the body of an `ErrorResponse`: fields of one type byte and a zero-terminated text, ended by a zero.
pub(super) fn server_error(body: &[u8]) -> Error {
    let mut error = ServerError::default();
    for field in body.split(|byte| *byte == 0) {
        let Some((kind, text)) = field.split_first() else {
            continue;
        };
        let text = String::from_utf8_lossy(text).into_owned();
        match kind {
            b'C' => error.state = text,
            b'M' => error.message = text,
            b'D' => error.detail = Some(text),
            b'H' => error.hint = Some(text),
            _ => {}
        }
    }
    let (kind, retry) = kind_of(&error.state);
    let shown = Error::new(kind, format!("the server says: {error}"))
        .with("sqlstate", &error.state)
        .retry(retry);
    match error.hint.clone() {
        Some(hint) => shown.help(hint),
        None => shown,
    }
    .caused_by(error)
}

/// Whether the server has no session free, for this user or for anybody.
pub(super) fn is_full(error: &Error) -> bool {
    let mut context = error.context().iter();
    context.any(|(key, value)| *key == "sqlstate" && value == FULL)
}

/// The kind of a SQLSTATE, and whether trying again can help.
fn kind_of(state: &str) -> (ErrorKind, bool) {
    match state {
        "42501" => (ErrorKind::PermissionDenied, false),
        "42P01" | "42703" | "3D000" | "3F000" | "42883" | "42704" => (ErrorKind::NotFound, false),
        "57014" | "55P03" | "25P03" => (ErrorKind::Timeout, true),
        "57P01" | "57P02" | "57P03" | FULL => (ErrorKind::Unavailable, true),
        "40001" | "40P01" | "55006" | "42P07" => (ErrorKind::Conflict, true),
        _ => match state.get(..2) {
            Some("08") => (ErrorKind::Unavailable, true),
            Some("58" | "XX") => (ErrorKind::Unavailable, false),
            Some("28") => (ErrorKind::PermissionDenied, false),
            Some("53" | "54") => (ErrorKind::LimitExceeded, false),
            Some("0A") => (ErrorKind::Unsupported, false),
            Some("22" | "23") => (ErrorKind::InvalidData, false),
            _ => (ErrorKind::InvalidInput, false),
        },
    }
}

/// The connection broke off, or could not be made.
pub(super) fn lost(error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the connection to the server was lost",
    )
    .caused_by(error)
}

/// The server sent something that the protocol does not allow here.
pub(super) fn protocol(what: &'static str) -> Error {
    Error::new(
        ErrorKind::Internal,
        "the server sent something that is not understood",
    )
    .with("in", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_hint_are_kept() {
        let error = server_error(b"SERROR\0C42P01\0Mrelation \"x\" does not exist\0Hlook\0\0");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.context(), [("sqlstate", "42P01".to_owned())]);
        assert_eq!(error.help_text(), Some("look"));
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_server_going_down_is_worth_another_try() {
        assert!(server_error(b"C57P01\0Mbye\0\0").is_retryable());
    }
}
