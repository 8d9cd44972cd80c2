//! `unknown-table`, `two-writers`: tables of the lake are written by one load, and read only where somebody writes them.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::documents::{Doc, Written};
use super::name::BAD_NAME;
use super::pipeline::{Checked, TableUse};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::TableRef;
use crate::read::nearest;
use crate::written::DomainSpec;

pub(crate) const UNKNOWN_TABLE: Code = Code {
    name: "unknown-table",
    explain: "A transform reads a table of the lake that no pipeline of this project loads.\n\n\
              If it is written by somebody else, say so: list it under `external_tables:` of a domain. \
              A step of the same pipeline is read by its name alone, without a dot.",
};
pub(crate) const TWO_WRITERS: Code = Code {
    name: "two-writers",
    explain: "Two steps write the same table. Their commits would undo or double one another's rows, and nobody could say \
              where a row came from.\n\nWrite two tables and join them with `UNION ALL`, or make one step of the two.",
};

/// Every table has one writer.
pub(super) fn two_writers(context: &Context<'_>, pipelines: &[Checked<'_>]) {
    let mut first: BTreeMap<&TableRef, (&str, &TableUse)> = BTreeMap::new();
    let writes = pipelines.iter().flat_map(|checked| {
        checked
            .writes
            .iter()
            .map(|used| (checked.name.as_str(), used))
    });
    for (pipeline, used) in writes {
        if let Some((other, before)) = first.get(&used.table) {
            let message = format!("table `{}` is written by two steps", used.table);
            let finding = Diagnostic::error(&TWO_WRITERS, used.span, message);
            let finding = finding.label(format!("`{pipeline}/{}` writes it", used.step));
            context.report(
                finding
                    .also(
                        before.span,
                        format!("`{other}/{}` writes it too", before.step),
                    )
                    .help("write two tables"),
            );
        } else {
            first.insert(&used.table, (pipeline, used));
        }
    }
}

/// Every table that is read is there.
pub(super) fn unknown_tables(
    context: &Context<'_>,
    pipelines: &[Checked<'_>],
    written: &Written<'_>,
) {
    let mut known: BTreeSet<String> = external(context, &written.domains);
    known.extend(
        pipelines
            .iter()
            .flat_map(|checked| &checked.writes)
            .map(|used| used.table.to_string()),
    );
    if !written.tables_whole() {
        // What could not be read may be the load that is missed.
        return;
    }
    if pipelines.iter().any(|checked| checked.pipeline.is_none()) {
        // So may a load that is wrong otherwise.
        known.extend(pipelines.iter().flat_map(|checked| loads(checked)));
    }
    for used in pipelines.iter().flat_map(|checked| &checked.reads) {
        let table = used.table.to_string();
        if known.contains(&table) {
            continue;
        }
        let finding = Diagnostic::error(
            &UNKNOWN_TABLE,
            used.span,
            format!("no pipeline loads the table `{table}`"),
        );
        context.report(match nearest(&table, known.iter().map(String::as_str)) {
            Some(near) => finding.suggest(near),
            None => finding
                .help("list it under `external_tables:` of a domain if somebody else writes it"),
        });
    }
}

fn loads<'a>(checked: &'a Checked<'_>) -> impl Iterator<Item = String> + 'a {
    checked
        .spec
        .steps
        .iter()
        .filter_map(|step| step.load.as_ref())
        .map(|load| load.table.value.clone())
}

fn external(context: &Context<'_>, domains: &[Doc<'_, DomainSpec>]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for written in domains.iter().flat_map(|doc| &doc.spec.external_tables) {
        match written.parse::<TableRef>() {
            Ok(table) => {
                known.insert(table.to_string());
            }
            Err(error) => {
                let message = format!("`{}` is no table of the lake: {error}", written.value);
                context.report(
                    Diagnostic::error(&BAD_NAME, written.span, message)
                        .help("write `namespace.table`"),
                );
            }
        }
    }
    known
}
