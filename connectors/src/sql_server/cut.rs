//! How a table is cut into splits: by ranges of the column that its rows are stored by.
//!
//! Pure: decisions from bounds. Asks nothing of a server.

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::sql;
use crate::ranges::{self, Unmeasure};
use crate::value::Literal;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// A part of a relation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cut {
    /// All of it.
    All,
    /// The rows with `from <= column < to`, in the server's order. The part without `from` has the NULLs.
    Range {
        column: String,
        from: Option<Literal>,
        to: Option<Literal>,
    },
    /// The rows that changed while the sessions of the read were opened.
    Moved,
}

impl Cut {
    /// A name for logs.
    pub(super) fn name(&self) -> String {
        let bound =
            |bound: &Option<Literal>| bound.as_ref().map(Literal::to_string).unwrap_or_default();
        match self {
            Self::All => "all".to_owned(),
            Self::Range { column, from, to } => format!("{column} {}..{}", bound(from), bound(to)),
            Self::Moved => "changed while the read began".to_owned(),
        }
    }

    /// The condition that only the rows of this part meet, where the bounds alone decide; `None` for all rows.
    pub(super) fn condition(&self, kind: &Kind) -> Option<String> {
        let Self::Range { column, from, to } = self else {
            return None;
        };
        let column = sql::identifier(column);
        let from = from.as_ref().and_then(|from| sql::literal(from, kind));
        let to = to.as_ref().and_then(|to| sql::literal(to, kind));
        ranges::condition(&column, from, to)
    }
}

/// How a column is measured for cutting.
pub(super) enum Measure {
    /// Its lowest and highest value are asked for with this expression of `MIN` or `MAX`, which is an integer.
    Asked(fn(&str) -> String, Unmeasure),
    /// Its values lie anywhere: the server orders uuids by their last six bytes first.
    Uuid,
}

/// How a column of this kind is measured; `None` where ranges of it have no width.
pub(super) const fn measure(kind: &Kind) -> Option<Measure> {
    Some(match kind {
        Kind::TinyInt | Kind::SmallInt | Kind::Int | Kind::BigInt => Measure::Asked(
            |bound| format!("CAST({bound} AS bigint)"),
            |value| Some(Literal::Int(value)),
        ),
        Kind::Date => Measure::Asked(days, |days| i32::try_from(days).ok().map(Literal::Date)),
        Kind::SmallDateTime | Kind::DateTime | Kind::DateTime2 { .. } => {
            Measure::Asked(days, |value| value.checked_mul(DAY).map(Literal::Timestamp))
        }
        Kind::DateTimeOffset { .. } => Measure::Asked(days, |value| {
            value.checked_mul(DAY).map(Literal::TimestampTz)
        }),
        Kind::Uuid => Measure::Uuid,
        _ => return None,
    })
}

/// Days since 1970: minutes would overflow the server's `int` long before the year 9999, which stands for "never".
fn days(bound: &str) -> String {
    format!("DATEDIFF(day, '1970-01-01', {bound})")
}

/// Ranges of uuids, in the server's order.
pub(super) fn uuids(column: &str, parts: u64) -> Vec<Cut> {
    ranges((column, &Kind::Uuid), (0, 255), parts, |byte| {
        Some(Literal::Uuid(format!(
            "00000000-0000-0000-0000-{byte:02x}0000000000"
        )))
    })
}

/// Ranges of equal width between the lowest and the highest value of a column.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_and_the_ends_are_open() {
        let cuts = ranges(("id", &Kind::Int), (0, 9), 3, |value| {
            Some(Literal::Int(value))
        });
        let conditions: Vec<_> = cuts
            .iter()
            .filter_map(|cut| cut.condition(&Kind::Int))
            .collect();
        assert_eq!(
            conditions,
            [
                "([id] < (3) OR [id] IS NULL)",
                "([id] >= (3) AND [id] < (6))",
                "[id] >= (6)"
            ]
        );
        assert_eq!(
            ranges(("id", &Kind::Int), (7, 7), 9, |value| Some(Literal::Int(
                value
            ))),
            [Cut::All]
        );
    }

    #[test]
    fn uuids_are_cut_where_the_server_orders_them() {
        let cuts = uuids("id", 2);
        assert_eq!(
            cuts.last().unwrap().condition(&Kind::Uuid).as_deref(),
            Some("[id] >= CAST('00000000-0000-0000-0000-800000000000' AS uniqueidentifier)")
        );
    }
}
