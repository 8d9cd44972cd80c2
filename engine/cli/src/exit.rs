//! How the process ends: exit codes, and the failures that lead to them.
//!
//! Knows nothing of how a failure looks on a screen (see `render::error`).

use std::process::ExitCode;

use connectors::{Error, ErrorKind};
use spec::Diagnostics;

/// What the codes mean, for `--help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0    it is done
  1    the run or the request failed
  2    the command line is wrong
  3    the specs have findings
  4    refused: the world is no longer the one the plan was made for, or another run is going on
  5    a check of the pipeline failed; nothing was committed
  130  interrupted; nothing that was not committed is visible";

/// The exit code of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Findings = 3,
    Moved = 4,
    CheckFailed = 5,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
pub(crate) enum Failure {
    /// The specs have findings, which were printed.
    Findings,
    /// What was asked for does not exist or does not go together.
    Usage {
        message: String,
        help: Option<String>,
    },
    /// The query on the command line has no meaning.
    Query(Diagnostics),
    /// What the world did, or what of the specs only shows when the world is asked.
    World(Error),
    /// Several things failed, and each was printed.
    Reported,
    /// Whoever read our output has gone: nobody is left to tell.
    Unread,
    /// The run was stopped from outside.
    Interrupted,
}

impl Failure {
    /// A mistake in the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            help: None,
        }
    }

    /// Says what to write instead.
    #[must_use]
    pub(crate) fn help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Usage { message, .. } => Self::Usage {
                message,
                help: Some(text.into()),
            },
            other => other,
        }
    }

    /// The code it ends with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Findings => Exit::Findings,
            Self::Usage { .. } | Self::Query(_) => Exit::Usage,
            Self::Reported => Exit::Failed,
            Self::Unread => Exit::Done,
            Self::Interrupted => Exit::Interrupted,
            Self::World(error) if run::findings(error).is_some() => Exit::Findings,
            Self::World(error) => match error.kind() {
                ErrorKind::Conflict => Exit::Moved,
                ErrorKind::CheckFailed => Exit::CheckFailed,
                ErrorKind::Cancelled => Exit::Interrupted,
                _ => Exit::Failed,
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::World(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_codes() {
        let exit = |kind| Failure::from(Error::new(kind, "")).exit();
        assert_eq!(exit(ErrorKind::Conflict), Exit::Moved);
        assert_eq!(exit(ErrorKind::CheckFailed), Exit::CheckFailed);
        assert_eq!(exit(ErrorKind::Cancelled), Exit::Interrupted);
        assert_eq!(exit(ErrorKind::Unavailable), Exit::Failed);
    }
}
