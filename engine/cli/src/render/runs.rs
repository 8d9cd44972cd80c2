//! Runs, as their logs tell them.

use std::fmt::Write as _;
use std::time::Duration;

use connectors::{Error, ErrorKind};
use run::state::status::Phase;
use run::state::{RunStatus, Standing};

use super::amount::{bytes, count, counted, duration};
use super::style::{BAD, CARE, FAINT, GOOD, NOTE, STRONG, paint};
use super::table::{Align, Columns};

/// A line for each run.
pub(crate) fn list(runs: &[Standing]) -> String {
    let aligns = vec![
        Align::Left,
        Align::Left,
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Right,
    ];
    let mut columns = Columns::new(aligns);
    let titles = ["run", "pipeline", "status", "started (UTC)", "took", "rows"];
    columns.row(titles.iter().map(|title| paint(STRONG, title)).collect());
    for Standing {
        run,
        pipeline,
        status,
    } in runs
    {
        columns.row(vec![
            run.to_string(),
            pipeline.to_string(),
            word(&status.phase),
            status.started.format("%Y-%m-%d %H:%M:%S").to_string(),
            took(status).map(duration).unwrap_or_default(),
            count(status.rows),
        ]);
    }
    columns.text()
}

/// Everything about one run.
pub(crate) fn one(run: &Standing) -> String {
    let status = &run.status;
    let mut text = format!("{}  {}\n", paint(STRONG, run.run), word(&status.phase));
    let mut fact = |label: &str, value: &str| {
        let _ = writeln!(text, "  {}  {value}", paint(FAINT, format!("{label:<8}")));
    };
    fact("pipeline", &run.pipeline.to_string());
    fact("trigger", &status.trigger);
    fact(
        "started",
        &status.started.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    );
    if let Some(took) = took(status) {
        fact("took", &duration(took));
    }
    if status.attempts > 1 {
        fact("attempts", &status.attempts.to_string());
    }
    match &status.phase {
        Phase::Failed { kind, message } => fact("because", &format!("{message} ({kind})")),
        Phase::Abandoned { why } => fact("because", why),
        Phase::Interrupted => fact(
            "because",
            &format!(
                "nobody is at it: `lakewright run {}` goes on with it",
                run.pipeline
            ),
        ),
        Phase::Running | Phase::Succeeded | Phase::Cancelled => {}
    }
    for (title, rows) in [
        ("steps", steps(status)),
        ("checks", checks(status)),
        ("commits", commits(status)),
    ] {
        if !rows.is_empty() {
            let _ = write!(text, "\n{}\n{rows}", paint(STRONG, title));
        }
    }
    text
}

/// The same for machines.
pub(crate) fn one_as_json(run: &Standing) -> Result<String, Error> {
    serde_json::to_string_pretty(run).map_or_else(unwritable, |text| Ok(text + "\n"))
}

/// A list for machines.
pub(crate) fn list_as_json(runs: &[Standing]) -> Result<String, Error> {
    serde_json::to_string_pretty(runs).map_or_else(unwritable, |text| Ok(text + "\n"))
}

fn unwritable(error: serde_json::Error) -> Result<String, Error> {
    Err(Error::new(ErrorKind::Internal, "a run could not be written as JSON").caused_by(error))
}

fn steps(status: &RunStatus) -> String {
    let mut columns = Columns::new(vec![Align::Left, Align::Right, Align::Right, Align::Right]);
    for step in &status.steps {
        columns.row(vec![
            format!("  {}", step.step),
            counted(step.rows, "row", "rows"),
            step.bytes.map(bytes).unwrap_or_default(),
            duration(Duration::from_millis(step.millis)),
        ]);
    }
    columns.text()
}

fn checks(status: &RunStatus) -> String {
    let mut columns = Columns::new(vec![Align::Left, Align::Left, Align::Left]);
    for check in &status.checks {
        let verdict = if check.failed == 0 {
            paint(GOOD, "passed")
        } else {
            paint(
                CARE,
                format!(
                    "{} failed, {}",
                    count(check.failed),
                    action(check.otherwise)
                ),
            )
        };
        columns.row(vec![
            format!("  {}", check.step),
            check.rule.clone(),
            verdict,
        ]);
    }
    columns.text()
}

const fn action(otherwise: spec::model::Otherwise) -> &'static str {
    use spec::model::Otherwise;
    match otherwise {
        Otherwise::Warn => "kept",
        Otherwise::Drop => "dropped",
        Otherwise::Quarantine => "put in quarantine",
        Otherwise::Fail => "which ended the run",
    }
}

fn commits(status: &RunStatus) -> String {
    let mut columns = Columns::new(vec![Align::Left, Align::Left, Align::Right, Align::Left]);
    for commit in &status.commits {
        columns.row(vec![
            format!("  {}", commit.step),
            commit.target.clone(),
            counted(commit.rows, "row", "rows"),
            commit
                .snapshot
                .map(|id| format!("snapshot {id}"))
                .unwrap_or_default(),
        ]);
    }
    columns.text()
}

fn word(phase: &Phase) -> String {
    let style = match phase {
        Phase::Running => NOTE,
        Phase::Succeeded => GOOD,
        Phase::Failed { .. } => BAD,
        Phase::Interrupted | Phase::Cancelled | Phase::Abandoned { .. } => CARE,
    };
    paint(style, phase.as_str())
}

fn took(status: &RunStatus) -> Option<Duration> {
    (status.finished? - status.started).to_std().ok()
}
