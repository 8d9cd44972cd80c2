//! The history of a table: its snapshots and their names.

use run::history::History;
use run::lake::{Moment, Reference, SnapshotInfo};
use serde_json::{Value, json};

use super::amount::{count, duration};
use super::style::{FAINT, GOOD, NOTE, STRONG, paint};
use super::table::{Align, Columns};

/// How times of snapshots are written: so that they can be given back to `--at`.
const TIME: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// As many characters of a run's ID as tell it from the others; `lakewright runs` finds it by them.
const RUN_SHOWN: usize = 13;

/// A line for each snapshot.
pub(crate) fn text(history: &History) -> String {
    use Align::{Left, Right};
    let mut columns = Columns::new(vec![
        Left, Left, Left, Left, Right, Right, Right, Right, Left, Left, Left,
    ]);
    let titles = [
        " ",
        "snapshot",
        "committed",
        "operation",
        "added",
        "removed",
        "rows",
        "files",
        "run",
        "pipeline",
        "names",
    ];
    columns.row(titles.iter().map(|title| paint(STRONG, title)).collect());
    for snapshot in &history.snapshots {
        let number = |number: Option<u64>| number.map(count).unwrap_or_default();
        let run = snapshot.run.iter().flat_map(|run| run.chars());
        columns.row(vec![
            if snapshot.in_lineage { " " } else { "-" }.to_owned(),
            snapshot.id.to_string(),
            snapshot.committed.format(TIME).to_string(),
            snapshot.operation.clone(),
            number(snapshot.added),
            number(snapshot.removed),
            number(snapshot.total),
            number(snapshot.files),
            run.take(RUN_SHOWN).collect(),
            snapshot.pipeline.clone().unwrap_or_default(),
            names(snapshot, &history.references),
        ]);
    }
    columns.text()
}

fn names(snapshot: &SnapshotInfo, references: &[Reference]) -> String {
    let names = references
        .iter()
        .filter(|reference| reference.snapshot == snapshot.id)
        .map(|reference| {
            let style = if reference.name == "main" { GOOD } else { NOTE };
            paint(style, &reference.name)
        });
    names.collect::<Vec<_>>().join(", ")
}

/// The same for machines.
pub(crate) fn json(history: &History) -> Value {
    let snapshots = history.snapshots.iter().map(|snapshot| {
        let names = history.references.iter();
        let names = names.filter(|reference| reference.snapshot == snapshot.id);
        json!({
            "snapshot": snapshot.id,
            "parent": snapshot.parent,
            "committed": snapshot.committed.format(TIME).to_string(),
            "operation": snapshot.operation,
            "added": snapshot.added,
            "removed": snapshot.removed,
            "rows": snapshot.total,
            "files": snapshot.files,
            "run": snapshot.run,
            "pipeline": snapshot.pipeline,
            "in_lineage": snapshot.in_lineage,
            "refs": names.map(reference_json).collect::<Vec<_>>(),
        })
    });
    Value::Array(snapshots.collect())
}

/// A name of a snapshot for machines.
pub(crate) fn reference_json(reference: &Reference) -> Value {
    json!({
        "name": reference.name,
        "kind": reference.kind.as_str(),
        "snapshot": reference.snapshot,
        "keep_seconds": reference.keep.map(|keep| keep.as_secs()),
    })
}

/// A line for each name.
pub(crate) fn references(history: &History) -> String {
    let mut columns = Columns::new(vec![Align::Left; 5]);
    let titles = ["name", "kind", "snapshot", "committed", "kept for"];
    columns.row(titles.iter().map(|title| paint(STRONG, title)).collect());
    for reference in &history.references {
        let snapshot = history
            .snapshots
            .iter()
            .find(|snapshot| snapshot.id == reference.snapshot);
        columns.row(vec![
            reference.name.clone(),
            reference.kind.as_str().to_owned(),
            reference.snapshot.to_string(),
            snapshot
                .map(|snapshot| snapshot.committed.format(TIME).to_string())
                .unwrap_or_default(),
            reference.keep.map_or_else(
                || paint(FAINT, "as the table says"),
                |keep| match keep.as_secs() {
                    seconds if seconds > 0 && seconds.is_multiple_of(86_400) => {
                        format!("{} days", seconds / 86_400)
                    }
                    _ => duration(keep),
                },
            ),
        ]);
    }
    columns.text()
}

/// `snapshot 42 of 2026-01-31T18:00:00.000Z`.
pub(crate) fn moment(moment: &Moment) -> String {
    format!(
        "snapshot {} of {}",
        moment.snapshot,
        moment.committed.format(TIME)
    )
}
