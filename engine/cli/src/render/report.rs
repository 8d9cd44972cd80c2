//! What a run did, in the end.

use std::fmt::Write as _;
use std::time::Duration;

use run::{LoadReport, RunReport};
use spec::model::PipelineId;

use super::amount::{counted, duration};
use super::style::{FAINT, GOOD, STRONG, paint};
use super::table::{Align, Columns};

/// The run and, a line each, what its loads committed.
pub(crate) fn text(pipeline: &PipelineId, report: &RunReport, took: Duration) -> String {
    let mut text = String::new();
    let attempt = if report.attempt > 1 {
        format!(", attempt {}", report.attempt)
    } else {
        String::new()
    };
    let resumed = if report.resumed {
        ", went on with an earlier run"
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "{} {} in {}  {}",
        paint(GOOD, "done"),
        paint(STRONG, pipeline),
        duration(took),
        paint(FAINT, format!("run {}{attempt}{resumed}", report.run)),
    );
    let mut columns = Columns::new(vec![Align::Left, Align::Left, Align::Right, Align::Left]);
    for load in &report.loads {
        columns.row(vec![
            format!("  {}", load.step),
            load.target.clone(),
            counted(load.rows, "row", "rows"),
            outcome(load),
        ]);
    }
    text.push_str(&columns.text());
    text
}

fn outcome(load: &LoadReport) -> String {
    if let Some(why) = load.kept {
        return format!("unchanged: {why}");
    }
    let snapshot = load
        .snapshot
        .map_or_else(|| "committed".to_owned(), |id| format!("snapshot {id}"));
    if load.already {
        format!("{snapshot} (was committed before)")
    } else {
        snapshot
    }
}
