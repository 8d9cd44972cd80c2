//! Document → typed specs: a `serde` deserializer over the tree that loses no place and reports everything at once.
//!
//! Unknown fields are reported and skipped. A value that does not fit is reported, cut out, and reading starts again,
//! so that one mistake does not hide the next. Knows nothing of what specs mean.

mod access;
mod error;
mod fault;
mod node;
mod place;

pub use error::nearest;
pub(crate) use fault::{
    ABSENT, MISSING_FIELD, SECRET_IN_CLEAR, UNKNOWN_FIELD, WRONG_VALUE, clear_secret,
};
pub(crate) use place::{At, Named, Raw};

use serde::Deserialize;

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::yaml::Node;
use fault::Reading;
use node::Reader;

/// How often a document is read again with one more value cut out.
const MAX_ROUNDS: usize = 50;

/// A spec that was read, and whether all of it was.
#[derive(Debug)]
pub(crate) struct Reads<T> {
    pub(crate) spec: T,
    /// Whether nothing was skipped or cut out.
    pub(crate) whole: bool,
}

/// Reads a spec from a document. `None` where what is wrong is the document as a whole.
pub(crate) fn read<'de, T: Deserialize<'de>>(
    node: &'de Node,
    anchor: Span,
    found: &mut Vec<Diagnostic>,
) -> Option<Reads<T>> {
    let reading = Reading::default();
    let mut spec = None;
    for _ in 0..MAX_ROUNDS {
        if let Ok(read) = T::deserialize(Reader::new(node, anchor, &reading)) {
            spec = Some(read);
            break;
        }
        if !reading.cut() {
            break;
        }
    }
    let whole = reading.whole();
    found.extend(reading.into_found());
    spec.map(|spec| Reads { spec, whole })
}

/// Lets somebody else's types read a part of a document: a connector its options. A part that was not written is a node
/// numbered [`ABSENT`]; `absent` is then its key.
pub(crate) fn read_with(
    node: &Node,
    absent: Option<&'static str>,
    anchor: Span,
    found: &mut Vec<Diagnostic>,
    check: &dyn Fn(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>,
) {
    let reading = Reading::of(absent);
    for _ in 0..MAX_ROUNDS {
        let mut reader =
            <dyn erased_serde::Deserializer<'_>>::erase(Reader::new(node, anchor, &reading));
        let Err(error) = check(&mut reader) else {
            break;
        };
        // Raised by the types after the last value was read, and so not seen by the reader.
        reading.unseen(anchor, &error.to_string());
        if !reading.cut() {
            break;
        }
    }
    found.extend(reading.into_found());
}
