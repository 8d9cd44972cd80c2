//! What an object store says went wrong, as our errors.
//!
//! Knows the errors of `object_store`; knows nothing of formats.

use crate::error::{Error, ErrorKind};

/// Turns a store's error about a path into ours, keeping it as the cause.
pub(super) fn of_store(error: object_store::Error, path: impl std::fmt::Display) -> Error {
    use object_store::Error as Store;
    let (kind, message) = match &error {
        Store::NotFound { .. } => (ErrorKind::NotFound, format!("there is no file `{path}`")),
        Store::PermissionDenied { .. } => (
            ErrorKind::PermissionDenied,
            format!("access to `{path}` was refused"),
        ),
        Store::Unauthenticated { .. } => (
            ErrorKind::PermissionDenied,
            format!("the credentials were refused at `{path}`"),
        ),
        Store::Precondition { .. } => return changed(path).caused_by(error),
        Store::AlreadyExists { .. } => (ErrorKind::Conflict, format!("`{path}` exists already")),
        Store::InvalidPath { .. } => (
            ErrorKind::InvalidInput,
            format!("`{path}` is not a usable path"),
        ),
        Store::NotSupported { .. } | Store::NotImplemented { .. } => (
            ErrorKind::Unsupported,
            format!("the store cannot do this with `{path}`"),
        ),
        Store::JoinError { .. } | Store::NotModified { .. } => (
            ErrorKind::Internal,
            format!("a request for `{path}` ended in an unexpected way"),
        ),
        Store::Generic { source, .. } if listed_with(source.as_ref()) == Some(401) => (
            ErrorKind::PermissionDenied,
            format!("the credentials were refused at `{path}`"),
        ),
        Store::Generic { source, .. } if listed_with(source.as_ref()) == Some(403) => (
            ErrorKind::PermissionDenied,
            format!("access to `{path}` was refused"),
        ),
        Store::Generic { source, .. } if listed_with(source.as_ref()) == Some(404) => {
            (ErrorKind::NotFound, format!("there is no `{path}`"))
        }
        _ => (
            ErrorKind::Unavailable,
            format!("the store did not answer for `{path}`"),
        ),
    };
    Error::new(kind, message).caused_by(error)
}

/// The HTTP status of a listing that failed. The store tells it in words only: its error types for that are private.
fn listed_with(source: &(dyn std::error::Error + 'static)) -> Option<u16> {
    let text = source.to_string();
    let (_, status) = text.split_once("status code: ")?;
    status.get(..3)?.parse().ok()
}

/// The content of a file is no longer what the read was opened on.
pub(super) fn changed(path: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("the file `{path}` changed while it was read"),
    )
    .help("write a file under another name and rename it when it is complete")
}

/// The content of a file does not fit.
pub(super) fn bad_data(message: impl Into<String>, file: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, message).with("file", file)
}
