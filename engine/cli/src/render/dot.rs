//! One plan in Graphviz' language: steps as boxes, what they read and write outside as cylinders.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use spec::model::{From, Target};
use spec::plan::{Action, Plan};

/// The plan as a graph of its own.
pub(crate) fn text(plan: &Plan) -> String {
    let mut outside = BTreeSet::new();
    let mut edges = String::new();
    let mut text = format!(
        "digraph {} {{\n  rankdir=LR; node [shape=box];\n",
        quoted(&plan.pipeline.to_string())
    );
    for step in &plan.steps {
        let name = quoted(step.name.as_str());
        let _ = writeln!(
            text,
            "  {name} [label={}];",
            quoted(&format!("{}\n{}", step.name, kind(&step.action)))
        );
        for input in &step.inputs {
            let _ = writeln!(edges, "  {} -> {name};", quoted(input.as_str()));
        }
        let (reads, writes) = places(&step.action);
        for place in reads {
            let _ = writeln!(edges, "  {} -> {name};", quoted(&place));
            outside.insert(place);
        }
        for place in writes {
            let _ = writeln!(edges, "  {name} -> {};", quoted(&place));
            outside.insert(place);
        }
    }
    for place in outside {
        let _ = writeln!(text, "  {} [shape=cylinder];", quoted(&place));
    }
    text + &edges + "}\n"
}

const fn kind(action: &Action) -> &'static str {
    match action {
        Action::Extract(_) => "extract",
        Action::Transform(_) => "transform",
        Action::Check(_) => "check",
        Action::Load(_) => "load",
    }
}

/// What a step reads and writes that is not a step. Names with `:` or `.` in them cannot be mistaken for steps.
fn places(action: &Action) -> (Vec<String>, Vec<String>) {
    match action {
        Action::Extract(extract) => {
            let from = match &extract.from {
                From::Table(table) => table.as_str(),
                From::Query(_) => "a query",
            };
            (vec![format!("{}: {from}", extract.connection)], Vec::new())
        }
        Action::Transform(transform) => (
            transform.tables.keys().map(ToString::to_string).collect(),
            Vec::new(),
        ),
        Action::Check(check) => (
            Vec::new(),
            check.quarantine.iter().map(ToString::to_string).collect(),
        ),
        Action::Load(load) => {
            let target = match &load.target {
                Target::Lake(table) => table.to_string(),
                Target::Connection { connection, table } => format!("{connection}: {table}"),
            };
            (Vec::new(), vec![target])
        }
    }
}

fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}
