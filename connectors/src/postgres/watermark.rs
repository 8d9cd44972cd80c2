//! Incremental reads: the highest value of a column, and the condition for what is new.
//!
//! Knows how a value is asked for as text and read back exactly; knows nothing of runs.

use chrono::{NaiveDate, NaiveDateTime};

use super::catalog::Column;
use super::kind::Kind;
use super::sql::{self, Relation};
use super::wire::Session;
use crate::contract::{Nulls, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Literal, Watermark};

/// The highest value of a column; `None` where there is none.
pub(super) async fn highest(
    session: &mut Session,
    relation: &Relation,
    column: &Column,
) -> Result<Option<Watermark>> {
    let kind = growing(column)?;
    let name = sql::identifier(&column.name);
    // Asking for no NULLs, instead of putting them last, lets an index of the usual order give the answer. The text is
    // made outside: beside `name::text`, which is a column `name` of the answer, `ORDER BY name` would order texts.
    let query = format!(
        "SELECT w.v::text FROM (SELECT {name} AS v FROM {} WHERE {name} IS NOT NULL ORDER BY {name} DESC LIMIT 1) AS w",
        relation.as_sql()
    );
    let Some(text) = session.value(&query).await? else {
        return Ok(None);
    };
    let value = parse(kind, &text).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidData,
            format!(
                "the highest value of column `{}` is no watermark",
                column.name
            ),
        )
        .with("value", &text)
        .help("read a query that leaves such rows out, or correct them at the source")
    })?;
    Ok(Some(Watermark::Value(value)))
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
    let name = sql::identifier(&column.name);
    let query = format!(
        "SELECT 1 FROM {} WHERE {name} IS NULL LIMIT 1",
        relation.as_sql()
    );
    match session.value(&query).await? {
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
pub(super) fn condition(column: &Column, window: &Window) -> Result<Option<String>> {
    let kind = growing(column)?;
    let name = sql::identifier(&column.name);
    let new = match &window.until {
        // There was nothing when the end was asked for: what has come since belongs to the next read.
        None => "FALSE".to_owned(),
        Some(until) => {
            let mut new = format!("{name} <= {}", bound(column, kind, until)?);
            if let Some(after) = &window.after {
                let op = if window.inclusive { ">=" } else { ">" };
                new = format!("{name} {op} {} AND {new}", bound(column, kind, after)?);
            }
            new
        }
    };
    Ok(Some(match window.nulls {
        Nulls::Read => format!("(({new}) OR {name} IS NULL)"),
        Nulls::Fail | Nulls::Skip => format!("({new})"),
    }))
}

/// The error of a window without a column.
pub(super) fn no_column() -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "an incremental read of a database needs a watermark column",
    )
}

fn bound(column: &Column, kind: &Kind, watermark: &Watermark) -> Result<String> {
    let literal = match watermark {
        Watermark::Value(value) => sql::literal(value, kind),
        Watermark::Files(_) => None,
    };
    literal.ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("the watermark does not fit column `{}`", column.name),
        )
        .with("watermark", watermark)
        .with("type", &column.type_name)
        .help("the column's type has changed since the last run; reset the watermark")
    })
}

fn growing(column: &Column) -> Result<&Kind> {
    match column.readable()? {
        kind @ (Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Oid
        | Kind::Numeric { .. }
        | Kind::Text
        | Kind::Date
        | Kind::Timestamp
        | Kind::TimestampTz
        | Kind::Uuid) => Ok(kind),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("column `{}` cannot be a watermark", column.name),
        )
        .with("type", &column.type_name)
        .help("a watermark is an integer, numeric, text, date, timestamp or uuid column")),
    }
}

fn parse(kind: &Kind, text: &str) -> Option<Literal> {
    match kind {
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => text.parse().ok().map(Literal::Int),
        Kind::Numeric { .. } => {
            let digits = text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
            digits.then(|| Literal::Decimal(text.to_owned()))
        }
        Kind::Text => Some(Literal::Text(text.to_owned())),
        Kind::Uuid => Some(Literal::Uuid(text.to_owned())),
        Kind::Date => {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            let days = date.signed_duration_since(NaiveDate::default()).num_days();
            i32::try_from(days).ok().map(Literal::Date)
        }
        Kind::Timestamp => micros(text).map(Literal::Timestamp),
        // Sessions run in UTC.
        Kind::TimestampTz => micros(text.strip_suffix("+00")?).map(Literal::TimestampTz),
        _ => None,
    }
}

fn micros(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind) -> Column {
        Column {
            name: "wm".to_owned(),
            kind: Some(kind),
            nullable: true,
            type_name: "?".to_owned(),
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
        let sql = |window| condition(&column(Kind::Int8), &window).unwrap().unwrap();
        assert_eq!(
            sql(window(Some(1), Some(2), false, Nulls::Skip)),
            r#"("wm" > '1'::int8 AND "wm" <= '2'::int8)"#
        );
        assert_eq!(
            sql(window(Some(1), Some(2), true, Nulls::Read)),
            r#"(("wm" >= '1'::int8 AND "wm" <= '2'::int8) OR "wm" IS NULL)"#
        );
        assert_eq!(sql(window(None, None, false, Nulls::Fail)), "(FALSE)");
    }

    #[test]
    fn a_watermark_of_another_type_is_refused() {
        let error = condition(
            &column(Kind::Date),
            &window(Some(1), Some(2), false, Nulls::Skip),
        )
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            condition(&column(Kind::Bool), &window(None, None, false, Nulls::Skip))
                .unwrap_err()
                .kind(),
            ErrorKind::Unsupported
        );
    }

    #[test]
    fn values_come_back_exactly() {
        assert_eq!(
            parse(&Kind::TimestampTz, "1970-01-01 00:00:01.000001+00"),
            Some(Literal::TimestampTz(1_000_001))
        );
        assert_eq!(
            parse(&Kind::Timestamp, "1969-12-31 23:59:59"),
            Some(Literal::Timestamp(-1_000_000))
        );
        assert_eq!(parse(&Kind::Date, "1970-01-02"), Some(Literal::Date(1)));
        assert_eq!(parse(&Kind::Timestamp, "infinity"), None);
        let numeric = Kind::Numeric {
            precision: 38,
            scale: 9,
            free: true,
        };
        assert_eq!(parse(&numeric, "NaN"), None);
        assert_eq!(
            parse(&numeric, "-1.50"),
            Some(Literal::Decimal("-1.50".to_owned()))
        );
    }
}
