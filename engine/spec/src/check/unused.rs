//! `unused-step`, `unused-connection`: warnings about what has no effect.

use std::collections::BTreeSet;

use super::context::Context;
use super::documents::Written;
use super::pipeline::Checked;
use crate::diagnostic::{Code, Diagnostic};

pub(crate) const UNUSED_STEP: Code = Code {
    name: "unused-step",
    explain: "No step reads the rows of an extract or transform. It would run for nothing.",
};
pub(crate) const UNUSED_CONNECTION: Code = Code {
    name: "unused-connection",
    explain: "No extract and no load uses a connection.",
};

/// Steps whose rows nobody reads.
pub(super) fn steps(context: &Context<'_>, pipelines: &[Checked<'_>]) {
    for checked in pipelines
        .iter()
        .filter(|checked| checked.whole && checked.pipeline.is_some())
    {
        let edges = checked.edges.iter().filter(|edge| edge.why != "waits for");
        let read: BTreeSet<&str> = edges.map(|edge| edge.from.as_str()).collect();
        for step in &checked.spec.steps.value {
            let rows = step.extract.is_some() || step.transform.is_some();
            if rows && !read.contains(step.name.as_str()) {
                let message = format!("nothing reads the rows of step `{}`", step.name.value);
                let finding = Diagnostic::warning(&UNUSED_STEP, step.name.span, message);
                context.report(finding.help("add a `load` that reads it, or remove it"));
            }
        }
    }
}

/// Connections that nothing uses.
pub(super) fn connections(context: &Context<'_>, written: &Written<'_>) {
    if !written.refers_whole() {
        return;
    }
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for step in written
        .pipelines
        .iter()
        .flat_map(|doc| &doc.spec.steps.value)
    {
        used.extend(
            step.extract
                .as_ref()
                .map(|extract| extract.connection.as_str()),
        );
        used.extend(
            step.load
                .as_ref()
                .and_then(|load| load.connection.as_ref())
                .map(|name| name.as_str()),
        );
    }
    // A name that is not there was meant to be one that is.
    let known: BTreeSet<&str> = written
        .connections
        .iter()
        .map(|doc| doc.spec.name.as_str())
        .collect();
    if !used.is_subset(&known) {
        return;
    }
    for doc in &written.connections {
        let name = &doc.spec.name;
        if !used.contains(name.as_str()) {
            let message = format!("nothing uses connection `{}`", name.value);
            context.report(
                Diagnostic::warning(&UNUSED_CONNECTION, name.span, message)
                    .help("remove it, or use it"),
            );
        }
    }
}
