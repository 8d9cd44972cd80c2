//! What the world did: the one error type of connectors and of the engine that runs them.
//!
//! Knows nothing of specs: what a user *wrote* wrong is a diagnostic with a place, never one of these.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that touches the world.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong, for code that must choose what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A table, file, bucket, column or row that was named is not there.
    NotFound,
    /// The other side knows us and says no, or does not know us.
    PermissionDenied,
    /// The connector cannot do what was asked, and never will with these options.
    Unsupported,
    /// An option or request that can be seen to be wrong without asking anybody.
    InvalidInput,
    /// Data that does not fit its declared type or form.
    InvalidData,
    /// The other side cannot be reached or broke off.
    Unavailable,
    /// A limit on time was reached.
    Timeout,
    /// Somebody else changed the same thing first; nothing of ours was made visible.
    Conflict,
    /// A commit whose reply was lost: it may have happened. Look before trying again.
    CommitUnknown,
    /// A limit on memory, size or count was reached.
    LimitExceeded,
    /// A check of the user's own failed.
    CheckFailed,
    /// The run was asked to stop.
    Cancelled,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// The word used in logs and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::PermissionDenied => "permission-denied",
            Self::Unsupported => "unsupported",
            Self::InvalidInput => "invalid-input",
            Self::InvalidData => "invalid-data",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::CommitUnknown => "commit-unknown",
            Self::LimitExceeded => "limit-exceeded",
            Self::CheckFailed => "check-failed",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    const fn passes(self) -> bool {
        matches!(self, Self::Unavailable | Self::Timeout | Self::Conflict)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of the world: kind, message, context, cause, and whether trying again helps.
///
/// Messages are lower case without a full stop, names in backticks. Secrets never enter one.
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    retry: bool,
}

impl Error {
    /// An error of this kind; whether a retry helps follows from the kind until [`Error::retry`] says otherwise.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            context: Vec::new(),
            help: None,
            source: None,
            retry: kind.passes(),
        }
    }

    /// Adds what was being worked on: `("table", "public.orders")`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.context.push((key, value.to_string()));
        self
    }

    /// Says what the reader can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Keeps the cause, whole.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says whether trying the same again can help.
    #[must_use]
    pub const fn retry(mut self, retry: bool) -> Self {
        self.retry = retry;
        self
    }

    /// The kind.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message alone, without context and cause.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was being worked on, outermost last.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.context
    }

    /// What the reader can do about it, where we know.
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Whether trying the same again can help.
    pub const fn is_retryable(&self) -> bool {
        self.retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (i, (key, value)) in self.context.iter().enumerate() {
            let lead = if i == 0 { " (" } else { ", " };
            write!(f, "{lead}{key}: {value}")?;
        }
        if !self.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.kind)?;
        let mut cause: Option<&(dyn StdError + 'static)> = self.source();
        while let Some(error) = cause {
            write!(f, "\n  caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::new(
            ErrorKind::InvalidData,
            "data could not be turned into columns",
        )
        .caused_by(error)
    }
}
