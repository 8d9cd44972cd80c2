//! Years of schedules in seconds: daemons die, clocks jump, leaders are replaced, and no time is lost or doubled.
//!
//! What should happen is computed in another way than what does: minute by minute along the clock of the zone. The seed
//! of a failure is in its message; `LAKEWRIGHT_TEST_SEEDS` sets how many there are.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use spec::model::{Catchup, Cron, Overlap, PipelineId, Schedule};

use run::scheduler::{
    Decision, Known, Last, Schedules, Verdict, dropped, due, next_due, next_from,
};

use crate::kills::Numbers;
use crate::services;

const SEEDS: u64 = 5_000;
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Numbers of all kinds.
trait Draw {
    fn below(&mut self, end: u64) -> u64;

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

impl Draw for Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A cron rule as the sets of what it allows.
struct Rule {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    weekdays: BTreeSet<u32>,
}

impl Rule {
    fn drawn(numbers: &mut Numbers) -> Self {
        let minutes = match numbers.below(3) {
            0 => [u32::try_from(numbers.below(60)).unwrap()].into(),
            1 => (0..60)
                .step_by(*numbers.one(&[5, 10, 15, 20, 30]))
                .collect(),
            _ => [0, u32::try_from(numbers.below(60)).unwrap()].into(),
        };
        let hours = match numbers.below(3) {
            0 => (0..24).collect(),
            1 => [0, 1, 2, 3].into(),
            _ => [u32::try_from(numbers.below(24)).unwrap()].into(),
        };
        let weekdays = match numbers.below(3) {
            0 => (1..=5).collect(),
            _ => (0..7).collect(),
        };
        Self {
            minutes,
            hours,
            weekdays,
        }
    }

    fn text(&self) -> String {
        let list = |set: &BTreeSet<u32>| {
            let all: Vec<String> = set.iter().map(ToString::to_string).collect();
            all.join(",")
        };
        let weekdays = if self.weekdays.len() == 7 {
            "*".to_owned()
        } else {
            list(&self.weekdays)
        };
        format!(
            "{} {} * * {weekdays}",
            list(&self.minutes),
            list(&self.hours)
        )
    }

    fn allows(&self, local: NaiveDateTime) -> bool {
        self.minutes.contains(&local.minute())
            && self.hours.contains(&local.hour())
            && self
                .weekdays
                .contains(&local.weekday().num_days_from_sunday())
    }

    /// The moments after the one and not after the other at which it comes true, found by looking at every minute.
    fn times(&self, zone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        // Far enough back to know which local times have been before.
        let mut minute = (after - TimeDelta::hours(4))
            .with_second(0)
            .unwrap()
            .with_nanosecond(0)
            .unwrap();
        let (mut last, mut seen, mut times) = (None::<NaiveDateTime>, BTreeSet::new(), Vec::new());
        while minute <= until {
            let local = minute.with_timezone(&zone).naive_local();
            let mut comes = seen.insert(local) && self.allows(local);
            if let Some(mut skipped) = last.map(|last| last + MINUTE) {
                while skipped < local {
                    comes |= seen.insert(skipped) && self.allows(skipped);
                    skipped += MINUTE;
                }
            }
            if comes && minute > after {
                times.push(minute);
            }
            last = Some(local);
            minute += MINUTE;
        }
        times
    }
}

/// The moments between 2016 and 2036 at which the clocks of a zone are changed.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    use chrono::Offset as _;
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let mut week: DateTime<Utc> = "2016-01-01T00:00:00Z".parse().unwrap();
    let end: DateTime<Utc> = "2036-01-01T00:00:00Z".parse().unwrap();
    let mut found = Vec::new();
    while week < end {
        let (mut low, mut high) = (week, week + TimeDelta::weeks(1));
        if offset(low) != offset(high) {
            while high - low > MINUTE {
                let middle = low + TimeDelta::minutes((high - low).num_minutes() / 2);
                if offset(middle) == offset(low) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            found.push(high);
        }
        week += TimeDelta::weeks(1);
    }
    found
}

fn schedule(rule: &Rule, timezone: Tz) -> Schedule {
    Schedule {
        cron: Some(Cron::read(&rule.text()).unwrap()),
        timezone,
        overlap: Overlap::Skip,
        catchup: Catchup::Last,
        after: Vec::new(),
        max_wait: None,
        jitter: None,
    }
}

#[test]
fn every_change_of_every_clock_of_twenty_years() {
    let rules = [
        ("30 2", 30..31, 2..3),
        ("5 0", 5..6, 0..1),
        ("*/30 *", 0..0, 0..24),
    ];
    let rules = rules.map(|(_, minutes, hours)| Rule {
        minutes: if minutes.is_empty() {
            [0, 30].into()
        } else {
            minutes.collect()
        },
        hours: hours.collect(),
        weekdays: (0..7).collect(),
    });
    let mut looked_at = BTreeSet::new();
    for zone in TZ_VARIANTS {
        for change in changes(zone) {
            let clocks = [-5, 5].map(|hours| {
                (change + TimeDelta::hours(hours))
                    .with_timezone(&zone)
                    .naive_local()
            });
            // Zones of one name for another, and those that keep the same clocks, are looked at once.
            if !looked_at.insert((change, clocks)) {
                continue;
            }
            let (from, until) = (change - TimeDelta::hours(5), change + TimeDelta::hours(5));
            for rule in &rules {
                let schedule = schedule(rule, zone);
                let next = |time: &DateTime<Utc>| schedule.next_after(*time);
                let told: Vec<_> = std::iter::successors(next(&from), next)
                    .take_while(|time| *time <= until)
                    .collect();
                assert_eq!(
                    told,
                    rule.times(zone, from, until),
                    "{zone} at {change}: {}",
                    rule.text()
                );
                assert_eq!(schedule.last_within(from, until), told.last().copied());
            }
        }
    }
    println!("{} changes", looked_at.len());
    assert!(looked_at.len() > 1_000);
}

/// What is written down, and the runs that came of it.
#[derive(Default)]
struct World {
    decisions: Vec<(Decision, DateTime<Utc>)>,
    waiting: usize,
    running: usize,
}

impl World {
    fn state(&self, id: &PipelineId) -> Schedules {
        let last = self.decisions.last().map(|(decision, _)| Last {
            due: decision.due,
            verdict: decision.verdict,
            rule: decision.rule.clone(),
            seen: decision.seen.clone(),
        });
        let known = Known {
            decisions: u32::try_from(self.decisions.len()).unwrap(),
            last,
            paused: false,
            waiting: self.waiting,
            running: self.running,
        };
        Schedules {
            known: [(id.clone(), known)].into(),
            published: BTreeMap::new(),
        }
    }

    /// Writes down as a store does: in order, up to the first whose place is taken.
    fn write(&mut self, decisions: Vec<Decision>, now: DateTime<Utc>) {
        for decision in decisions {
            if usize::try_from(decision.sequence).unwrap() != self.decisions.len() + 1 {
                return;
            }
            self.waiting += usize::from(decision.verdict.runs());
            self.decisions.push((decision, now));
        }
    }
}

/// One life of one schedule.
struct Life {
    numbers: Numbers,
    id: PipelineId,
    rule: Rule,
    schedule: Schedule,
    world: World,
}

impl Life {
    fn drawn(seed: u64, changes: &[(Tz, Vec<DateTime<Utc>>)]) -> (Self, DateTime<Utc>) {
        let mut numbers = Numbers(seed);
        let (zone, moments) = numbers.one(changes);
        let begin = match moments.as_slice() {
            [] => "2026-06-01T00:00:00Z".parse().unwrap(),
            some => {
                *numbers.one(some)
                    - TimeDelta::seconds(i64::try_from(numbers.below(20 * 3_600)).unwrap())
            }
        };
        let rule = Rule::drawn(&mut numbers);
        let mut schedule = schedule(&rule, *zone);
        schedule.overlap = *numbers.one(&[Overlap::Skip, Overlap::Queue, Overlap::Coalesce]);
        schedule.catchup = *numbers.one(&[Catchup::None, Catchup::Last, Catchup::All]);
        schedule.jitter =
            [None, Some(std::time::Duration::from_mins(5))][usize::from(numbers.below(4) == 0)];
        let (id, world) = ("d/p".parse().unwrap(), World::default());
        (
            Self {
                numbers,
                id,
                rule,
                schedule,
                world,
            },
            begin,
        )
    }

    fn look(&self, now: DateTime<Utc>, state: &Schedules) -> Vec<Decision> {
        due(now, [(&self.id, &self.schedule)], state)
    }

    /// Lives on for a while; the last moment that a clock showed.
    fn go_on(&mut self, mut now: DateTime<Utc>) -> DateTime<Utc> {
        let mut latest = now;
        // A leader that was replaced and does not know: it decides from what it saw then.
        let mut stale = self.world.state(&self.id);
        for _ in 0..40 {
            let seconds = match self.numbers.below(20) {
                0 => i64::try_from(self.numbers.below(9 * 3_600)).unwrap(),
                1 => -i64::try_from(self.numbers.below(2 * 3_600)).unwrap(),
                2..=5 => i64::try_from(self.numbers.below(1_800)).unwrap(),
                _ => i64::try_from(self.numbers.below(70)).unwrap(),
            };
            now += TimeDelta::seconds(seconds);
            latest = latest.max(now);
            if self.world.waiting > 0 && self.numbers.below(3) > 0 {
                self.world.waiting -= 1;
                self.world.running += 1;
            }
            if self.world.running > 0 && self.numbers.below(3) > 0 {
                self.world.running -= 1;
            }
            let mut decisions = self.look(now, &self.world.state(&self.id));
            match self.numbers.below(6) {
                // It dies before all is written.
                0 => decisions.truncate(
                    usize::try_from(self.numbers.below(1 + decisions.len() as u64)).unwrap(),
                ),
                1 => decisions = self.look(now, &stale),
                2 => stale = self.world.state(&self.id),
                _ => {}
            }
            self.world.write(decisions, now);
        }
        self.world
            .write(self.look(latest, &self.world.state(&self.id)), latest);
        latest
    }

    /// Every time of the rule is decided once, and only missed times are decided together with a later one.
    fn assert_right(&self, latest: DateTime<Utc>, seed: u64) {
        let told = |what: &str| {
            format!(
                "seed {seed}: {what}: {} {:?}",
                self.schedule.rule(),
                self.schedule
            )
        };
        let (adopted, decided) = self.world.decisions.split_first().expect("it begins");
        assert_eq!(adopted.0.verdict, Verdict::Adopted);
        let by_time: BTreeMap<_, _> = decided
            .iter()
            .map(|(decision, at)| (decision.due, (decision.verdict, *at)))
            .collect();
        assert_eq!(by_time.len(), decided.len(), "{}", told("doubled"));
        let offset = self
            .schedule
            .jitter
            .map_or(TimeDelta::zero(), |_| TimeDelta::minutes(5));
        let times = self
            .rule
            .times(self.schedule.timezone, adopted.0.due, latest);
        let all: BTreeSet<_> = times.iter().copied().collect();
        let foreign = by_time.keys().find(|time| !all.contains(time));
        assert_eq!(foreign, None, "{}", told("not a time of the rule"));
        for time in times.iter().filter(|time| **time <= latest - offset) {
            let Some((verdict, at)) = by_time.get(time) else {
                assert_ne!(
                    self.schedule.catchup,
                    Catchup::All,
                    "{}",
                    told(&format!("{time} is lost"))
                );
                let with = by_time.range(time..).next();
                let (_, (_, at)) =
                    with.unwrap_or_else(|| panic!("{}", told(&format!("{time} is lost"))));
                assert!(
                    *at - *time >= MINUTE,
                    "{}",
                    told(&format!("{time} was in time at {at}"))
                );
                continue;
            };
            assert!(at >= time, "{}", told(&format!("{time} came early")));
            if *verdict == Verdict::Missed {
                assert!(self.schedule.catchup == Catchup::None && *at - *time >= MINUTE);
            } else if self.schedule.catchup == Catchup::None {
                assert!(
                    *at - *time <= MINUTE + offset,
                    "{}",
                    told(&format!("{time} ran late"))
                );
            }
            assert!(*verdict != Verdict::Skipped || self.schedule.overlap != Overlap::Queue);
        }
    }
}

#[test]
fn no_time_is_lost_and_none_is_doubled() {
    let seeds = services::number("LAKEWRIGHT_TEST_SEEDS").unwrap_or(SEEDS);
    // Every zone, and the moments at which its clocks change.
    let changes: Vec<_> = TZ_VARIANTS
        .into_iter()
        .map(|zone| (zone, changes(zone)))
        .collect();
    let mut decided = BTreeMap::new();
    for seed in 0..seeds {
        let (mut life, begin) = Life::drawn(seed, &changes);
        let latest = life.go_on(begin);
        life.assert_right(latest, seed);
        for (decision, _) in &life.world.decisions {
            *decided.entry(decision.verdict.as_str()).or_insert(0_u64) += 1;
        }
    }
    println!("{seeds} seeds: {decided:?}");
    assert_eq!(decided.len(), 4, "{decided:?}");
}

/// Each full hour, a little later.
fn each_hour_with_jitter() -> Schedule {
    let rule = Rule {
        minutes: [0].into(),
        hours: (0..24).collect(),
        weekdays: (0..7).collect(),
    };
    Schedule {
        jitter: Some(std::time::Duration::from_mins(10)),
        ..schedule(&rule, Tz::UTC)
    }
}

#[test]
fn what_is_next_is_next_until_it_begins() {
    let (id, schedule): (PipelineId, _) = ("d/p".parse().unwrap(), each_hour_with_jitter());
    let hour = Utc.with_ymd_and_hms(2026, 1, 1, 5, 0, 0).unwrap();
    let begins = next_due(&id, &schedule, hour - MINUTE).unwrap();
    assert!(
        hour < begins && begins < hour + TimeDelta::minutes(10),
        "{begins}"
    );
    let (second, an_hour) = (TimeDelta::seconds(1), TimeDelta::hours(1));
    let next = |decided, now| next_from(&id, &schedule, decided, now).unwrap();
    let before = Some(hour - an_hour);
    for now in [hour - MINUTE, hour, begins - second] {
        assert_eq!(next(before, now), begins, "{now}");
    }
    assert_eq!(next(before, begins + second), begins + an_hour);
    // What was decided is over, also where the clock was set back.
    assert_eq!(next(Some(hour), hour - MINUTE), begins + an_hour);
    assert_eq!(next(None, hour + second), begins + an_hour);
}

#[test]
fn a_schedule_that_is_gone_is_dropped_once_and_begins_anew_when_it_comes_back() {
    let (id, schedule): (PipelineId, _) = ("d/p".parse().unwrap(), each_hour_with_jitter());
    let now = Utc.with_ymd_and_hms(2026, 1, 1, 5, 30, 0).unwrap();
    let known = |last: &Decision| Schedules {
        known: BTreeMap::from([(
            id.clone(),
            Known {
                decisions: last.sequence,
                last: Some(Last {
                    due: last.due,
                    verdict: last.verdict,
                    rule: last.rule.clone(),
                    seen: last.seen.clone(),
                }),
                ..Known::default()
            },
        )]),
        ..Schedules::default()
    };
    let adopted = due(now, [(&id, &schedule)], &Schedules::default());
    let state = known(&adopted[0]);
    assert!(dropped(now, &BTreeSet::from([&id]), &state).is_empty());
    let gone = dropped(now + MINUTE, &BTreeSet::new(), &state);
    let [gone] = gone.as_slice() else {
        panic!("{gone:?}");
    };
    assert_eq!((gone.sequence, gone.verdict), (2, Verdict::Adopted));
    let state = known(gone);
    assert!(dropped(now + MINUTE, &BTreeSet::new(), &state).is_empty());
    // Ten hours later: none of their times counts.
    let later = now + TimeDelta::hours(10);
    let back = due(later, [(&id, &schedule)], &state);
    let verdicts: Vec<_> = back.iter().map(|one| (one.verdict, one.due)).collect();
    assert_eq!(verdicts, [(Verdict::Adopted, later)]);
}
