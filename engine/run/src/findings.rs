//! What a user wrote wrong, found while looking at the world, on its way out as the cause of an error.

use std::fmt;

use connectors::{Error, ErrorKind};
use spec::{Diagnostics, SqlFault, SqlOf, Texts};

/// Findings as the cause of an error.
#[derive(Debug)]
struct Findings(Diagnostics);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.render(false).trim_end())
    }
}

impl std::error::Error for Findings {}

/// The error of texts that have no meaning.
pub(crate) fn error_of(texts: &Texts, faults: &[(SqlOf, SqlFault)]) -> Error {
    let message = match faults {
        [(SqlOf::Query, _), ..] => "the query has no meaning",
        _ => "the specs have findings",
    };
    let findings = Findings(texts.findings(faults));
    Error::new(ErrorKind::InvalidInput, message).caused_by(findings)
}

/// What a user wrote wrong, where that is what an error is about.
pub fn findings(error: &Error) -> Option<&Diagnostics> {
    let source = std::error::Error::source(error)?;
    source
        .downcast_ref::<Findings>()
        .map(|findings| &findings.0)
}
