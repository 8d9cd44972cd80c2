//! DataFusion's errors as ours.

use connectors::{Error, ErrorKind};
use datafusion::error::DataFusionError;

use super::{fault, value};

/// Keeps our own error where one went through DataFusion, and names the kind of any other.
pub(crate) fn from_datafusion(error: DataFusionError) -> Error {
    let error = match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => return *ours,
            Err(inner) => DataFusionError::External(inner),
        },
        DataFusionError::Context(_, inner) => return from_datafusion(*inner),
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => return from_datafusion(inner),
            Err(shared) => DataFusionError::Shared(shared),
        },
        DataFusionError::ArrowError(inner, trace) => match *inner {
            arrow::error::ArrowError::ExternalError(inner) => {
                match inner.downcast::<DataFusionError>() {
                    Ok(inner) => return from_datafusion(*inner),
                    Err(inner) => DataFusionError::External(inner),
                }
            }
            other => DataFusionError::ArrowError(Box::new(other), trace),
        },
        other => other,
    };
    if let Some(refused) = fault::refused(fault::read(&error, false)) {
        return refused;
    }
    if let Some(refused) = value::refused(&error) {
        return refused;
    }
    let (kind, message) = match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => (
            ErrorKind::LimitExceeded,
            "the query needs more memory than it may have and cannot spill",
        ),
        _ => (ErrorKind::InvalidData, "the query failed"),
    };
    let help = (kind == ErrorKind::LimitExceeded).then_some("give it more with `--memory`");
    let mut ours = Error::new(kind, message).caused_by(error);
    if let Some(help) = help {
        ours = ours.help(help);
    }
    ours
}
