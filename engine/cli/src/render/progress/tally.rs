//! How far each step is, and the sentences that bars and lines share.

use std::time::{Duration, Instant};

use run::ProgressEvent;
use spec::model::Otherwise;

use crate::render::amount::{bytes, count, counted, duration};
use crate::render::style::{BAD, CARE, FAINT, GOOD, NOTE, STRONG, paint};

/// How far one step is.
pub(super) struct Tally {
    started: Instant,
    rows: u64,
    bytes: u64,
}

impl Tally {
    pub(super) fn start() -> Self {
        Self {
            started: Instant::now(),
            rows: 0,
            bytes: 0,
        }
    }

    pub(super) const fn add(&mut self, rows: u64, bytes: u64) {
        self.rows = self.rows.saturating_add(rows);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// `1 234 567 rows, 96.3 MiB, 48.1 MiB/s`
    pub(super) fn text(&self) -> String {
        if self.rows == 0 && self.bytes == 0 {
            return String::new();
        }
        let rate = per_second(self.bytes, self.started.elapsed());
        format!(
            "{}, {}, {}/s",
            counted(self.rows, "row", "rows"),
            bytes(self.bytes),
            bytes(rate)
        )
    }

    /// The same when it is over; `rows` is what the step itself counted.
    pub(super) fn ended(&self, rows: u64) -> String {
        let took = self.started.elapsed();
        let size = if self.bytes == 0 {
            String::new()
        } else {
            format!(
                ", {}, {}/s",
                bytes(self.bytes),
                bytes(per_second(self.bytes, took))
            )
        };
        format!(
            "{}{size} in {}",
            counted(rows, "row", "rows"),
            duration(took)
        )
    }
}

fn per_second(amount: u64, time: Duration) -> u64 {
    let millis = time.as_millis().max(1);
    u64::try_from(u128::from(amount) * 1000 / millis).unwrap_or(u64::MAX)
}

/// The line for what is worth one whatever the form; `None` for the rest.
pub(super) fn sentence(event: &ProgressEvent) -> Option<String> {
    match event {
        ProgressEvent::Check {
            step,
            rule,
            failed,
            otherwise,
        } if *failed > 0 => {
            let (what, style) = match otherwise {
                Otherwise::Warn => ("kept, with this warning", NOTE),
                Otherwise::Drop => ("dropped", CARE),
                Otherwise::Quarantine => ("put in quarantine", CARE),
                Otherwise::Fail => ("and so the run fails", BAD),
            };
            let verdict = paint(style, format!("{} failed `{rule}`, {what}", count(*failed)));
            Some(format!("{step}: {verdict}"))
        }
        ProgressEvent::Committed {
            step,
            target,
            rows,
            snapshot,
            already,
        } => {
            let rows = counted(*rows, "row", "rows");
            let id = snapshot
                .map(|id| format!(", snapshot {id}"))
                .unwrap_or_default();
            let verb = if *already {
                "was committed before"
            } else {
                "committed"
            };
            Some(format!(
                "{step}: {target} {} {}",
                paint(GOOD, verb),
                paint(FAINT, format!("({rows}{id})"))
            ))
        }
        ProgressEvent::Note { text } => Some(paint(STRONG, text)),
        _ => None,
    }
}
