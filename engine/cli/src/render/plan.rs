//! A plan for people: the steps in order, what each reads, and what each does to its table.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use run::lake::audit_branch;
use spec::model::{
    Dedupe, Deletes, From, LoadMode, Merge, MergeWrite, Nulls, Otherwise, Rule, Target,
};
use spec::plan::{
    Action, Change, Column, Difference, Layout, Plan, PlannedCheck, PlannedExtract, PlannedLoad,
    PlannedStep, PlannedTransform, PlannedWindow, WindowEdge,
};

use super::amount::{bytes, counted};
use super::style::{BAD, CARE, FAINT, GOOD, NOTE, STRONG, paint};

/// How wide the names of facts are.
const LABEL: usize = 11;
/// The most columns that are listed of rows that are only passed on.
const LISTED: usize = 12;
/// The most characters of a query that are shown in its one line.
const QUERY: usize = 80;

/// The whole plan, with a summary at its end.
pub(crate) fn text(plan: &Plan) -> String {
    let steps = counted(plan.steps.len() as u64, "step", "steps");
    let mut text = format!(
        "{}  {}\n",
        paint(STRONG, format!("plan of {}", plan.pipeline)),
        paint(FAINT, format!("{steps}, fingerprint {}", plan.fingerprint)),
    );
    for (i, step) in plan.steps.iter().enumerate() {
        let _ = write!(text, "\n{:>3}  {}", i + 1, block(step));
    }
    let _ = writeln!(text, "\n{}", summary(plan));
    text
}

fn block(step: &PlannedStep) -> String {
    let (kind, facts) = match &step.action {
        Action::Extract(extract) => ("extract", of_extract(step, extract)),
        Action::Transform(transform) => ("transform", of_transform(step, transform)),
        Action::Check(check) => ("check", of_check(step, check)),
        Action::Load(load) => ("load", of_load(step, load)),
    };
    let mut text = format!("{}  {}\n", paint(STRONG, &step.name), paint(NOTE, kind));
    for (label, value) in facts {
        let _ = writeln!(
            text,
            "       {}  {value}",
            paint(FAINT, format!("{label:<LABEL$}"))
        );
    }
    text
}

type Facts = Vec<(&'static str, String)>;

fn of_extract(step: &PlannedStep, extract: &PlannedExtract) -> Facts {
    let from = match &extract.from {
        From::Table(table) => table.clone(),
        From::Query(query) => one_line(query),
    };
    let mut facts = vec![("from", format!("{from}  in {}", extract.connection))];
    facts.push((
        "rows",
        extract
            .window
            .as_ref()
            .map_or_else(|| "all".to_owned(), of_window),
    ));
    if let Some(window) = &extract.window {
        facts.push(("edge", of_edge(window)));
    }
    if !extract.how.is_empty() {
        facts.push(("read", extract.how.clone()));
    }
    facts.extend(columns(&step.columns));
    facts
}

fn of_window(window: &PlannedWindow) -> String {
    let Some(column) = &window.column else {
        return match (&window.last, &window.until) {
            (None, _) => "all files, none was read before".to_owned(),
            (Some(last), _) => format!(
                "files that are new or changed; {} read before",
                watermark(last)
            ),
        };
    };
    let above = if window.edge == WindowEdge::Exclusive {
        ">"
    } else {
        ">="
    };
    let bounds = [
        window
            .after
            .as_ref()
            .map(|after| format!("{column} {above} {}", watermark(after))),
        window
            .until
            .as_ref()
            .map(|until| format!("{column} <= {}", watermark(until))),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    match (bounds.is_empty(), window.last.is_some()) {
        (true, _) => "none: the source is empty".to_owned(),
        (false, true) => bounds.join(" and "),
        (false, false) => format!("{}, the first read", bounds.join(" and ")),
    }
}

fn of_edge(window: &PlannedWindow) -> String {
    let edge = match &window.edge {
        WindowEdge::Exclusive => {
            "the watermark is unique: what was read is not read again".to_owned()
        }
        WindowEdge::Inclusive { key } => format!(
            "rows at the edge are read again and known by {}",
            key.join(", ")
        ),
        WindowEdge::Files => "files are known by name and etag".to_owned(),
    };
    match (window.nulls, &window.column) {
        (Nulls::Skip, Some(column)) => format!("{edge}; rows without {column} are left out"),
        (Nulls::Read, Some(column)) => format!("{edge}; rows without {column} are read every time"),
        _ => edge,
    }
}

/// A watermark in its connector's JSON form, for people: its innermost value, or how many files.
fn watermark(value: &serde_json::Value) -> String {
    if let Ok(known) = serde_json::from_value::<connectors::Watermark>(value.clone()) {
        return known.to_string();
    }
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn of_transform(step: &PlannedStep, transform: &PlannedTransform) -> Facts {
    let mut facts = Vec::new();
    if !step.inputs.is_empty() {
        facts.push(("reads", list(&step.inputs)));
    }
    for (table, snapshot) in &transform.tables {
        let at = snapshot.map_or_else(
            || "as this run finds it".to_owned(),
            |id| format!("snapshot {id}"),
        );
        facts.push(("lake table", format!("{table}  {}", paint(FAINT, at))));
    }
    facts.push(("query", one_line(&transform.sql)));
    facts.extend(columns(&step.columns));
    facts
}

fn of_check(step: &PlannedStep, check: &PlannedCheck) -> Facts {
    let mut facts = vec![("rows of", list(&step.inputs))];
    facts.extend(check.rules.iter().map(|rule| expects("expect", rule)));
    facts.extend(
        check
            .quarantine
            .as_ref()
            .map(|table| ("quarantine", table.to_string())),
    );
    facts
}

fn expects(label: &'static str, rule: &Rule) -> (&'static str, String) {
    let (word, style) = match rule.otherwise {
        Otherwise::Warn => ("warn", NOTE),
        Otherwise::Drop => ("drop", CARE),
        Otherwise::Quarantine => ("quarantine", CARE),
        Otherwise::Fail => ("fail", BAD),
    };
    let scope = if rule.aggregate {
        ", over all rows"
    } else {
        ""
    };
    let about = paint(FAINT, format!("({}{scope})", rule.name));
    let expect = one_line(&rule.expect);
    (
        label,
        format!("{expect}, or {}  {about}", paint(style, word)),
    )
}

/// What a merge does besides updating and inserting.
fn of_merge(merge: &Merge, target: &Target) -> Facts {
    let mut facts = Facts::new();
    match &merge.latest_by {
        Some(column) if merge.history => facts.push((
            "history",
            format!("a row for every state, since the time in {column}"),
        )),
        Some(column) => facts.push(("latest by", column.clone())),
        None => {}
    }
    match &merge.deletes {
        Deletes::Never => {}
        Deletes::ByAbsence => facts.push(("deletes", "rows whose key is not read".to_owned())),
        Deletes::Flagged { when, .. } => {
            facts.push(("deletes", format!("rows for which {}", one_line(when))));
        }
    }
    if matches!(target, Target::Lake(_)) {
        let write = match merge.write {
            MergeWrite::ByFile => {
                "chosen by file: again where it is small or a tenth of its rows goes; \
                 position deletes where fewer go, which costs less than writing it again"
            }
            MergeWrite::CopyOnWrite => "copy-on-write: files with changed rows are written again",
            MergeWrite::MergeOnRead => "merge-on-read: position deletes list changed rows",
        };
        facts.push(("write", write.to_owned()));
    }
    facts
}

/// Which rows with one key are the same, and which of them is added.
fn of_dedupe(dedupe: &Dedupe) -> Facts {
    let mut facts = Facts::new();
    let Some(by) = &dedupe.by else {
        return facts;
    };
    if let Some(within) = dedupe.within {
        let within = as_written(within);
        facts.push(("same", format!("no further apart than {within} by {by}")));
    }
    facts.push(("first by", by.clone()));
    facts
}

/// A duration as specs write it.
fn as_written(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit));
    match unit.filter(|_| time.subsec_nanos() == 0) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{}ms", time.as_millis()),
    }
}

fn of_load(step: &PlannedStep, load: &PlannedLoad) -> Facts {
    let target = match &load.target {
        Target::Lake(table) => table.to_string(),
        Target::Connection { connection, table } => format!("{table}  in {connection}"),
    };
    let mode = match &load.mode {
        LoadMode::Append => "append".to_owned(),
        LoadMode::AppendNew(dedupe) => format!("append where {} is new", dedupe.key.join(", ")),
        LoadMode::Replace => "replace everything".to_owned(),
        LoadMode::ReplaceWhere(part) => format!("replace rows for which {}", one_line(part)),
        LoadMode::CreateOnly => "create only".to_owned(),
        LoadMode::ReplacePartitions => "replace the partitions that rows fall into".to_owned(),
        LoadMode::Merge(merge) => format!("merge by {}", merge.key.join(", ")),
    };
    let mut facts = Facts::new();
    if !step.inputs.is_empty() {
        facts.push(("rows of", list(&step.inputs)));
    }
    facts.extend([("to", target), ("mode", mode)]);
    match &load.mode {
        LoadMode::Merge(merge) => facts.extend(of_merge(merge, &load.target)),
        LoadMode::AppendNew(dedupe) => facts.extend(of_dedupe(dedupe)),
        _ => {}
    }
    if let Some(base) = load.base {
        facts.push(("now", format!("snapshot {base}")));
    }
    for (label, fields) in [("partitions", &load.partition_by), ("order", &load.sort_by)] {
        if !fields.is_empty() {
            facts.push((label, fields.join(", ")));
        }
    }
    facts.extend(
        load.target_file_bytes
            .map(|size| ("file size", format!("about {}", bytes(size)))),
    );
    facts.extend(
        load.properties
            .iter()
            .map(|(key, value)| ("property", format!("{key} = {value}"))),
    );
    if !load.watermarks_of.is_empty() {
        facts.push((
            "remembers",
            format!("how far {} was read", list(&load.watermarks_of)),
        ));
    }
    facts.extend(load.audit.iter().map(|rule| expects("audit", rule)));
    facts.extend(of_change(&load.change, &step.columns));
    facts
}

fn of_change(change: &Change, rows: &[Column]) -> Facts {
    match change {
        Change::Create => {
            let mut facts = vec![("table", paint(GOOD, "is created"))];
            facts.extend(rows.iter().map(|column| ("", added(column))));
            facts
        }
        Change::Unchanged => vec![("table", "keeps its columns".to_owned())],
        Change::Kept => vec![("table", paint(FAINT, "unchanged: the table is there"))],
        Change::Ahead => vec![(
            "table",
            paint(
                CARE,
                "unchanged: it has what the others get now, and goes on with the next run",
            ),
        )],
        Change::Evolve(changes) => {
            let mut facts = vec![("table", paint(CARE, "changes with this commit"))];
            facts.extend(changes.iter().map(|change| ("", difference(change))));
            facts
        }
        Change::Refused(changes) => {
            let refused =
                "would have to change, and `on_schema_change` does not allow it: the run will fail";
            let mut facts = vec![("table", paint(BAD, refused))];
            facts.extend(changes.iter().map(|change| ("", difference(change))));
            facts
        }
    }
}

fn difference(difference: &Difference) -> String {
    let altered = |name: &str, how: String| format!("{} {name}  {how}", paint(CARE, "~"));
    match difference {
        Difference::Add(column) => added(column),
        Difference::Rename { column, from } => format!(
            "{} {from} -> {}  {}",
            paint(CARE, "~"),
            column.name,
            column.r#type
        ),
        Difference::Widen { column, from } | Difference::Narrow { column, from } => {
            altered(&column.name, format!("{from} -> {}", column.r#type))
        }
        Difference::Loosen(column) => altered(
            &column.name,
            format!("{} required -> optional", column.r#type),
        ),
        Difference::Drop(column) => {
            format!("{} {}  {}", paint(BAD, "-"), column.name, column.r#type)
        }
        Difference::Reorder(names) => altered("order of columns", names.join(", ")),
        Difference::Partition(layout) => altered("partitions", turned(layout)),
        Difference::Sort(layout) => altered("order", turned(layout)),
    }
}

fn turned(layout: &Layout) -> String {
    let words = |fields: &[String]| {
        if fields.is_empty() {
            "none".to_owned()
        } else {
            fields.join(", ")
        }
    };
    format!("{} -> {}", words(&layout.from), words(&layout.to))
}

fn added(column: &Column) -> String {
    format!("{} {}", paint(GOOD, "+"), declared(column))
}

fn declared(column: &Column) -> String {
    let required = if column.required { " required" } else { "" };
    format!("{}  {}{required}", column.name, column.r#type)
}

fn columns(columns: &[Column]) -> Facts {
    if columns.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<String> = columns
        .iter()
        .take(LISTED)
        .map(|column| format!("{} {}", column.name, paint(FAINT, &column.r#type)))
        .collect();
    if columns.len() > LISTED {
        names.push(format!("and {} more", columns.len() - LISTED));
    }
    vec![("columns", names.join(", "))]
}

fn list<T: Display>(names: &[T]) -> String {
    names
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A query in one line, without comments of their own line, cut where it is long.
fn one_line(query: &str) -> String {
    let lines = query
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"));
    let line = lines
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>()
        .join(" ");
    if line.chars().count() <= QUERY {
        return line;
    }
    line.chars().take(QUERY).chain(" …".chars()).collect()
}

fn summary(plan: &Plan) -> String {
    let loads = || {
        plan.steps.iter().filter_map(|step| match &step.action {
            Action::Load(load) => Some(&load.change),
            _ => None,
        })
    };
    let count = |is: fn(&Change) -> bool| loads().filter(|change| is(change)).count();
    let parts = [
        (count(|change| *change == Change::Create), "to create"),
        (
            count(|change| matches!(change, Change::Evolve(_))),
            "to change",
        ),
        (
            count(|change| *change == Change::Unchanged),
            "to write as they are",
        ),
        (count(Change::is_idle), "to leave as they are"),
        (
            count(|change| matches!(change, Change::Refused(_))),
            "refused",
        ),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    if parts.is_empty() {
        "no tables are written".to_owned()
    } else {
        format!("tables: {}{}", parts.join(", "), publication(plan))
    }
}

/// How the lake's tables become visible, where there are several or they are audited.
fn publication(plan: &Plan) -> String {
    let tables = plan.lake_tables().count();
    if plan.audits && tables > 0 {
        let how = match tables {
            1 => "it becomes visible",
            _ if plan.publishes_together => "all become visible in one step",
            _ => "they become visible one after the other",
        };
        let branch = audit_branch("<run>");
        return format!(
            "; {tables} of the lake on branch {branch} first: {how} where the audit holds"
        );
    }
    match tables {
        0 | 1 => String::new(),
        n if plan.publishes_together => format!("; {n} of the lake become visible in one step"),
        n => format!("; {n} of the lake become visible one after the other"),
    }
}
