//! What is printed: answers on stdout, everything else on stderr, colours only where somebody looks.
//!
//! Knows nothing of what is printed (see `render`).

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use connectors::{Error, ErrorKind};

use crate::exit::Failure;

/// Prints an answer.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(unwritten)
}

/// Prints a remark beside the answer. One that cannot be printed is lost: there is no other place for it.
pub(crate) fn remark(text: &str) {
    let mut stderr = anstream::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// What it means that an answer could not be written.
pub(crate) fn unwritten(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::Unread;
    }
    Error::new(ErrorKind::Unavailable, "the answer could not be written")
        .caused_by(error)
        .into()
}

/// Whether stdout shows colours.
pub(crate) fn stdout_has_colour() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// Whether somebody watches stderr.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
