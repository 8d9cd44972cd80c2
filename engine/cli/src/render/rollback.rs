//! What a rollback did, or would do.

use std::fmt::Write as _;

use run::history::{Ahead, NextRead, Rollback};
use run::lake::{SnapshotInfo, TableId};

use super::amount::{count, counted};
use super::style::{CARE, FAINT, GOOD, STRONG, paint};

/// Where the table goes, what its pipelines do next, and who does not go with it.
pub(crate) fn text(table: &TableId, rollback: &Rollback, dry_run: bool) -> String {
    let mut text = String::new();
    if rollback.left.is_empty() {
        let there = format!("{table} is at {} already\n", snapshot(&rollback.to));
        return there;
    }
    let done = if dry_run {
        paint(CARE, "would go back")
    } else {
        paint(GOOD, "went back")
    };
    let _ = writeln!(text, "{} {done}", paint(STRONG, table));
    let mut fact = |label: &str, value: &str| {
        let _ = writeln!(text, "  {}  {value}", paint(FAINT, format!("{label:<6}")));
    };
    fact("from", &snapshot(&rollback.from));
    fact("to", &snapshot(&rollback.to));
    let leave = if rollback.left.len() == 1 {
        "leaves"
    } else {
        "leave"
    };
    let left = counted(rollback.left.len() as u64, "snapshot", "snapshots");
    fact(
        "leaves",
        &format!("{left} {leave} the table, readable by number until expired"),
    );
    if rollback.columns_differ {
        fact(
            "columns",
            "stay as they are: newer ones are NULL in older rows",
        );
    }
    for read in &rollback.next {
        fact("next", &next(read));
    }
    for other in &rollback.ahead {
        text.push_str(&ahead(other));
    }
    text
}

fn snapshot(snapshot: &SnapshotInfo) -> String {
    let rows = snapshot.total.map(|rows| format!(", {} rows", count(rows)));
    format!(
        "snapshot {} of {}{}",
        snapshot.id,
        snapshot.committed.format("%Y-%m-%dT%H:%M:%S%.3fZ"),
        rows.unwrap_or_default()
    )
}

fn next(read: &NextRead) -> String {
    let from = read
        .from
        .as_ref()
        .map_or_else(|| "the beginning".to_owned(), ToString::to_string);
    let was = match &read.was {
        Some(was) if read.from.as_ref() != Some(was) => format!("; it had read to {was}"),
        _ => String::new(),
    };
    format!(
        "the next run of {} reads {} from {from}{was}",
        read.pipeline, read.extract
    )
}

fn ahead(other: &Ahead) -> String {
    let care = paint(CARE, "ahead:");
    match other {
        Ahead::Table {
            pipeline,
            table,
            back_to,
        } => {
            let help = match back_to {
                Some(snapshot) => format!("lakewright rollback {table} --to {snapshot}"),
                None => format!("no snapshot of {table} had read as far; load into new tables"),
            };
            format!(
                "{care} {table} has the rows of {pipeline} that this table loses; the next run reads them for this table alone\n\
                 help: to forget them there too: {help}\n"
            )
        }
        Ahead::Connection { pipeline, target } => format!(
            "{care} {target} has the rows of {pipeline} that this table loses, and cannot go back; the next run reads them \
             for this table alone\n"
        ),
        Ahead::Quarantine { pipeline, table } => format!(
            "{care} rows of {pipeline} that were set aside in {table} will be set aside again; roll it back too\n"
        ),
    }
}
