//! Incremental reads: the highest value of a column, and the condition for what is new.
//!
//! Knows which columns grow; knows nothing of runs.

use super::catalog::{Column, Readers};
use super::kind::{AllowLossy, Kind};
use super::session::Session;
use super::sql::{self, Relation};
use super::values;
use crate::contract::{Nulls, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Comparison, Watermark};

/// The highest value of a column; `None` where there is none.
///
/// A `rowversion` is taken when a row is changed, and seen when that is committed: rows below the oldest one that is still
/// open are complete, and only those count.
pub(super) async fn highest(
    session: &mut Session,
    relation: &Relation,
    column: &Column,
    allowed: &AllowLossy,
) -> Result<Option<Watermark>> {
    growing(column)?;
    let name = sql::identifier(&column.name);
    let complete = match column.kind {
        Kind::RowVersion => format!("{name} < MIN_ACTIVE_ROWVERSION()"),
        _ => format!("{name} IS NOT NULL"),
    };
    let select = format!(
        "{}SELECT TOP (1) {name} FROM {} WHERE {complete} ORDER BY {name} DESC",
        relation.prefix(),
        relation.as_sql()
    );
    let highest = values::read(session, select, &[column], allowed).await?;
    Ok(highest
        .as_ref()
        .and_then(|batch| values::literal(batch.columns().first()?, 0))
        .map(Watermark::Value))
}

/// Fails where nobody can say which rowversions are of transactions that are still open.
pub(super) fn refuse_uncounted(readers: Readers, column: &Column) -> Result<()> {
    if readers.counts {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "which rows of `{}` are complete is known by the database that is connected to, and by no secondary",
            column.name
        ),
    )
    .help("connect to the primary, with the database of the table as `database:`"))
}

/// Fails where the window refuses NULLs and the column has one.
pub(super) async fn refuse_nulls(
    session: &mut Session,
    relation: &Relation,
    column: &Column,
    window: &Window,
) -> Result<()> {
    if window.nulls != Nulls::Fail || !column.nullable {
        return Ok(());
    }
    let query = format!(
        "{}SELECT TOP (1) 1 FROM {} WHERE {} IS NULL",
        relation.prefix(),
        relation.as_sql(),
        sql::identifier(&column.name)
    );
    match session.value(query).await? {
        None => Ok(()),
        Some(_) => Err(Error::new(
            ErrorKind::InvalidData,
            format!(
                "the watermark column `{}` has rows that are NULL",
                column.name
            ),
        )
        .help("choose what becomes of them with `nulls: skip` or `nulls: read`")),
    }
}

/// The condition for the rows of a window.
pub(super) fn condition(column: &Column, window: &Window) -> Result<String> {
    growing(column)?;
    let new = match &window.until {
        // There was nothing when the end was asked for: what has come since belongs to the next read.
        None => "1 = 0".to_owned(),
        Some(until) => {
            let mut new = bounded(column, Comparison::LessOrEqual, until)?;
            if let Some(after) = &window.after {
                let op = if window.inclusive {
                    Comparison::GreaterOrEqual
                } else {
                    Comparison::Greater
                };
                new = format!("{} AND {new}", bounded(column, op, after)?);
            }
            new
        }
    };
    Ok(match window.nulls {
        Nulls::Read => format!("(({new}) OR {} IS NULL)", sql::identifier(&column.name)),
        Nulls::Fail | Nulls::Skip => format!("({new})"),
    })
}

/// The error of a window without a column.
pub(super) fn no_column() -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "an incremental read of a database needs a watermark column",
    )
}

fn bounded(column: &Column, op: Comparison, watermark: &Watermark) -> Result<String> {
    let condition = match watermark {
        Watermark::Value(value) => sql::compared(&column.name, &column.kind, op, value),
        Watermark::Files(_) => None,
    };
    condition.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("the watermark does not fit column `{}`", column.name),
        )
        .with("watermark", watermark)
        .with("type", &column.kind)
        .help("the column's type has changed since the last run; reset the watermark")
    })
}

fn growing(column: &Column) -> Result<()> {
    match column.kind {
        Kind::TinyInt
        | Kind::SmallInt
        | Kind::Int
        | Kind::BigInt
        | Kind::RowVersion
        | Kind::Decimal { .. }
        | Kind::Money
        | Kind::SmallMoney
        | Kind::Date
        | Kind::SmallDateTime
        | Kind::DateTime
        | Kind::DateTime2 { .. }
        | Kind::DateTimeOffset { .. } => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("column `{}` cannot be a watermark", column.name),
        )
        .with("type", &column.kind)
        .help("a watermark is a rowversion, an integer, a decimal, a date or a datetime column: text and uuids have an order of the server's own")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Literal;

    fn column(kind: Kind) -> Column {
        Column {
            name: "wm".to_owned(),
            kind,
            nullable: true,
        }
    }

    fn window(after: Option<i64>, until: Option<i64>, inclusive: bool, nulls: Nulls) -> Window {
        let value = |value| Watermark::Value(Literal::Int(value));
        Window {
            changes: false,
            column: Some("wm".to_owned()),
            after: after.map(value),
            until: until.map(value),
            inclusive,
            nulls,
        }
    }

    #[test]
    fn windows_are_exact() {
        let sql = |window| condition(&column(Kind::BigInt), &window).unwrap();
        assert_eq!(
            sql(window(Some(1), Some(2), false, Nulls::Skip)),
            "([wm] > (1) AND [wm] <= (2))"
        );
        assert_eq!(
            sql(window(Some(1), Some(2), true, Nulls::Read)),
            "(([wm] >= (1) AND [wm] <= (2)) OR [wm] IS NULL)"
        );
        assert_eq!(sql(window(None, None, false, Nulls::Fail)), "(1 = 0)");
    }

    #[test]
    fn a_rowversion_is_compared_as_bytes() {
        let sql = condition(
            &column(Kind::RowVersion),
            &window(Some(255), Some(4096), false, Nulls::Fail),
        );
        assert_eq!(
            sql.unwrap(),
            "([wm] > 0x00000000000000FF AND [wm] <= 0x0000000000001000)"
        );
    }

    #[test]
    fn a_watermark_of_another_type_is_refused() {
        let window = window(Some(1), Some(2), false, Nulls::Skip);
        let error = condition(&column(Kind::Date), &window).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = condition(&column(Kind::Wide), &window).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
