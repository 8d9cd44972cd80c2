//! How a read is cut into splits: by pages of the table, or by ranges of a column.
//!
//! Pure: decisions from sizes and bounds. Asks nothing of a server.

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::sql;
use crate::ranges::{self, Unmeasure};
use crate::value::Literal;

/// A part of a relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cut {
    /// All of it.
    All,
    /// The pages `from..to` of a table, to its end without `to`.
    Pages { from: u64, to: Option<u64> },
    /// The rows with `from <= column < to`. The part without `from` has the NULLs.
    Range {
        column: String,
        from: Option<Literal>,
        to: Option<Literal>,
    },
}

impl Cut {
    /// A name for logs.
    pub(super) fn name(&self) -> String {
        let bound =
            |bound: &Option<Literal>| bound.as_ref().map(Literal::to_string).unwrap_or_default();
        match self {
            Self::All => "all".to_owned(),
            Self::Pages { from, to: Some(to) } => format!("ctid {from}..{to}"),
            Self::Pages { from, to: None } => format!("ctid {from}.."),
            Self::Range { column, from, to } => format!("{column} {}..{}", bound(from), bound(to)),
        }
    }

    /// The condition that only the rows of this part meet; `None` for all rows.
    pub(super) fn condition(&self, kind: &Kind) -> Option<String> {
        match self {
            Self::All => None,
            Self::Pages { from, to: Some(to) } => Some(format!(
                "ctid >= '({from},0)'::tid AND ctid < '({to},0)'::tid"
            )),
            Self::Pages { from, to: None } => Some(format!("ctid >= '({from},0)'::tid")),
            Self::Range { column, from, to } => {
                let column = sql::identifier(column);
                let from = from.as_ref().and_then(|from| sql::literal(from, kind));
                let to = to.as_ref().and_then(|to| sql::literal(to, kind));
                ranges::condition(&column, from, to)
            }
        }
    }
}

/// A table cut by its pages.
pub(super) fn pages(pages: u64, parts: u64) -> Vec<Cut> {
    let parts = parts.min(pages).max(1);
    if parts == 1 {
        return vec![Cut::All];
    }
    let edge = |i: u64| i * pages / parts;
    (0..parts)
        .map(|i| Cut::Pages {
            from: edge(i),
            to: (i + 1 < parts).then(|| edge(i + 1)),
        })
        .collect()
}

/// A relation cut into ranges of equal width between the lowest and the highest value of a column.
pub(super) fn ranges(
    (column, kind): (&str, &Kind),
    (lowest, highest): (i64, i64),
    parts: u64,
    literal: Unmeasure,
) -> Vec<Cut> {
    let sayable = |value| literal(value).filter(|edge| sql::literal(edge, kind).is_some());
    let ranges = ranges::between(lowest, highest, parts, sayable);
    if ranges.len() < 2 {
        return vec![Cut::All];
    }
    ranges
        .into_iter()
        .map(|(from, to)| Cut::Range {
            column: column.to_owned(),
            from,
            to,
        })
        .collect()
}

/// How the bounds of a column are asked for as integers, and how an integer becomes a value of it again; `None` where
/// ranges of the column have no width.
pub(super) fn measure(kind: &Kind, column: &str) -> Option<(String, Unmeasure)> {
    let column = sql::identifier(column);
    Some(match kind {
        Kind::Int2 | Kind::Int4 | Kind::Int8 => (column, |value| Some(Literal::Int(value))),
        Kind::Date => (
            format!("CASE WHEN isfinite({column}) THEN {column} - date '1970-01-01' END"),
            |days| i32::try_from(days).ok().map(Literal::Date),
        ),
        Kind::Timestamp => (seconds(&column), |value| {
            value.checked_mul(1_000_000).map(Literal::Timestamp)
        }),
        Kind::TimestampTz => (seconds(&column), |value| {
            value.checked_mul(1_000_000).map(Literal::TimestampTz)
        }),
        _ => return None,
    })
}

fn seconds(column: &str) -> String {
    format!("CASE WHEN isfinite({column}) THEN floor(extract(epoch FROM {column}))::int8 END")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_covered_once_and_the_end_is_open() {
        assert_eq!(pages(0, 5), [Cut::All]);
        assert_eq!(
            pages(10, 3),
            [
                Cut::Pages {
                    from: 0,
                    to: Some(3)
                },
                Cut::Pages {
                    from: 3,
                    to: Some(6)
                },
                Cut::Pages { from: 6, to: None },
            ]
        );
    }

    #[test]
    fn ranges_meet_and_the_ends_are_open() {
        let cuts = ranges(("id", &Kind::Int8), (i64::MIN, i64::MAX), 2, |value| {
            Some(Literal::Int(value))
        });
        let conditions: Vec<_> = cuts
            .iter()
            .filter_map(|cut| cut.condition(&Kind::Int8))
            .collect();
        assert_eq!(
            conditions,
            [
                r#"("id" < '0'::int8 OR "id" IS NULL)"#,
                r#""id" >= '0'::int8"#
            ]
        );
        assert_eq!(
            ranges(("id", &Kind::Int8), (7, 7), 9, |value| Some(Literal::Int(
                value
            ))),
            [Cut::All]
        );
        assert_eq!(
            ranges(("id", &Kind::Int8), (1, 3), 9, |value| Some(Literal::Int(
                value
            )))
            .len(),
            3
        );
    }

    #[test]
    fn an_edge_that_no_literal_has_makes_no_cut() {
        // The server has the year 20000; what is left out as a bound would be read twice.
        let (_, literal) = measure(&Kind::Timestamp, "at").unwrap();
        let seconds = 568_971_820_800;
        assert_eq!(
            ranges(("at", &Kind::Timestamp), (0, seconds), 4, literal),
            [Cut::All]
        );
        let seconds = 2_000_000_000;
        assert_eq!(
            ranges(("at", &Kind::Timestamp), (0, seconds), 4, literal).len(),
            4
        );
    }
}
