//! Windows: which rows of a source are new.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use connectors::{Error, ErrorKind, Literal, Result, Watermark};
use spec::model::{Lag, Nulls, WatermarkBy};
use spec::plan::{PlannedWindow, WindowEdge};

/// Seconds in a day.
const SECONDS_A_DAY: u64 = 86_400;

/// The window of a read that goes on from `last` and ends at `until`.
pub(crate) fn window(
    by: &WatermarkBy,
    last: Option<&Watermark>,
    until: Option<Watermark>,
) -> Result<PlannedWindow> {
    // What was read stays read, even when the rows that were highest are gone.
    let until = match (until, last) {
        (Some(Watermark::Files(mut files)), Some(Watermark::Files(read))) => {
            for (path, etag) in read {
                files.entry(path.clone()).or_insert_with(|| etag.clone());
            }
            Some(Watermark::Files(files))
        }
        (Some(Watermark::Value(until)), Some(Watermark::Value(last))) if earlier(&until, last) => {
            Some(Watermark::Value(last.clone()))
        }
        (until, last) => until.or_else(|| last.cloned()),
    };
    let after = match (last, by.lag) {
        (Some(Watermark::Value(value)), Some(lag)) => Some(Watermark::Value(less(value, lag)?)),
        _ => last.cloned(),
    };
    Ok(PlannedWindow {
        changes: by.changes,
        column: by.column.clone(),
        last: last.map(to_json).transpose()?,
        after: after.as_ref().map(to_json).transpose()?,
        until: until.as_ref().map(to_json).transpose()?,
        edge: edge(by),
        nulls: by.nulls,
    })
}

/// A unique watermark without lag needs no second look; everything else is read again from the edge on and known by key.
fn edge(by: &WatermarkBy) -> WindowEdge {
    let Some(column) = &by.column else {
        return WindowEdge::Files;
    };
    if by.unique && by.lag.is_none() && by.nulls != Nulls::Read {
        return WindowEdge::Exclusive;
    }
    let mut key = by.key.clone();
    if !key.contains(column) {
        key.push(column.clone());
    }
    WindowEdge::Inclusive { key }
}

/// The planned window in the words of the connector contract.
pub(crate) fn for_source(window: &PlannedWindow) -> Result<connectors::Window> {
    Ok(connectors::Window {
        changes: window.changes,
        column: window.column.clone(),
        after: window.after.as_ref().map(from_json).transpose()?,
        inclusive: matches!(window.edge, WindowEdge::Inclusive { .. }),
        until: window.until.as_ref().map(from_json).transpose()?,
        nulls: match window.nulls {
            Nulls::Fail => connectors::Nulls::Fail,
            Nulls::Skip => connectors::Nulls::Skip,
            Nulls::Read => connectors::Nulls::Read,
        },
    })
}

/// A watermark as plans and snapshots keep it.
pub(crate) fn to_json(watermark: &Watermark) -> Result<serde_json::Value> {
    serde_json::to_value(watermark).map_err(|error| {
        Error::new(ErrorKind::Internal, "a watermark cannot be written down").caused_by(error)
    })
}

/// A watermark that a plan or snapshot kept.
pub(crate) fn from_json(json: &serde_json::Value) -> Result<Watermark> {
    serde_json::from_value(json.clone()).map_err(|error| {
        Error::new(
            ErrorKind::InvalidData,
            "a watermark that was kept cannot be read",
        )
        .with("watermark", json)
        .caused_by(error)
    })
}

/// Whether a read that has come so far has surely come less far than another.
pub(crate) fn is_before(one: Option<&Watermark>, other: Option<&Watermark>) -> bool {
    match (one, other) {
        (None, Some(_)) => true,
        (Some(Watermark::Value(one)), Some(Watermark::Value(other))) => earlier(one, other),
        (Some(Watermark::Files(one)), Some(Watermark::Files(other))) => {
            one.len() < other.len() && one.keys().all(|path| other.contains_key(path))
        }
        _ => false,
    }
}

/// The window of a read that goes on from `last` and ends where others stand already. Of files only those can be read
/// that are still what they were then; `there` are all that are.
pub(crate) fn up_to(
    by: &WatermarkBy,
    last: Option<&Watermark>,
    others: &Watermark,
    there: Option<&Watermark>,
) -> Result<PlannedWindow> {
    let planned = window(by, last, Some(others.clone()))?;
    let Watermark::Files(read) = others else {
        return Ok(planned);
    };
    let mut after = match last {
        Some(Watermark::Files(last)) => last.clone(),
        _ => BTreeMap::new(),
    };
    let there = match there {
        Some(Watermark::Files(there)) => Some(there),
        _ => None,
    };
    for (path, etag) in read {
        if there.and_then(|there| there.get(path)) != Some(etag) {
            after.insert(path.clone(), etag.clone());
        }
    }
    Ok(PlannedWindow {
        after: Some(to_json(&Watermark::Files(after))?),
        ..planned
    })
}

/// Whether one value is surely below another. Text is not: its source may order it in another way.
fn earlier(one: &Literal, other: &Literal) -> bool {
    match (one, other) {
        (Literal::Int(one), Literal::Int(other))
        | (Literal::Timestamp(one), Literal::Timestamp(other))
        | (Literal::TimestampTz(one), Literal::TimestampTz(other)) => one < other,
        (Literal::Date(one), Literal::Date(other)) => one < other,
        (Literal::Uuid(one), Literal::Uuid(other)) => one < other,
        (Literal::Decimal(one), Literal::Decimal(other)) => {
            decimal_order(one, other) == Ordering::Less
        }
        _ => false,
    }
}

/// How two exact numbers, written out, are ordered.
fn decimal_order(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits.to_owned()),
            None => (false, text.to_owned()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        (negative && !zero, whole, fraction)
    };
    let ((minus, whole, fraction), (other_minus, other_whole, other_fraction)) =
        (parts(one), parts(other));
    if minus != other_minus {
        return if minus {
            Ordering::Less
        } else {
            Ordering::Greater
        };
    }
    let size =
        (whole.len(), whole, fraction).cmp(&(other_whole.len(), other_whole, other_fraction));
    if minus { size.reverse() } else { size }
}

/// A value less a lag.
fn less(value: &Literal, lag: Lag) -> Result<Literal> {
    Ok(match (value, lag) {
        (Literal::Timestamp(micros), Lag::Time(lag)) => {
            Literal::Timestamp(micros.saturating_sub(micros_of(lag)))
        }
        (Literal::TimestampTz(micros), Lag::Time(lag)) => {
            Literal::TimestampTz(micros.saturating_sub(micros_of(lag)))
        }
        (Literal::Date(days), Lag::Time(lag)) => {
            let whole_days =
                i32::try_from(lag.as_secs().div_ceil(SECONDS_A_DAY)).unwrap_or(i32::MAX);
            Literal::Date(days.saturating_sub(whole_days))
        }
        (Literal::Int(number), Lag::Number(lag)) => {
            Literal::Int(number.saturating_sub_unsigned(lag))
        }
        _ => {
            let help = match value {
                Literal::Timestamp(_) | Literal::TimestampTz(_) | Literal::Date(_) => {
                    "write a duration, like `5m`"
                }
                Literal::Int(_) => "write a whole number, like `1000`",
                _ => "leave it out: only times, dates and whole numbers have one",
            };
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the lag does not fit the watermark column",
            )
            .with("watermark", value)
            .help(help));
        }
    })
}

fn micros_of(lag: Duration) -> i64 {
    i64::try_from(lag.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROS: i64 = 1_000_000;

    fn by(lag: Option<Lag>, unique: bool) -> WatermarkBy {
        WatermarkBy {
            changes: false,
            column: Some("at".to_owned()),
            lag,
            key: vec!["id".to_owned()],
            unique,
            nulls: Nulls::Fail,
        }
    }

    #[test]
    fn a_lag_moves_the_start_and_makes_the_edge_inclusive() {
        let last = Some(Watermark::Value(Literal::TimestampTz(600 * MICROS)));
        let until = Some(Watermark::Value(Literal::TimestampTz(900 * MICROS)));
        let window = window(
            &by(Some(Lag::Time(Duration::from_mins(5))), true),
            last.as_ref(),
            until,
        )
        .unwrap();
        assert_eq!(
            window.after,
            Some(serde_json::json!({"value": {"timestamp_tz": 300 * MICROS}}))
        );
        assert_eq!(
            window.edge.key(),
            Some(&["id".to_owned(), "at".to_owned()][..])
        );
    }

    #[test]
    fn what_was_read_stays_read_when_the_source_is_emptied() {
        let last = Some(Watermark::Value(Literal::Int(7)));
        let window = window(&by(None, true), last.as_ref(), None).unwrap();
        assert_eq!(window.until, window.after);
    }

    #[test]
    fn text_has_no_lag() {
        let last = Some(Watermark::Value(Literal::Text("b".to_owned())));
        assert!(window(&by(Some(Lag::Number(5)), false), last.as_ref(), None).is_err());
    }

    #[test]
    fn a_watermark_never_goes_back() {
        let last = Watermark::Value(Literal::Int(9));
        let until = Some(Watermark::Value(Literal::Int(4)));
        let window = window(&by(None, true), Some(&last), until).unwrap();
        assert_eq!(window.until, window.last);
    }

    #[test]
    fn exact_numbers_are_ordered_by_value() {
        for (less, more) in [
            ("-2", "1.5"),
            ("9.99", "10"),
            ("-10", "-9.99"),
            ("0.10", "0.2"),
            ("-0.5", "0"),
        ] {
            assert_eq!(decimal_order(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(
                decimal_order(more, less),
                Ordering::Greater,
                "{less} {more}"
            );
        }
        assert_eq!(decimal_order("1.50", "01.5"), Ordering::Equal);
    }
}
