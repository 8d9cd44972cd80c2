//! `cycle`: nothing waits for itself.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::pipeline::Checked;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

pub(crate) const CYCLE: Code = Code {
    name: "cycle",
    explain: "Steps or pipelines wait for one another in a circle, so that none could ever start.\n\n\
              Each place that makes one wait for the next is shown: remove one of them. A pipeline may read the table that it \
              loads itself: it then reads what an earlier run left there.",
};

/// One thing that waits for another, and where that is written.
struct Wait {
    /// What comes first.
    from: String,
    /// What waits.
    to: String,
    span: Span,
    text: String,
}

/// Steps, over all pipelines.
pub(super) fn steps(context: &Context<'_>, pipelines: &[Checked<'_>]) {
    let mut waits = Vec::new();
    let mut writers = BTreeMap::new();
    for checked in pipelines {
        for used in &checked.writes {
            writers.insert(&used.table, (checked.name.as_str(), used.step.as_str()));
        }
        if has_duplicates(checked) {
            continue;
        }
        for edge in &checked.edges {
            waits.push(Wait {
                from: format!("{}/{}", checked.name, edge.from),
                to: format!("{}/{}", checked.name, edge.to),
                span: edge.span,
                text: format!("`{}` {} `{}`", edge.to, edge.why, edge.from),
            });
        }
    }
    for checked in pipelines {
        for used in &checked.reads {
            let Some((pipeline, step)) = writers
                .get(&used.table)
                .filter(|(name, _)| *name != checked.name)
            else {
                continue;
            };
            waits.push(Wait {
                from: format!("{pipeline}/{step}"),
                to: format!("{}/{}", checked.name, used.step),
                span: used.span,
                text: format!("`{}` reads what `{pipeline}/{step}` loads", used.step),
            });
        }
    }
    report(context, "steps", waits);
}

/// Whether a name could mean two steps: then nobody can say what waits for what.
fn has_duplicates(checked: &Checked<'_>) -> bool {
    let names: BTreeSet<&str> = checked
        .spec
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    names.len() < checked.spec.steps.len()
}

/// Pipelines that start after one another.
pub(super) fn pipelines(context: &Context<'_>, pipelines: &[Checked<'_>]) {
    let mut waits = Vec::new();
    for checked in pipelines {
        for after in checked
            .spec
            .schedule
            .iter()
            .flat_map(|schedule| &schedule.after)
        {
            waits.push(Wait {
                from: after.value.clone(),
                to: checked.name.clone(),
                span: after.span,
                text: format!("`{}` starts after `{}`", checked.name, after.value),
            });
        }
    }
    report(context, "pipelines", waits);
}

fn report(context: &Context<'_>, what: &str, mut waits: Vec<Wait>) {
    loop {
        drop_free(&mut waits);
        let cycle = find(&waits);
        let Some((first, rest)) = cycle.split_first() else {
            return;
        };
        let finding = Diagnostic::error(
            &CYCLE,
            first.span,
            format!("these {what} wait for one another in a circle"),
        );
        let mut finding = finding.label(first.text.as_str());
        for wait in rest {
            finding = finding.also(wait.span, wait.text.as_str());
        }
        let reported: BTreeSet<String> = cycle.iter().map(|wait| wait.to.clone()).collect();
        context.report(finding.help("remove one of them"));
        waits.retain(|wait| !reported.contains(&wait.to));
    }
}

/// Drops, until nothing changes, waits on things that wait for nothing.
fn drop_free(waits: &mut Vec<Wait>) {
    loop {
        let before = waits.len();
        let waiting: BTreeSet<String> = waits.iter().map(|wait| wait.to.clone()).collect();
        waits.retain(|wait| waiting.contains(&wait.from));
        if waits.len() == before {
            return;
        }
    }
}

/// A circle: everything left waits for something left, so that going backwards comes back.
fn find(waits: &[Wait]) -> Vec<&Wait> {
    let mut back: BTreeMap<&str, &Wait> = BTreeMap::new();
    for wait in waits.iter().rev() {
        back.insert(&wait.to, wait);
    }
    let Some(start) = waits.first() else {
        return Vec::new();
    };
    let mut path: Vec<&Wait> = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut at = start.to.as_str();
    while let Some(wait) = back.get(at) {
        if let Some(from) = seen.get(at) {
            return path.split_off(*from);
        }
        seen.insert(at, path.len());
        path.push(wait);
        at = &wait.from;
    }
    Vec::new()
}
