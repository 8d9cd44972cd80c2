//! Schedules, as they stand.

use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind};
use run::{ScheduleDecision, ScheduleStanding};
use serde::Serialize;

use super::style::{BAD, CARE, FAINT, GOOD, NOTE, STRONG, paint};
use super::table::{Align, Columns};

/// A line for each schedule.
pub(crate) fn list(standings: &[ScheduleStanding]) -> String {
    let mut columns = Columns::new(vec![Align::Left; 5]);
    let titles = ["pipeline", "schedule", "next (UTC)", "now", "last"];
    columns.row(titles.iter().map(|title| paint(STRONG, title)).collect());
    for standing in standings {
        let rule = standing.rule.clone();
        let rule = rule.unwrap_or_else(|| paint(FAINT, "on request"));
        columns.row(vec![
            standing.pipeline.to_string(),
            rule,
            standing.next.map(time).unwrap_or_default(),
            now(standing),
            last(standing),
        ]);
    }
    columns.text()
}

/// A line for each decision.
pub(crate) fn decisions(decisions: &[ScheduleDecision]) -> String {
    let mut columns = Columns::new(vec![Align::Left; 3]);
    let titles = ["time (UTC)", "decision", "because"];
    columns.row(titles.iter().map(|title| paint(STRONG, title)).collect());
    for decision in decisions {
        columns.row(vec![
            time(decision.due),
            word(decision),
            decision.cause.clone(),
        ]);
    }
    columns.text()
}

/// All of it, for scripts.
pub(crate) fn as_json<T: Serialize>(standings: &[T]) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(standings).map_err(|error| {
        Error::new(ErrorKind::Internal, "schedules cannot be written as JSON").caused_by(error)
    })?;
    Ok(text + "\n")
}

fn now(standing: &ScheduleStanding) -> String {
    let mut words = Vec::new();
    if standing.paused {
        words.push(paint(CARE, "paused"));
    }
    if standing.running > 0 {
        words.push(paint(NOTE, "running"));
    }
    if standing.waiting > 0 {
        words.push(match &standing.waits_for {
            Some(what) => format!("{} waiting for {what}", standing.waiting),
            None => format!("{} waiting", standing.waiting),
        });
    }
    words.join(", ")
}

fn last(standing: &ScheduleStanding) -> String {
    let Some(last) = &standing.last else {
        return String::new();
    };
    format!("{}  {}", time(last.due), word(last))
}

/// What came of a decision, or is to come of it.
fn word(decision: &ScheduleDecision) -> String {
    match (decision.verdict, decision.outcome.as_deref()) {
        (_, Some("succeeded")) => paint(GOOD, "succeeded"),
        (_, Some(outcome)) => paint(BAD, outcome),
        ("run" | "requested", None) => "to run".to_owned(),
        (verdict, None) => paint(FAINT, verdict),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}
