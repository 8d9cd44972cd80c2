//! Turns errors of the Iceberg library and of the object store into the engine's error.

use std::error::Error as StdError;

use connectors::{Error, ErrorKind};

/// Gives an error of the Iceberg library our kind, and says what was being done.
pub(super) fn failed(doing: impl Into<String>) -> impl FnOnce(iceberg::Error) -> Error {
    move |error| Error::new(kind(&error), doing).caused_by(error)
}

/// The kind of an error of the Iceberg library.
fn kind(error: &iceberg::Error) -> ErrorKind {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(store) = inner.downcast_ref::<object_store::Error>() {
            return store_kind(store);
        }
        cause = inner.source();
    }
    match error.kind() {
        iceberg::ErrorKind::TableNotFound | iceberg::ErrorKind::NamespaceNotFound => {
            ErrorKind::NotFound
        }
        iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
        iceberg::ErrorKind::CatalogCommitConflicts | iceberg::ErrorKind::TableAlreadyExists => {
            ErrorKind::Conflict
        }
        iceberg::ErrorKind::DataInvalid => ErrorKind::InvalidData,
        _ => ErrorKind::Internal,
    }
}

/// The kind of an error of the object store.
fn store_kind(error: &object_store::Error) -> ErrorKind {
    match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        object_store::Error::InvalidPath { .. } => ErrorKind::InvalidInput,
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            ErrorKind::Unsupported
        }
        object_store::Error::Generic { source, .. } if is_full(source.as_ref()) => {
            ErrorKind::LimitExceeded
        }
        _ => ErrorKind::Unavailable,
    }
}

/// Whether a disk has no room left, which does not pass by itself.
fn is_full(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |cause: &&(dyn StdError + 'static)| {
        (*cause).source()
    })
    .any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
    })
}

/// Gives an error of the object store our kind, and says what was being done.
pub(super) fn store_failed(doing: impl Into<String>) -> impl FnOnce(object_store::Error) -> Error {
    move |error| Error::new(store_kind(&error), doing).caused_by(error)
}
