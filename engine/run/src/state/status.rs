//! What has become of a run, derived from its events.
//!
//! A pure function of the log, which knows nothing of stores, clocks and tables.

use std::error::Error as StdError;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use spec::model::{Otherwise, StepName};

use super::{Event, RunEvent};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It has not ended. Whether its process lives is a question to the pipeline's lock.
    Running,
    /// It has not ended, and nobody is at it. No log says so: see [`super::Standing`].
    Interrupted,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed {
        /// The kind of error.
        kind: String,
        /// What went wrong.
        message: String,
    },
    /// It was asked to stop.
    Cancelled,
    /// Its process died, and nobody will go on.
    Abandoned {
        /// How we know.
        why: String,
    },
}

/// What has become of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunStatus {
    /// Where it stands.
    pub phase: Phase,
    /// Why it exists.
    pub trigger: String,
    /// When its first attempt began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub finished: Option<DateTime<Utc>>,
    /// The number of the latest attempt, from 1.
    pub attempts: u32,
    /// The rows that became visible, in all targets.
    pub rows: u64,
    /// The steps that the latest attempt finished, in the order they did.
    pub steps: Vec<StepOutcome>,
    /// What the latest attempt's checks found.
    pub checks: Vec<CheckOutcome>,
    /// What became visible, in any attempt.
    pub commits: Vec<Commit>,
}

/// A step that ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepOutcome {
    /// The step.
    pub step: StepName,
    /// The rows that came out of it.
    pub rows: u64,
    /// Their bytes, where somebody counted.
    pub bytes: Option<u64>,
    /// How long it took.
    pub millis: u64,
}

/// A rule that was held against all rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckOutcome {
    /// The check.
    pub step: StepName,
    /// The rule's name.
    pub rule: String,
    /// The rows that failed it.
    pub failed: u64,
    /// What became of them.
    pub otherwise: Otherwise,
}

/// Rows that became visible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// The step.
    pub step: StepName,
    /// The table.
    pub target: String,
    /// The Iceberg snapshot; `None` where the target has none.
    pub snapshot: Option<i64>,
    /// The rows written.
    pub rows: u64,
    /// The attempt that told of it first.
    pub attempt: u32,
}

/// An event that cannot follow those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IllegalTransition {
    /// There is no event at all.
    NoEvents,
    /// The first event is another one than `started`.
    NotStarted {
        /// The event.
        event: &'static str,
    },
    /// Something follows the end.
    AfterEnd {
        /// The event that ended the run.
        end: &'static str,
        /// The event that follows.
        event: &'static str,
    },
    /// An attempt begins whose number is not higher than that of the one before.
    AttemptOutOfOrder {
        /// The number before.
        before: u32,
        /// The number now.
        attempt: u32,
    },
    /// One attempt has two snapshots of one target.
    CommittedTwice {
        /// The step.
        step: StepName,
        /// The table.
        target: String,
    },
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEvents => f.write_str("the run has no events"),
            Self::NotStarted { event } => write!(f, "`{event}` comes before `started`"),
            Self::AfterEnd { end, event } => {
                write!(f, "`{event}` comes after the run ended with `{end}`")
            }
            Self::AttemptOutOfOrder { before, attempt } => {
                write!(f, "attempt {attempt} comes after attempt {before}")
            }
            Self::CommittedTwice { step, target } => {
                write!(f, "step `{step}` has committed two snapshots of `{target}`")
            }
        }
    }
}

impl StdError for IllegalTransition {}

/// What has become of the run that these are all the events of, the oldest first.
pub fn of(events: &[Event]) -> Result<RunStatus, IllegalTransition> {
    let (first, rest) = events.split_first().ok_or(IllegalTransition::NoEvents)?;
    let mut status = RunStatus::begin(first)?;
    for event in rest {
        status.follow(event)?;
    }
    Ok(status)
}

impl Phase {
    /// The word for it, as in its JSON; that of the event which led to it, for an end.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned { .. } => "abandoned",
        }
    }
}

impl RunStatus {
    /// A run of which this is the first event.
    pub(super) fn begin(first: &Event) -> Result<Self, IllegalTransition> {
        let RunEvent::Started {
            attempt, trigger, ..
        } = &first.event
        else {
            return Err(IllegalTransition::NotStarted {
                event: first.event.kind(),
            });
        };
        if *attempt == 0 {
            return Err(IllegalTransition::AttemptOutOfOrder {
                before: 0,
                attempt: 0,
            });
        }
        Ok(Self {
            phase: Phase::Running,
            trigger: trigger.clone(),
            started: first.at,
            finished: None,
            attempts: *attempt,
            rows: 0,
            steps: Vec::new(),
            checks: Vec::new(),
            commits: Vec::new(),
        })
    }

    /// The same run, one event later; to be thrown away where that is refused.
    pub(super) fn follow(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        if self.has_ended() {
            return Err(IllegalTransition::AfterEnd {
                end: self.phase.as_str(),
                event: event.event.kind(),
            });
        }
        self.apply(event)
    }

    fn apply(&mut self, event: &Event) -> Result<(), IllegalTransition> {
        match event.event.clone() {
            RunEvent::Started { attempt, .. } => self.again(attempt)?,
            RunEvent::StepFinished {
                step,
                rows,
                bytes,
                millis,
            } => {
                self.steps.push(StepOutcome {
                    step,
                    rows,
                    bytes,
                    millis,
                });
            }
            RunEvent::CheckResult {
                step,
                rule,
                failed,
                otherwise,
            } => {
                self.checks.push(CheckOutcome {
                    step,
                    rule,
                    failed,
                    otherwise,
                });
            }
            RunEvent::Committed {
                step,
                target,
                snapshot,
                rows,
            } => {
                self.commit(Commit {
                    step,
                    target,
                    snapshot,
                    rows,
                    attempt: self.attempts,
                })?;
            }
            RunEvent::Succeeded => self.end(Phase::Succeeded, event.at),
            RunEvent::Failed { kind, message } => {
                self.end(Phase::Failed { kind, message }, event.at);
            }
            RunEvent::Cancelled => self.end(Phase::Cancelled, event.at),
            RunEvent::Abandoned { why } => self.end(Phase::Abandoned { why }, event.at),
        }
        Ok(())
    }

    /// A new attempt does every step again; what is visible stays visible.
    fn again(&mut self, attempt: u32) -> Result<(), IllegalTransition> {
        if attempt <= self.attempts {
            return Err(IllegalTransition::AttemptOutOfOrder {
                before: self.attempts,
                attempt,
            });
        }
        self.attempts = attempt;
        self.steps.clear();
        self.checks.clear();
        Ok(())
    }

    /// A commit that an earlier attempt made and recorded may be found and recorded again: it counts once. Where the
    /// table went back between two attempts, the later one commits again: what the table has is what counts.
    fn commit(&mut self, commit: Commit) -> Result<(), IllegalTransition> {
        let same = |c: &Commit| c.step == commit.step && c.target == commit.target;
        let before = self.commits.iter().position(same);
        match before.and_then(|at| Some((at, self.commits.get(at)?))) {
            Some((_, before)) if before.snapshot == commit.snapshot => return Ok(()),
            Some((_, before)) if before.attempt == commit.attempt => {
                let Commit { step, target, .. } = commit;
                return Err(IllegalTransition::CommittedTwice { step, target });
            }
            Some((at, before)) => {
                self.rows = self.rows.saturating_sub(before.rows);
                self.commits.remove(at);
            }
            None => {}
        }
        self.rows = self.rows.saturating_add(commit.rows);
        self.commits.push(commit);
        Ok(())
    }

    fn end(&mut self, phase: Phase, at: DateTime<Utc>) {
        self.phase = phase;
        self.finished = Some(at);
    }

    /// Whether it has ended, well or not.
    pub const fn has_ended(&self) -> bool {
        self.finished.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(attempt: u32) -> RunEvent {
        let plan = r#"{"pipeline": "shop/orders", "spec": "0", "steps": [], "fingerprint": "0"}"#;
        let plan = Box::new(serde_json::from_str(plan).unwrap());
        RunEvent::Started {
            plan,
            attempt,
            trigger: "manual".to_owned(),
            decision: None,
        }
    }

    fn committed(snapshot: i64, rows: u64) -> RunEvent {
        RunEvent::Committed {
            step: "publish".parse().unwrap(),
            target: "shop.orders".to_owned(),
            snapshot: Some(snapshot),
            rows,
        }
    }

    fn finished(step: &str) -> RunEvent {
        RunEvent::StepFinished {
            step: step.parse().unwrap(),
            rows: 3,
            bytes: None,
            millis: 1,
        }
    }

    fn failed() -> RunEvent {
        RunEvent::Failed {
            kind: "timeout".to_owned(),
            message: "too slow".to_owned(),
        }
    }

    fn abandoned() -> RunEvent {
        RunEvent::Abandoned {
            why: "the lock was free".to_owned(),
        }
    }

    /// The events, one a second.
    fn log(events: impl IntoIterator<Item = RunEvent>) -> Vec<Event> {
        let at = |sequence: u32| DateTime::from_timestamp(i64::from(sequence), 0).unwrap();
        let events = (1..).zip(events);
        events
            .map(|(sequence, event)| Event {
                sequence,
                at: at(sequence),
                event,
            })
            .collect()
    }

    #[test]
    fn a_run_is_what_its_events_say() {
        let status = of(&log([
            started(1),
            finished("orders"),
            committed(7, 3),
            finished("publish"),
            RunEvent::Succeeded,
        ]))
        .unwrap();
        assert_eq!(status.phase, Phase::Succeeded);
        assert_eq!(status.started.timestamp(), 1);
        assert_eq!(status.finished.map(|at| at.timestamp()), Some(5));
        assert_eq!(
            (status.attempts, status.rows, status.steps.len()),
            (1, 3, 2)
        );
        assert!(status.has_ended());
    }

    #[test]
    fn without_an_end_it_is_running() {
        let status = of(&log([started(1), finished("orders")])).unwrap();
        assert_eq!((status.phase, status.finished), (Phase::Running, None));
    }

    #[test]
    fn each_end_is_a_phase() {
        for (end, name) in [
            (RunEvent::Succeeded, "\"succeeded\""),
            (
                failed(),
                r#"{"failed":{"kind":"timeout","message":"too slow"}}"#,
            ),
            (RunEvent::Cancelled, "\"cancelled\""),
            (abandoned(), r#"{"abandoned":{"why":"the lock was free"}}"#),
        ] {
            let status = of(&log([started(1), end])).unwrap();
            assert_eq!(serde_json::to_string(&status.phase).unwrap(), name);
        }
    }

    #[test]
    fn another_attempt_does_its_steps_again_and_keeps_its_commits() {
        let status = of(&log([
            started(1),
            finished("orders"),
            committed(7, 3),
            started(2),
            committed(7, 3),
            finished("orders"),
        ]))
        .unwrap();
        assert_eq!((status.attempts, status.steps.len()), (2, 1));
        assert_eq!((status.rows, status.commits.len()), (3, 1));
    }

    #[test]
    fn an_illegal_transition_has_a_name() {
        use IllegalTransition as Illegal;
        let cases = [
            (vec![], Illegal::NoEvents),
            (
                vec![finished("orders")],
                Illegal::NotStarted {
                    event: "step_finished",
                },
            ),
            (
                vec![started(1), RunEvent::Succeeded, started(2)],
                Illegal::AfterEnd {
                    end: "succeeded",
                    event: "started",
                },
            ),
            (
                vec![started(1), abandoned(), RunEvent::Succeeded],
                Illegal::AfterEnd {
                    end: "abandoned",
                    event: "succeeded",
                },
            ),
            (
                vec![started(1), failed(), committed(7, 3)],
                Illegal::AfterEnd {
                    end: "failed",
                    event: "committed",
                },
            ),
            (
                vec![started(0)],
                Illegal::AttemptOutOfOrder {
                    before: 0,
                    attempt: 0,
                },
            ),
            (
                vec![started(1), started(1)],
                Illegal::AttemptOutOfOrder {
                    before: 1,
                    attempt: 1,
                },
            ),
            (
                vec![started(1), committed(7, 3), committed(8, 3)],
                Illegal::CommittedTwice {
                    step: "publish".parse().unwrap(),
                    target: "shop.orders".to_owned(),
                },
            ),
        ];
        for (events, illegal) in cases {
            assert_eq!(of(&log(events)), Err(illegal));
        }
    }

    #[test]
    fn a_table_that_went_back_between_attempts_is_committed_again() {
        let events = vec![started(1), committed(7, 3), started(2), committed(8, 4)];
        let status = of(&log(events)).unwrap();
        assert_eq!(status.rows, 4);
        assert_eq!(status.commits.len(), 1);
        assert_eq!(status.commits[0].snapshot, Some(8));
    }

    #[test]
    fn events_survive_json() {
        for event in [
            started(1),
            finished("orders"),
            committed(7, 3),
            failed(),
            abandoned(),
        ] {
            let json = serde_json::to_string(&event).unwrap();
            assert!(
                json.starts_with(&format!("{{\"{}\":", event.kind())),
                "{json}"
            );
            assert_eq!(serde_json::from_str::<RunEvent>(&json).unwrap(), event);
        }
    }
}
