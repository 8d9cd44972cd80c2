//! `shared-namespace`: domains, and the namespaces they own.

use std::collections::BTreeMap;

use super::context::Context;
use super::documents::Doc;
use super::name::{BAD_NAME, name};
use super::shares;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Domain, TableRef};
use crate::read::At;
use crate::written::DomainSpec;

pub(crate) const SHARED_NAMESPACE: Code = Code {
    name: "shared-namespace",
    explain: "Two domains say that they own the same namespace. A namespace has one owner, so that everybody knows who answers \
              for its tables.\n\nGive each domain a namespace of its own, or make one domain of the two.",
};

/// A domain; `None` with a finding.
pub(super) fn domain(context: &Context<'_>, doc: &Doc<'_, DomainSpec>) -> Option<Domain> {
    let spec = &doc.spec;
    let namespace = namespace(context, spec);
    let name = name(context, &spec.name);
    let limits = spec.limits.as_ref();
    let runs = shares::runs(context, limits.and_then(|limits| limits.runs.as_ref()));
    let weight = shares::weight(context, limits.and_then(|limits| limits.weight.as_ref()));
    Some(Domain {
        name: name?,
        description: spec.description.clone(),
        owners: spec.owners.clone(),
        namespace: namespace?,
        runs,
        weight,
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

/// Every namespace has one owner. Two domains of one name are reported as that.
pub(super) fn shared_namespaces(context: &Context<'_>, domains: &[Doc<'_, DomainSpec>]) {
    let mut first: BTreeMap<&str, (&str, &At<String>)> = BTreeMap::new();
    for DomainSpec {
        name, namespace, ..
    } in domains.iter().map(|doc| &doc.spec)
    {
        let Some((owner, before)) = first.get(namespace.as_str()) else {
            first.insert(namespace.as_str(), (name.as_str(), namespace));
            continue;
        };
        if *owner == name.as_str() {
            continue;
        }
        let message = format!("two domains own the namespace `{}`", namespace.value);
        let finding = Diagnostic::error(&SHARED_NAMESPACE, namespace.span, message)
            .label(format!("`{}` owns it", name.value))
            .also(before.span, format!("`{owner}` owns it too"));
        context.report(finding.help("give one of them a namespace of its own"));
    }
}
