//! Rows of the log, turned back into events.

use chrono::{DateTime, SecondsFormat, Utc};
use connectors::{Error, ErrorKind, Result};
use spec::model::PipelineId;

use super::status::{self, IllegalTransition, RunStatus};
use super::{Event, RunEvent, RunId};

/// What the log has of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// Its events, the oldest first; at least one.
    pub events: Vec<Event>,
}

impl RunRecord {
    /// What its log says has become of it.
    pub fn status(&self) -> Result<RunStatus> {
        status::of(&self.events).map_err(|illegal| impossible(self.run, illegal))
    }
}

/// A log that no run can have written.
pub(super) fn impossible(run: RunId, illegal: IllegalTransition) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "the log of a run tells a story that cannot be",
    )
    .with("run", run)
    .caused_by(illegal)
}

/// A row as both databases answer it: run, pipeline, sequence, time, payload.
pub(super) type Row = (String, String, i64, String, String);

/// Rows that are sorted so that those of a run stand together, oldest first.
pub(super) fn records(rows: Vec<Row>) -> Result<Vec<RunRecord>> {
    let mut records: Vec<RunRecord> = Vec::new();
    for (run, pipeline, sequence, at, payload) in rows {
        let run: RunId = run
            .parse()
            .map_err(|error| unreadable("run", &run).caused_by(error))?;
        let event = Event {
            sequence: u32::try_from(sequence)
                .map_err(|error| unreadable("run", run).caused_by(error))?,
            at: DateTime::parse_from_rfc3339(&at)
                .map_err(|error| unreadable("run", run).caused_by(error))?
                .to_utc(),
            event: decode(&payload).map_err(|error| error.with("run", run))?,
        };
        match records.last_mut() {
            Some(last) if last.run == run => last.events.push(event),
            _ => {
                let pipeline = pipeline.parse().map_err(|error: spec::model::NameError| {
                    unreadable("run", run).caused_by(error)
                })?;
                records.push(RunRecord {
                    run,
                    pipeline,
                    events: vec![event],
                });
            }
        }
    }
    Ok(records)
}

/// The events of rows of one run.
pub(super) fn events(rows: Vec<Row>) -> Result<Vec<Event>> {
    Ok(records(rows)?
        .into_iter()
        .flat_map(|record| record.events)
        .collect())
}

/// The JSON that the log keeps.
pub(super) fn encode(event: &RunEvent) -> Result<String> {
    serde_json::to_string(event).map_err(|error| {
        Error::new(ErrorKind::Internal, "an event cannot be written as JSON")
            .with("event", event.kind())
            .caused_by(error)
    })
}

/// The time that the log keeps: UTC, of one width, so that its text sorts.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn decode(payload: &str) -> Result<RunEvent> {
    serde_json::from_str(payload).map_err(|error| {
        Error::new(
            ErrorKind::InvalidData,
            "an event of the state store cannot be read",
        )
        .caused_by(error)
        .help("a newer version may have written it: use that version")
    })
}

fn unreadable(key: &'static str, value: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "a row of the state store cannot be read",
    )
    .with(key, value)
}
