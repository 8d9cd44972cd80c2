//! What was found while reading, and what is cut out for the next round.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::error::{Kind, ReadError};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::yaml::{Key, Node, Value};

pub(crate) const UNKNOWN_FIELD: Code = Code {
    name: "unknown-field",
    explain: "A mapping has a key that the language does not know at this place.\n\n\
              Unknown keys are refused because a misspelled one would silently have no effect.",
};
pub(crate) const MISSING_FIELD: Code = Code {
    name: "missing-field",
    explain: "A mapping lacks a key that it must have.",
};
pub(crate) const WRONG_VALUE: Code = Code {
    name: "wrong-value",
    explain: "A value is not of the form that its key asks for: text in place of a number, a list in place of a mapping, \
              a word that is none of the choices.\n\n\
              YAML 1.2 rules: `yes` is text, `true` is a truth value, `0123` is text, `500_000` is a number.",
};
pub(crate) const SECRET_IN_CLEAR: Code = Code {
    name: "secret-in-clear",
    explain: "A secret stands in a spec. Specs are stored in version control and shown to people.\n\n\
              Write a reference: `{ env: NAME }` for an environment variable, `{ file: PATH }` for a file. \
              The value that stood there has been read by others already: change it.",
};

/// How a connector says that text stands where a reference belongs.
const CLEAR_TEXT: &str = "a secret must not stand in a spec";

/// What one document's reading has seen. Readers share it, and readers are copied: hence the cells.
#[derive(Default)]
pub(crate) struct Reading {
    found: RefCell<Vec<Diagnostic>>,
    fault: RefCell<Option<Fault>>,
    cut_out: RefCell<BTreeSet<u32>>,
    /// Unknown keys that look like this known one, with the mapping they are in.
    misspelled: RefCell<BTreeSet<(u32, String)>>,
    partial: Cell<bool>,
    /// The key of the mapping that is read, where it was not written.
    absent: Option<&'static str>,
}

/// The number of a node that was not written.
pub(crate) const ABSENT: u32 = u32::MAX;

/// An error on its way up.
struct Fault {
    /// What is said about it; `None` where it only follows from something that was said.
    finding: Option<Diagnostic>,
    /// The innermost entry or element around it, by its value's number.
    around: Option<u32>,
}

impl Reading {
    /// Reads what may be absent, and would stand behind this key.
    pub(crate) fn of(absent: Option<&'static str>) -> Self {
        Self {
            absent,
            ..Self::default()
        }
    }

    /// Notes an error where it was first seen. Outer readers see it again and add nothing.
    pub(crate) fn locate(&self, node: &Node, anchor: Span, error: &ReadError) {
        let mut fault = self.fault.borrow_mut();
        if fault.is_none() {
            *fault = Some(Fault {
                finding: self.describe(node, anchor, error),
                around: None,
            });
        }
    }

    fn describe(&self, node: &Node, anchor: Span, error: &ReadError) -> Option<Diagnostic> {
        let finding = match &error.kind {
            Kind::Missing(field) => {
                if self.misspelled.borrow().contains(&(node.id, field.clone()))
                    || self.was_cut(node, field)
                {
                    return None;
                }
                if let Some(key) = self.absent.filter(|_| node.id == ABSENT) {
                    let message = format!("`{key}` with `{field}` is missing");
                    let finding = Diagnostic::error(&MISSING_FIELD, anchor, message);
                    return Some(finding.help(format!("add `{key}: {{ {field}: … }}`")));
                }
                Diagnostic::error(&MISSING_FIELD, anchor, error.message.clone())
                    .label("in this mapping")
                    .help(format!("add `{field}: …`"))
            }
            Kind::UnknownField => Diagnostic::error(&UNKNOWN_FIELD, anchor, error.message.clone()),
            Kind::WrongValue if error.message.contains(CLEAR_TEXT) => {
                return Some(clear_secret(node.span));
            }
            // What a type misses in a mapping or list may be what was cut out of it.
            Kind::WrongValue if self.cut_inside(node) => return None,
            Kind::WrongValue => {
                let span = match node.value {
                    Value::Mapping(_) | Value::Sequence(_) | Value::Null => anchor,
                    _ => node.span,
                };
                Diagnostic::error(&WRONG_VALUE, span, error.message.clone())
            }
        };
        Some(with_help(finding, error))
    }

    fn was_cut(&self, node: &Node, field: &str) -> bool {
        node.get(field).is_some_and(|value| self.is_cut(value))
    }

    fn cut_inside(&self, node: &Node) -> bool {
        let cut = |inner: &Node| self.is_cut(inner) || self.cut_inside(inner);
        match &node.value {
            Value::Mapping(entries) => entries.iter().any(|(_, value)| cut(value)),
            Value::Sequence(items) => items.iter().any(cut),
            _ => false,
        }
    }

    /// Notes the entry or element around the error that is on its way up, if an inner one has not.
    pub(crate) fn surround(&self, node: &Node) {
        if let Some(fault) = self.fault.borrow_mut().as_mut() {
            fault.around.get_or_insert(node.id);
        }
    }

    /// An error that no reader saw.
    pub(crate) fn unseen(&self, anchor: Span, message: &str) {
        let mut fault = self.fault.borrow_mut();
        if fault.is_none() {
            let finding = Some(Diagnostic::error(&WRONG_VALUE, anchor, message));
            *fault = Some(Fault {
                finding,
                around: None,
            });
        }
    }

    /// A key that no field has.
    pub(crate) fn unknown_field(&self, mapping: &Node, key: &Key, fields: &[&str]) {
        self.partial.set(true);
        let error = ReadError::unknown("field", &key.text, fields);
        if let Some(near) = &error.suggestion {
            self.misspelled
                .borrow_mut()
                .insert((mapping.id, near.clone()));
        }
        let finding = Diagnostic::error(&UNKNOWN_FIELD, key.span, error.message.clone());
        let finding = with_help(finding, &error);
        let mut found = self.found.borrow_mut();
        if !found.contains(&finding) {
            found.push(finding);
        }
    }

    pub(crate) fn is_cut(&self, node: &Node) -> bool {
        self.cut_out.borrow().contains(&node.id)
    }

    /// Reports the error that came up and cuts out what is around it; whether reading again makes sense.
    pub(crate) fn cut(&self) -> bool {
        self.partial.set(true);
        let Some(fault) = self.fault.borrow_mut().take() else {
            return false;
        };
        self.found.borrow_mut().extend(fault.finding);
        fault
            .around
            .is_some_and(|id| self.cut_out.borrow_mut().insert(id))
    }

    pub(crate) fn whole(&self) -> bool {
        !self.partial.get()
    }

    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}

/// A secret that stands in a spec. The line is not shown.
pub(crate) fn clear_secret(span: Span) -> Diagnostic {
    Diagnostic::error(&SECRET_IN_CLEAR, span, CLEAR_TEXT)
        .help("write `{ env: NAME }` or `{ file: PATH }`, and change the secret: it has been seen")
        .hide_source()
}

fn with_help(finding: Diagnostic, error: &ReadError) -> Diagnostic {
    match (&error.suggestion, &error.help) {
        (Some(word), _) => finding.suggest(word),
        (None, Some(help)) => finding.help(help.as_str()),
        (None, None) => finding,
    }
}
