//! Decisions about schedules, as both databases keep them.
//!
//! A decision is written down before anything comes of it. The runs that came of it carry its place, so that after a
//! crash the log of runs says whether there is still one to come. Knows the statements, which both databases
//! understand; knows nothing of connections.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Result};
use spec::model::PipelineId;

use super::RunId;
use crate::scheduler::{Decision, Known, Last, Schedules, Verdict};

/// Writes one down, unless its place is taken.
pub(super) const INSERT: &str = "INSERT INTO decision
    (pipeline, sequence, verdict, due, cause, rule, seen, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";

/// How many decisions there are about each pipeline, whether it is paused, and the last about its rule.
pub(super) const LAST: &str = "SELECT first.pipeline,
        (SELECT max(sequence) FROM decision WHERE pipeline = first.pipeline),
        (SELECT verdict FROM decision
         WHERE pipeline = first.pipeline AND verdict IN ('paused', 'resumed')
         ORDER BY sequence DESC LIMIT 1),
        last.due, last.verdict, last.rule, last.seen
    FROM decision AS first
    LEFT JOIN decision AS last ON last.pipeline = first.pipeline AND last.sequence =
        (SELECT max(sequence) FROM decision
         WHERE pipeline = first.pipeline AND verdict IN ('adopted', 'run', 'skipped', 'missed'))
    WHERE first.sequence = 1";

/// The decisions whose runs are still to come or to end, whether one has begun, and whether it has ended, which is
/// written down a moment later; the oldest first.
pub(super) const OPEN: &str = "SELECT pipeline, sequence, due, cause,
        EXISTS (SELECT 1 FROM run_event AS s
                WHERE s.pipeline = decision.pipeline AND s.decision = decision.sequence
                  AND NOT EXISTS (SELECT 1 FROM run_event AS e WHERE e.run = s.run AND e.kind = 'abandoned')),
        EXISTS (SELECT 1 FROM run_event AS s JOIN run_event AS e ON e.run = s.run
                WHERE s.pipeline = decision.pipeline AND s.decision = decision.sequence
                  AND e.kind IN ('succeeded', 'failed', 'cancelled'))
    FROM decision WHERE verdict IN ('run', 'requested') AND closed IS NULL
    ORDER BY due, pipeline, sequence";

/// How the run of a decision ended. One that was given up did not do what was decided.
pub(super) const ENDED: &str =
    "SELECT e.kind FROM run_event AS s JOIN run_event AS e ON e.run = s.run
    WHERE s.pipeline = $1 AND s.decision = $2 AND e.kind IN ('succeeded', 'failed', 'cancelled')";

/// Says that nothing more comes of a decision.
pub(super) const CLOSE: &str =
    "UPDATE decision SET closed = $3 WHERE pipeline = $1 AND sequence = $2 AND closed IS NULL";

/// The last run of a pipeline that succeeded.
pub(super) const PUBLISHED: &str = "SELECT run FROM run_event
    WHERE pipeline = $1 AND kind = 'succeeded' ORDER BY position DESC LIMIT 1";

/// The newest decisions about a pipeline, the newest first.
pub(super) const NEWEST: &str = "SELECT pipeline, sequence, verdict, due, cause, rule, seen, closed
    FROM decision WHERE pipeline = $1 ORDER BY sequence DESC LIMIT $2";

/// A decision whose run is still to come or to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDecision {
    /// Whose.
    pub pipeline: PipelineId,
    /// Its place among the decisions about this pipeline.
    pub sequence: u32,
    /// The time that it is about.
    pub due: DateTime<Utc>,
    /// Why, for people.
    pub cause: String,
    /// Whether a run of it has begun.
    pub begun: bool,
    /// Whether that has ended. Only closing it is left.
    pub ended: bool,
}

/// A decision of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastDecision {
    /// What was decided.
    pub decision: Decision,
    /// What came of its run; `None` while that is open, or where there is none to come.
    pub closed: Option<String>,
}

/// Who of several decisions got the place that it wanted. Once one about a pipeline has not, none after it does: it was
/// decided from a state that is no more.
#[derive(Default)]
pub(super) struct Places<'a> {
    taken: Option<&'a PipelineId>,
    /// Those that did.
    pub(super) got: Vec<&'a Decision>,
}

impl<'a> Places<'a> {
    /// Whether one before it about the same pipeline has not got its place.
    pub(super) fn are_taken(&self, decision: &Decision) -> bool {
        self.taken == Some(&decision.pipeline)
    }

    /// Notes whether it got its place.
    pub(super) fn note(&mut self, decision: &'a Decision, got: bool) {
        if got {
            self.got.push(decision);
        } else {
            self.taken = Some(&decision.pipeline);
        }
    }
}

/// A row of [`LAST`].
pub(super) type LastRow = (
    String,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// A row of [`OPEN`].
pub(super) type OpenRow = (String, i64, String, String, bool, bool);

/// A row of [`NEWEST`].
pub(super) type PastRow = (
    String,
    i64,
    String,
    String,
    String,
    String,
    String,
    Option<String>,
);

/// What is known of all schedules, but for what has been published.
pub(super) fn schedules(rows: Vec<LastRow>, open: &[OpenDecision]) -> Result<Schedules> {
    let mut known: BTreeMap<PipelineId, Known> = BTreeMap::new();
    for (pipeline, decisions, paused, due, verdict, rule, seen) in rows {
        let last = match (due, verdict, rule, seen) {
            (Some(due), Some(verdict), Some(rule), Some(seen)) => Some(Last {
                due: time(&due)?,
                verdict: word(&verdict)?,
                rule,
                seen: publications(&seen)?,
            }),
            _ => None,
        };
        let one = Known {
            decisions: place(decisions)?,
            last,
            paused: paused.is_some_and(|verdict| verdict == Verdict::Paused.as_str()),
            waiting: 0,
            running: 0,
        };
        known.insert(id(&pipeline)?, one);
    }
    for decision in open.iter().filter(|decision| !decision.ended) {
        let one = known.entry(decision.pipeline.clone()).or_default();
        if decision.begun {
            one.running += 1;
        } else {
            one.waiting += 1;
        }
    }
    Ok(Schedules {
        known,
        published: BTreeMap::new(),
    })
}

/// The decisions whose runs are still to come or to end.
pub(super) fn open(rows: Vec<OpenRow>) -> Result<Vec<OpenDecision>> {
    let one = |(pipeline, sequence, due, cause, begun, ended): OpenRow| {
        Ok(OpenDecision {
            pipeline: id(&pipeline)?,
            sequence: place(sequence)?,
            due: time(&due)?,
            cause,
            begun,
            ended,
        })
    };
    rows.into_iter().map(one).collect()
}

/// Decisions of the past.
pub(super) fn past(rows: Vec<PastRow>) -> Result<Vec<PastDecision>> {
    let one = |(pipeline, sequence, verdict, due, cause, rule, seen, closed): PastRow| {
        let decision = Decision {
            pipeline: id(&pipeline)?,
            sequence: place(sequence)?,
            due: time(&due)?,
            verdict: word(&verdict)?,
            cause,
            rule,
            seen: publications(&seen)?,
        };
        Ok(PastDecision { decision, closed })
    };
    rows.into_iter().map(one).collect()
}

/// What had been published, as the column has it.
pub(super) fn seen(decision: &Decision) -> Result<String> {
    let seen = decision.seen.iter();
    let seen: BTreeMap<String, RunId> = seen.map(|(id, run)| (id.to_string(), *run)).collect();
    serde_json::to_string(&seen).map_err(|error| {
        Error::new(ErrorKind::Internal, "a decision cannot be written as JSON").caused_by(error)
    })
}

/// The name of a run, as the log has it.
pub(super) fn run(text: &str) -> Result<RunId> {
    text.parse()
        .map_err(|error| unreadable(text).caused_by(error))
}

fn publications(text: &str) -> Result<BTreeMap<PipelineId, RunId>> {
    let seen: BTreeMap<String, RunId> =
        serde_json::from_str(text).map_err(|error| unreadable(text).caused_by(error))?;
    seen.into_iter()
        .map(|(pipeline, run)| Ok((id(&pipeline)?, run)))
        .collect()
}

fn id(text: &str) -> Result<PipelineId> {
    text.parse()
        .map_err(|error: spec::model::NameError| unreadable(text).caused_by(error))
}

fn time(text: &str) -> Result<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.to_utc())
        .map_err(|error| unreadable(text).caused_by(error))
}

fn word(text: &str) -> Result<Verdict> {
    text.parse()
        .map_err(|error: crate::scheduler::NoVerdict| unreadable(text).caused_by(error))
}

fn place(number: i64) -> Result<u32> {
    u32::try_from(number).map_err(|error| unreadable(&number.to_string()).caused_by(error))
}

fn unreadable(value: &str) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "a decision of the state store cannot be read",
    )
    .with("value", value)
    .help("a newer version may have written it: use that version")
}
