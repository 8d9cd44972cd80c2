//! How many parts a read is cut into, and ranges of a column that make them.
//!
//! Pure: decisions from sizes and bounds. Asks nothing of a server.

use crate::contract::SplitBy;
use crate::value::Literal;

/// About how much of a table a split holds, in bytes.
const SPLIT_BYTES: u64 = 128 * 1024 * 1024;
/// A table of at least this many bytes gives every session something to do.
const WORTH_CUTTING: u64 = 32 * 1024 * 1024;
/// About how many rows of a query a split holds.
const SPLIT_ROWS: u64 = 1_000_000;
/// A table of at least this many rows gives every session something to do.
const WORTH_CUTTING_ROWS: u64 = 250_000;
/// The most splits of one read.
const MAX_SPLITS: u64 = 1000;

/// Turns an integer that stands for a value of a column into that value.
pub(crate) type Unmeasure = fn(i64) -> Option<Literal>;

/// A range `from <= column < to`; the first has no beginning, the last no end.
pub(crate) type Range = (Option<Literal>, Option<Literal>);

/// How many parts a table of this size has.
pub(crate) fn parts(bytes: u64, rows: Option<u64>, by: &SplitBy, sessions: usize) -> u64 {
    let wanted = match (by.target_rows, rows) {
        (Some(target), Some(rows)) => rows.div_ceil(target.max(1)),
        _ if bytes >= WORTH_CUTTING => bytes.div_ceil(SPLIT_BYTES).max(sessions as u64),
        _ => 1,
    };
    wanted.clamp(1, MAX_SPLITS)
}

/// How many parts the answer of a query has.
pub(crate) fn query_parts(rows: u64, by: &SplitBy) -> u64 {
    rows.div_ceil(by.target_rows.unwrap_or(SPLIT_ROWS).max(1))
        .clamp(1, MAX_SPLITS)
}

/// How many parts a table has of which only the rows are counted: where there are many, every session has something to do.
pub(crate) fn table_parts(rows: u64, by: &SplitBy, sessions: usize) -> u64 {
    let parts = query_parts(rows, by);
    match by.target_rows {
        None if rows >= WORTH_CUTTING_ROWS => parts.max(sessions as u64),
        _ => parts,
    }
}

/// Ranges of equal width between the lowest and the highest value of a column: one without ends where there are none.
///
/// One is all where an edge has no value that the server could be told: a bound that is left out would double rows.
pub(crate) fn between(
    lowest: i64,
    highest: i64,
    parts: u64,
    literal: impl Fn(i64) -> Option<Literal>,
) -> Vec<Range> {
    let (low, high) = (i128::from(lowest), i128::from(highest));
    let parts = i128::from(parts).min(high - low + 1).max(1);
    let edges: Option<Vec<_>> = (1..parts)
        .map(|i| {
            i64::try_from(low + (high - low + 1) * i / parts)
                .ok()
                .and_then(&literal)
        })
        .collect();
    let mut ranges = Vec::new();
    let mut from = None;
    for edge in edges.unwrap_or_default() {
        let to = Some(edge);
        ranges.push((from, to.clone()));
        from = to;
    }
    ranges.push((from, None));
    ranges
}

/// The condition of a range of a column that is already quoted, and of bounds as the server writes them; `None` for all
/// rows. The range without a beginning has the NULLs.
pub(crate) fn condition(column: &str, from: Option<String>, to: Option<String>) -> Option<String> {
    Some(match (from, to) {
        (None, None) => return None,
        (None, Some(to)) => format!("({column} < {to} OR {column} IS NULL)"),
        (Some(from), None) => format!("{column} >= {from}"),
        (Some(from), Some(to)) => format!("({column} >= {from} AND {column} < {to})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tables_stay_whole() {
        let by = SplitBy::default();
        assert_eq!(parts(1024, Some(10), &by, 4), 1);
        assert_eq!(parts(40 << 20, None, &by, 4), 4);
        assert_eq!(parts(1 << 30, None, &by, 4), 8);
        assert_eq!(parts(u64::MAX, None, &by, 4), 1000);
        let by = SplitBy {
            column: None,
            target_rows: Some(10),
        };
        assert_eq!(parts(1024, Some(25), &by, 4), 3);
    }
}
