//! What every rule may ask, and where it puts what it found.

use std::cell::RefCell;

use super::documents::Unread;
use crate::connectors::Connectors;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;

/// What every rule may ask, and where it puts what it found.
pub(super) struct Context<'a> {
    pub(super) sources: &'a Sources,
    pub(super) connectors: &'a dyn Connectors,
    /// The kinds of which a spec could not be read: then one that seems to be missing may be it.
    pub(super) unread: Unread,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        sources: &'a Sources,
        connectors: &'a dyn Connectors,
        unread: Unread,
        found: Vec<Diagnostic>,
    ) -> Self {
        Self {
            sources,
            connectors,
            unread,
            found: RefCell::new(found),
        }
    }

    pub(super) fn report(&self, finding: Diagnostic) {
        self.found.borrow_mut().push(finding);
    }

    pub(super) fn report_all(&self, findings: Vec<Diagnostic>) {
        self.found.borrow_mut().extend(findings);
    }

    pub(super) fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}
