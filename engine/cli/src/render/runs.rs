//! Runs, as their logs tell them.

use std::fmt::Write as _;
use std::time::Duration;

use connectors::{Error, ErrorKind};
use run::state::status::{self, Phase};
use run::state::{RunRecord, RunStatus};

use super::amount::{bytes, count, counted, duration};
use super::style::{BAD, CARE, FAINT, GOOD, NOTE, STRONG, paint};
use super::table::{Align, Columns};

/// A line for each run.
pub(crate) fn list(records: &[RunRecord]) -> Result<String, Error> {
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
    for record in records {
        let status = status_of(record)?;
        columns.row(vec![
            record.run.to_string(),
            record.pipeline.to_string(),
            word(&status.phase),
            status.started.format("%Y-%m-%d %H:%M:%S").to_string(),
            took(&status).map(duration).unwrap_or_default(),
            count(status.rows),
        ]);
    }
    Ok(columns.text())
}

/// Everything about one run.
pub(crate) fn one(record: &RunRecord) -> Result<String, Error> {
    let status = status_of(record)?;
    let mut text = format!("{}  {}\n", paint(STRONG, record.run), word(&status.phase));
    let mut fact = |label: &str, value: &str| {
        let _ = writeln!(text, "  {}  {value}", paint(FAINT, format!("{label:<8}")));
    };
    fact("pipeline", &record.pipeline.to_string());
    fact("trigger", &status.trigger);
    fact(
        "started",
        &status.started.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    );
    if let Some(took) = took(&status) {
        fact("took", &duration(took));
    }
    if status.attempts > 1 {
        fact("attempts", &status.attempts.to_string());
    }
    match &status.phase {
        Phase::Failed { kind, message } => fact("because", &format!("{message} ({kind})")),
        Phase::Abandoned { why } => fact("because", why),
        Phase::Running | Phase::Succeeded | Phase::Cancelled => {}
    }
    for (title, rows) in [
        ("steps", steps(&status)),
        ("checks", checks(&status)),
        ("commits", commits(&status)),
    ] {
        if !rows.is_empty() {
            let _ = write!(text, "\n{}\n{rows}", paint(STRONG, title));
        }
    }
    Ok(text)
}

/// The same for machines.
pub(crate) fn json(record: &RunRecord) -> Result<serde_json::Value, Error> {
    let mut object = serde_json::Map::new();
    object.insert("run".into(), record.run.to_string().into());
    object.insert("pipeline".into(), record.pipeline.to_string().into());
    let status = serde_json::to_value(status_of(record)?).map_err(|error| {
        Error::new(ErrorKind::Internal, "a run could not be written as JSON").caused_by(error)
    })?;
    if let serde_json::Value::Object(status) = status {
        object.extend(status);
    }
    Ok(object.into())
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
    match phase {
        Phase::Running => paint(NOTE, "running"),
        Phase::Succeeded => paint(GOOD, "succeeded"),
        Phase::Failed { .. } => paint(BAD, "failed"),
        Phase::Cancelled => paint(CARE, "cancelled"),
        Phase::Abandoned { .. } => paint(CARE, "abandoned"),
    }
}

fn took(status: &RunStatus) -> Option<Duration> {
    (status.finished? - status.started).to_std().ok()
}

fn status_of(record: &RunRecord) -> Result<RunStatus, Error> {
    status::of(&record.events).map_err(|illegal| {
        Error::new(
            ErrorKind::InvalidData,
            "the log of a run tells a story that cannot be",
        )
        .with("run", record.run)
        .caused_by(illegal)
    })
}
