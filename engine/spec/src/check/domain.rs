//! Domains, and the tables they say exist.

use super::context::Context;
use super::documents::Doc;
use super::name::{BAD_NAME, name};
use crate::diagnostic::Diagnostic;
use crate::model::{Domain, TableRef};
use crate::written::DomainSpec;

/// A domain; `None` with a finding.
pub(super) fn domain(context: &Context<'_>, doc: &Doc<'_, DomainSpec>) -> Option<Domain> {
    let spec = &doc.spec;
    let namespace = namespace(context, spec);
    let name = name(context, &spec.name);
    Some(Domain {
        name: name?,
        description: spec.description.clone(),
        owners: spec.owners.clone(),
        namespace: namespace?,
    })
}

fn namespace(context: &Context<'_>, spec: &DomainSpec) -> Option<String> {
    // The namespace of a table is checked by the table's own rule.
    let probe: Result<TableRef, _> = format!("{}.t", spec.namespace.value).parse();
    match probe {
        Ok(table) if table.name == "t" && table.namespace == spec.namespace.value => {
            Some(table.namespace)
        }
        _ => {
            let message = format!("`{}` is no namespace", spec.namespace.value);
            let help =
                "a namespace starts with a letter or `_` and has letters, digits, `_` and `-`";
            context.report(Diagnostic::error(&BAD_NAME, spec.namespace.span, message).help(help));
            None
        }
    }
}
