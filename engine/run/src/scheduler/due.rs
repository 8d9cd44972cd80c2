//! The scheduler's brain: what is to be decided now. Pure, so that years of schedule run in milliseconds in a test.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use spec::model::{Catchup, Overlap, PipelineId, Schedule};

use super::{Decision, Known, Published, Schedules, Verdict};

/// How much later than its time a decision may come and still be in time: what is later was missed, and is for `catchup`.
const IN_TIME: TimeDelta = TimeDelta::minutes(1);

/// The most times of one pipeline that are decided at once; the rest is for the next look.
const MANY: usize = 1_000;

/// What is to be decided now, in the order in which it is to be written down.
///
/// Asked again before that has happened, it answers the same for the same `now`; asked after, it goes on from there, so
/// that whoever dies in between loses nothing. Times before the last decision are never looked at: a clock that is set
/// back makes nothing run twice.
pub fn due<'a>(
    now: DateTime<Utc>,
    schedules: impl IntoIterator<Item = (&'a PipelineId, &'a Schedule)>,
    state: &Schedules,
) -> Vec<Decision> {
    let nothing = Known::default();
    let mut decisions = Vec::new();
    for (id, schedule) in schedules {
        let known = state.known.get(id).unwrap_or(&nothing);
        let mut one = One {
            id,
            schedule,
            rule: schedule.rule(),
            published: &state.published,
            sequence: known.decisions,
            waiting: known.waiting,
            running: known.running,
            decisions: &mut decisions,
        };
        one.decide(now, known);
    }
    decisions
}

/// What is to be decided of schedules that are no more: should they come back, no time in between counts.
pub fn dropped(
    now: DateTime<Utc>,
    scheduled: &BTreeSet<&PipelineId>,
    state: &Schedules,
) -> Vec<Decision> {
    let gone = state.known.iter().filter(|(id, known)| {
        let last = known.last.as_ref();
        !scheduled.contains(id) && last.is_some_and(|last| !last.rule.is_empty())
    });
    gone.map(|(id, known)| Decision {
        pipeline: id.clone(),
        sequence: known.decisions.saturating_add(1),
        due: now,
        verdict: Verdict::Adopted,
        cause: "no schedule any more".to_owned(),
        rule: String::new(),
        seen: Published::new(),
    })
    .collect()
}

/// When the clock makes a pipeline due next, if this is the last time of the rule that was decided.
pub fn next_due(
    id: &PipelineId,
    schedule: &Schedule,
    decided: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let time = schedule.next_after(decided)?;
    Some(time + lateness(id, schedule))
}

/// When the clock makes a pipeline due next, seen from now: a time of the rule that has come is still next for as long as
/// the pipeline starts later than the rule says. What has been decided is over, whatever the clock shows.
pub fn next_from(
    id: &PipelineId,
    schedule: &Schedule,
    decided: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let come = now - lateness(id, schedule);
    next_due(
        id,
        schedule,
        decided.map_or(now, |decided| decided.max(come)),
    )
}

/// How much later than the rule says the pipeline starts: spread evenly over `jitter`, and always the same.
fn lateness(id: &PipelineId, schedule: &Schedule) -> TimeDelta {
    let Some(jitter) = schedule.jitter else {
        return TimeDelta::zero();
    };
    let digest = Sha256::digest(id.to_string());
    let number = digest
        .iter()
        .take(4)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let millis = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    let part = (u128::from(millis) * u128::from(number)) >> 32;
    TimeDelta::milliseconds(i64::try_from(part).unwrap_or(i64::MAX))
}

/// One pipeline that is looked at.
struct One<'a> {
    id: &'a PipelineId,
    schedule: &'a Schedule,
    rule: String,
    published: &'a Published,
    sequence: u32,
    waiting: usize,
    running: usize,
    decisions: &'a mut Vec<Decision>,
}

impl One<'_> {
    fn decide(&mut self, now: DateTime<Utc>, known: &Known) {
        if known.paused {
            return;
        }
        let Some(last) = known.last.as_ref().filter(|last| last.rule == self.rule) else {
            // What was published before counts for nothing, nor does any time before.
            let seen = self.publications();
            self.add(now, Verdict::Adopted, "a new schedule", seen);
            return;
        };
        let until = now - lateness(self.id, self.schedule);
        let fresh = self.fresh(&last.seen);
        match (&self.schedule.cron, self.schedule.after.is_empty()) {
            (Some(cron), true) => {
                let cause = format!("schedule {cron} {}", self.schedule.timezone);
                self.by_the_clock(last.due, until, &cause, &last.seen);
            }
            (Some(_), false) => self.by_both(last.due, until, fresh, &last.seen),
            // What is published while a run is waiting or going on is for one more run, when that has ended.
            (None, _) if fresh && !self.is_busy() => {
                let (cause, seen) = (self.rule.clone(), self.publications());
                self.add(now.max(last.due), Verdict::Run, &cause, seen);
            }
            (None, _) => {}
        }
    }

    /// Every time of the rule by itself, and those that were missed as `catchup` says.
    fn by_the_clock(
        &mut self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        cause: &str,
        seen: &Published,
    ) {
        let in_time = after.max(until - IN_TIME);
        match self.schedule.catchup {
            Catchup::All => {
                let late = self.times(after, in_time);
                for time in &late {
                    // One run for each is what was asked for: they wait for one another, whatever `overlap` says.
                    self.add(
                        *time,
                        Verdict::Run,
                        &format!("{cause}, caught up"),
                        seen.clone(),
                    );
                    self.waiting += 1;
                }
                if late.len() >= MANY {
                    return;
                }
            }
            Catchup::Last => {
                if let Some(time) = self.schedule.last_within(after, in_time) {
                    self.admit(time, &format!("{cause}, caught up"), seen.clone());
                }
            }
            Catchup::None => {
                if let Some(time) = self.schedule.last_within(after, in_time) {
                    self.add(time, Verdict::Missed, cause, seen.clone());
                }
            }
        }
        for time in self.times(in_time, until) {
            self.admit(time, cause, seen.clone());
        }
    }

    /// The last time of the rule, once all have published.
    fn by_both(
        &mut self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        fresh: bool,
        seen: &Published,
    ) {
        let cause = self.rule.clone();
        if fresh {
            if let Some(time) = self.schedule.last_within(after, until) {
                // Where there is to be no run, what was published is still new to the next.
                let seen = if self.is_busy() {
                    seen.clone()
                } else {
                    self.publications()
                };
                self.admit(time, &cause, seen);
            }
        } else if let Some(wait) = self.schedule.max_wait
            && let Some(given_up) = TimeDelta::from_std(wait)
                .ok()
                .and_then(|wait| until.checked_sub_signed(wait))
            && let Some(time) = self.schedule.last_within(after, given_up)
        {
            let names: Vec<String> = self
                .schedule
                .after
                .iter()
                .map(ToString::to_string)
                .collect();
            let cause = format!("waited in vain for {}", names.join(", "));
            self.add(time, Verdict::Missed, &cause, seen.clone());
        }
    }

    /// The times of the rule after the one instant and not after the other, the oldest first, not more than are decided
    /// at once.
    fn times(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let next = |time: &DateTime<Utc>| self.schedule.next_after(*time);
        std::iter::successors(next(&after), next)
            .take_while(|time| *time <= until)
            .take(MANY)
            .collect()
    }

    /// Whether each pipeline that it waits for has published since.
    fn fresh(&self, seen: &Published) -> bool {
        self.schedule.after.iter().all(|other| {
            let now = self.published.get(other);
            now.is_some() && now != seen.get(other)
        })
    }

    /// What the pipelines that it waits for have published.
    fn publications(&self) -> Published {
        let after = self.schedule.after.iter();
        after
            .filter_map(|other| Some((other.clone(), *self.published.get(other)?)))
            .collect()
    }

    /// Whether `overlap` has something against another run.
    fn is_busy(&self) -> bool {
        match self.schedule.overlap {
            Overlap::Skip => self.waiting + self.running > 0,
            Overlap::Coalesce => self.waiting > 0,
            Overlap::Queue => false,
        }
    }

    /// A run, unless `overlap` has something against it.
    fn admit(&mut self, due: DateTime<Utc>, cause: &str, seen: Published) {
        if self.is_busy() {
            self.add(due, Verdict::Skipped, cause, seen);
        } else {
            self.add(due, Verdict::Run, cause, seen);
            self.waiting += 1;
        }
    }

    fn add(&mut self, due: DateTime<Utc>, verdict: Verdict, cause: &str, seen: Published) {
        self.sequence = self.sequence.saturating_add(1);
        self.decisions.push(Decision {
            pipeline: self.id.clone(),
            sequence: self.sequence,
            due,
            verdict,
            cause: cause.to_owned(),
            rule: self.rule.clone(),
            seen,
        });
    }
}
