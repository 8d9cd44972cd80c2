//! A run that was given up, and what that means for each of its tables.

use std::fmt::Write as _;

use run::{AbandonedRun, AbandonedTable, NextRun};

use super::style::{CARE, FAINT, GOOD, STRONG, paint};
use super::table::{Align, Columns};

/// What stays, what is missing, and what the next run does about it.
pub(crate) fn text(abandoned: &AbandonedRun) -> String {
    let AbandonedRun {
        run,
        pipeline,
        tables,
    } = abandoned;
    let mut text = format!(
        "{} {}  {}\n",
        paint(CARE, "abandoned"),
        paint(STRONG, pipeline),
        paint(FAINT, format!("run {run}"))
    );
    let mut columns = Columns::new(vec![Align::Left; 4]);
    for table in tables {
        let fate = if table.committed {
            paint(GOOD, "committed")
        } else {
            paint(CARE, "never will be")
        };
        columns.row(vec![
            format!("  {}", table.step),
            table.target.clone(),
            fate,
            then(table),
        ]);
    }
    text.push_str(&columns.text());
    let _ = writeln!(text, "`lakewright run {pipeline}` starts a new run");
    text
}

/// What becomes of a table.
fn then(table: &AbandonedTable) -> String {
    let snapshot = table
        .snapshot
        .map(|id| format!(" (snapshot {id})"))
        .unwrap_or_default();
    match (table.committed, table.next) {
        (true, NextRun::GoesOn) => {
            format!("its rows stay{snapshot}; the next run goes on from there")
        }
        (false, NextRun::GoesOn) => {
            "the next run brings these rows, as the source has them then".to_owned()
        }
        (true, NextRun::Replaces) => {
            format!("its rows stay{snapshot} until the next run replaces them")
        }
        (false, NextRun::Replaces) => "stays as it was until the next run replaces it".to_owned(),
        (true, NextRun::Merges) => {
            format!("its rows stay{snapshot}; the next run merges into them")
        }
        (false, NextRun::Merges) => "the next run merges what the source has then".to_owned(),
        (true, NextRun::AddsNew) => {
            format!("its rows stay{snapshot}; the next run adds those that it does not have")
        }
        (false, NextRun::AddsNew) => {
            "the next run adds what the source has then and it has not".to_owned()
        }
        (true, NextRun::Makes) => {
            format!("its rows stay{snapshot}, and later runs leave it as it is")
        }
        (false, NextRun::Makes) => "the next run makes it".to_owned(),
        (true, NextRun::AppendsAll) => format!(
            "its rows stay{snapshot}, and the next run appends all rows once more: where that is a copy too many, roll \
             the table back to the snapshot before this one first"
        ),
        (false, NextRun::AppendsAll) => {
            "never gets the rows of this run; the next run appends those of then".to_owned()
        }
        (_, NextRun::SetsAside) => format!(
            "the rows set aside stay{snapshot}, with this run in `_run`; what fails in the next run is set aside again"
        ),
    }
}
