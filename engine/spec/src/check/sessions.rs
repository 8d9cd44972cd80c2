//! `too-few-sessions`: what a pipeline holds of a connection at once, and what it may hold.

use std::collections::BTreeMap;

use super::step::Steps;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::At;

pub(crate) const TOO_FEW_SESSIONS: Code = Code {
    name: "too-few-sessions",
    explain: "A load to a connection holds a session from its first row to its commit, and reading from a database holds one more. \
              With fewer `limits: { sessions }` than that, a run would wait for itself.\n\n\
              Allow more sessions, or divide the loads among several pipelines.",
};

/// Every connection allows the sessions that a run holds at once.
pub(super) fn enough(steps: &Steps<'_>) {
    let mut loads: BTreeMap<&str, Vec<&At<String>>> = BTreeMap::new();
    let mut read: BTreeMap<&str, &At<String>> = BTreeMap::new();
    for step in steps.written() {
        if let Some(to) = step.load.as_ref().and_then(|load| load.connection.as_ref()) {
            loads.entry(to.as_str()).or_default().push(to);
        }
        if let Some(extract) = &step.extract {
            read.entry(extract.connection.as_str())
                .or_insert(&extract.connection);
        }
    }
    for (name, loads) in loads {
        let Some(connection) = steps.names.connections.get(name) else {
            continue;
        };
        let limits = connection.limits.as_ref();
        let Some(allowed) = limits.and_then(|limits| limits.sessions.as_ref()) else {
            continue;
        };
        let capability = steps.context.connectors.capability(&connection.connector);
        let source = capability.and_then(|capability| capability.source);
        let read = read
            .get(name)
            .filter(|_| source.is_some_and(|source| source.sessions));
        let needed = loads.len() + usize::from(read.is_some());
        let Some(last) = loads.last() else {
            continue;
        };
        // None at all is reported where it is written.
        if allowed.value == 0 || needed <= allowed.value {
            continue;
        }
        let message = format!("a run would hold {needed} sessions of `{name}` at once");
        let mut finding = Diagnostic::error(&TOO_FEW_SESSIONS, last.span, message).also(
            allowed.span,
            format!("no more than {} are allowed", allowed.value),
        );
        for load in loads.iter().rev().skip(1) {
            finding = finding.also(load.span, "a load holds one until its commit");
        }
        if let Some(read) = read {
            finding = finding.also(read.span, "reading holds one");
        }
        steps.context.report(finding.help(format!(
            "write `sessions: {needed}`, or divide the steps among several pipelines"
        )));
    }
}
