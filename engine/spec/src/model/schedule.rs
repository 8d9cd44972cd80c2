//! When a pipeline runs by itself. The only file that knows cron's syntax.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Duration, NaiveDateTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::PipelineId;

/// When a pipeline runs by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The cron rule; `None` where only `after` starts it.
    pub cron: Option<Cron>,
    /// Whose clock the rule is about.
    pub timezone: Tz,
    /// What happens when it is due and still running.
    pub overlap: Overlap,
    /// What happens with times that were missed.
    pub catchup: Catchup,
    /// Pipelines whose new data starts it.
    pub after: Vec<PipelineId>,
    /// How long it waits for `after` once the cron rule has come true; for ever where nothing is said.
    pub max_wait: Option<std::time::Duration>,
    /// It starts up to so much later than the rule says, by a time that is always the same for one pipeline.
    pub jitter: Option<std::time::Duration>,
}

/// What happens when a pipeline is due and still running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overlap {
    /// The new run is left out.
    #[default]
    Skip,
    /// The new run waits.
    Queue,
    /// Any number of waiting runs become one.
    Coalesce,
}

/// What happens with times that were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Catchup {
    /// Nothing.
    None,
    /// One run for all of them.
    #[default]
    Last,
    /// One run for each.
    All,
}

/// A cron rule, read once: asked thousands of times, it is not to be read thousands of times.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    rule: cron::Schedule,
}

impl Cron {
    /// Reads five fields, or six with seconds first; if that cannot be, why.
    pub fn read(text: &str) -> Result<Self, String> {
        let rule = parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            rule,
        })
    }

    /// Whether it ever comes true.
    pub(crate) fn comes(&self) -> bool {
        self.rule.after(&DateTime::UNIX_EPOCH).next().is_some()
    }
}

/// Rules that are written alike are alike.
impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// What decides when it is due, in one line: where this differs, it is another schedule.
    pub fn rule(&self) -> String {
        let cron = self
            .cron
            .as_ref()
            .map(|cron| format!("{cron} {}", self.timezone));
        let after: Vec<String> = self.after.iter().map(ToString::to_string).collect();
        let after = (!after.is_empty()).then(|| format!("after {}", after.join(", ")));
        cron.into_iter().chain(after).collect::<Vec<_>>().join(", ")
    }

    /// The last time the cron rule comes true after the one instant and not after the other.
    pub fn last_within(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Looked for from the end, in spans that double: a rule may come true every second for years.
        let mut span = Duration::minutes(1);
        loop {
            let from = until
                .checked_sub_signed(span)
                .map_or(after, |from| from.max(after));
            let mut last = self.next_after(from).filter(|time| *time <= until);
            while let Some(next) = last
                .and_then(|time| self.next_after(time))
                .filter(|time| *time <= until)
            {
                last = Some(next);
            }
            if last.is_some() || from <= after {
                return last;
            }
            span = span * 2;
        }
    }

    /// The next time the cron rule comes true after this one; `None` where there is no rule, or no such time.
    ///
    /// A local time that a clock change skips counts as the first valid one after it; one that it repeats counts once,
    /// the first time.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let rule = &self.cron.as_ref()?.rule;
        // The rule is followed on a clock without changes. Mapping its times to moments keeps their order, so that
        // nothing before the local time of `now` can be a moment after it.
        let local = now.with_timezone(&self.timezone).naive_local().and_utc();
        rule.after(&local)
            .find_map(|time| moment(self.timezone, time.naive_utc()).filter(|moment| *moment > now))
    }
}

/// The most minutes a clock change skips: a whole day, as Samoa did.
const MAX_GAP_MINUTES: i64 = 25 * 60;

/// The first moment at which clocks show this time, or where they never do, the first after the gap.
fn moment(timezone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    if let Some(moment) = timezone.from_local_datetime(&local).earliest() {
        return Some(moment.with_timezone(&Utc));
    }
    let minute = local.with_second(0)?;
    (1..=MAX_GAP_MINUTES)
        .filter_map(|minutes| minute.checked_add_signed(Duration::minutes(minutes)))
        .find_map(|later| timezone.from_local_datetime(&later).earliest())
        .map(|moment| moment.with_timezone(&Utc))
}

/// The most bytes a rule may have.
const MAX_LEN: usize = 256;

/// Reads five fields, or six with seconds, in the dialect of the `cron` crate: seconds first, weekdays 1 to 7 from Sunday.
fn parse(text: &str) -> Result<cron::Schedule, String> {
    if text.len() > MAX_LEN {
        return Err(format!("it has more than {MAX_LEN} bytes"));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (seconds, rest) = match fields.as_slice() {
        rest if rest.len() == 5 => ("0", rest),
        [seconds, rest @ ..] if rest.len() == 5 => (*seconds, rest),
        _ => return Err(format!("it has {} fields", fields.len())),
    };
    let [minute, hour, day, month, weekday] = rest else {
        return Err("it has not five fields".to_owned());
    };
    if !matches!(*day, "*" | "?") && !matches!(*weekday, "*" | "?") {
        return Err(
            "day and weekday are both restricted, and programs differ in what that means"
                .to_owned(),
        );
    }
    let weekday = weekdays(weekday)?;
    let rule = format!("{seconds} {minute} {hour} {day} {month} {weekday}");
    cron::Schedule::from_str(&rule).map_err(|_| {
        let fields = [seconds, minute, hour, day, month];
        bad_field(fields).unwrap_or_else(|| format!("`{text}` cannot be read"))
    })
}

/// What each field but the weekday is, and what it may be.
const FIELDS: [(&str, &str); 5] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day", "1 to 31"),
    ("month", "1 to 12 or `JAN` to `DEC`"),
];

/// The first field that is wrong by itself, and what it may be.
fn bad_field(fields: [&str; 5]) -> Option<String> {
    fields
        .iter()
        .zip(FIELDS)
        .enumerate()
        .find_map(|(place, (field, (name, range)))| {
            let mut rule = ["0", "0", "0", "*", "*", "*"];
            *rule.get_mut(place)? = field;
            let good = cron::Schedule::from_str(&rule.join(" ")).is_ok();
            (!good).then(|| format!("the {name} is `{field}`, and {name}s go from {range}"))
        })
}

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The weekday field with 0 to 7 from Sunday or names → a list of 1 to 7 from Sunday.
fn weekdays(field: &str) -> Result<String, String> {
    if matches!(field, "*" | "?") {
        return Ok("*".to_owned());
    }
    let mut days = [false; 7];
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (
                range,
                step.parse().ok().filter(|step| (1..=7).contains(step)),
            ),
            None => (part, Some(1)),
        };
        let step: usize = step.ok_or_else(|| format!("`{part}` has no step that makes sense"))?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None if part.contains('/') => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        // `FRI-MON` and `5-7` go over the end of the week.
        let last = if last < first { last + 7 } else { last };
        for day in (first..=last).step_by(step) {
            if let Some(there) = days.get_mut(day % 7) {
                *there = true;
            }
        }
    }
    let list: Vec<String> = days
        .iter()
        .enumerate()
        .filter(|(_, there)| **there)
        .map(|(i, _)| (i + 1).to_string())
        .collect();
    Ok(list.join(","))
}

/// The day by its number, 0 and 7 being Sunday, or by its name.
fn weekday(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= 7);
    let name = || DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    number
        .or_else(name)
        .ok_or_else(|| format!("`{text}` is no weekday; weekdays are `SUN` to `SAT` or 0 to 7"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cron: &str, timezone: Tz, from: &str, count: usize) -> Vec<String> {
        let (overlap, catchup) = (Overlap::Skip, Catchup::None);
        let schedule = Schedule {
            cron: Some(Cron::read(cron).unwrap()),
            timezone,
            overlap,
            catchup,
            after: Vec::new(),
            max_wait: None,
            jitter: None,
        };
        let mut now: DateTime<Utc> = from.parse().unwrap();
        let mut times = Vec::new();
        for _ in 0..count {
            now = schedule.next_after(now).unwrap();
            times.push(now.format("%a %d %H:%M:%S").to_string());
        }
        times
    }

    #[test]
    fn weekdays_count_from_sunday() {
        for (field, list) in [
            ("0", "1"),
            ("7", "1"),
            ("1-5", "2,3,4,5,6"),
            ("MON-FRI", "2,3,4,5,6"),
            ("5-7", "1,6,7"),
            ("sun", "1"),
            ("FRI-MON", "1,2,6,7"),
            ("*/2", "1,3,5,7"),
            ("1,3", "2,4"),
            ("1/2", "2,4,6"),
            ("0-7", "1,2,3,4,5,6,7"),
        ] {
            assert_eq!(weekdays(field).as_deref(), Ok(list), "{field}");
        }
        for bad in ["8", "", "MO", "1-", "1/0", "1/x", "-1", "1-5-6"] {
            assert!(weekdays(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn monday_is_monday() {
        assert_eq!(
            times("15 5 * * 1", Tz::UTC, "2026-11-24T00:00:00Z", 1),
            ["Mon 30 05:15:00"]
        );
        assert_eq!(
            times("30 15 5 * * MON", Tz::UTC, "2026-11-24T00:00:00Z", 1),
            ["Mon 30 05:15:30"]
        );
    }

    #[test]
    fn a_skipped_time_runs_once_at_the_next_valid_one() {
        let zone = Tz::Europe__Berlin;
        // Clocks go from 02:00 to 03:00 on 2026-03-29, at 01:00 UTC.
        let daily = times("30 2 * * *", zone, "2026-03-28T00:00:00Z", 3);
        assert_eq!(
            daily,
            ["Sat 28 01:30:00", "Sun 29 01:00:00", "Mon 30 00:30:00"]
        );
        let often = times("*/20 * * * *", zone, "2026-03-29T00:39:00Z", 3);
        assert_eq!(
            often,
            ["Sun 29 00:40:00", "Sun 29 01:00:00", "Sun 29 01:20:00"]
        );
    }

    #[test]
    fn a_repeated_time_runs_once() {
        let zone = Tz::Europe__Berlin;
        // Clocks go from 03:00 to 02:00 on 2026-10-25, at 01:00 UTC.
        let daily = times("30 2 * * *", zone, "2026-10-24T12:00:00Z", 2);
        assert_eq!(daily, ["Sun 25 00:30:00", "Mon 26 01:30:00"]);
        let often = times("*/30 * * * *", zone, "2026-10-25T00:10:00Z", 3);
        assert_eq!(
            often,
            ["Sun 25 00:30:00", "Sun 25 02:00:00", "Sun 25 02:30:00"]
        );
    }

    #[test]
    fn rules_that_are_none() {
        for bad in [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* * 13 * FRI",
            "* 25 * * *",
            "a b c d e",
        ] {
            assert!(Cron::read(bad).is_err(), "{bad}");
        }
        let never = Schedule {
            cron: Some(Cron::read("0 0 30 2 *").unwrap()),
            timezone: Tz::UTC,
            overlap: Overlap::Skip,
            catchup: Catchup::None,
            after: Vec::new(),
            max_wait: None,
            jitter: None,
        };
        assert_eq!(never.next_after(DateTime::UNIX_EPOCH), None);
    }
}
