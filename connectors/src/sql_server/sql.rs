//! T-SQL: names, literals, predicates.
//!
//! Knows quoting and which comparisons mean the same here and in Arrow; sends nothing.

use chrono::{DateTime, Datelike as _};

use super::catalog::Column;
use super::decode::tick_micros;
use super::kind::Kind;
use super::query::Query;
use crate::contract::From;
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Comparison, Literal, Predicate};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// What rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// A table or view: its name in up to three parts, the database first.
    Table(Vec<String>),
    /// The answer of a query.
    Query(Query),
}

impl Relation {
    /// Reads what a spec says.
    pub(super) fn new(from: &From) -> Result<Self> {
        match from {
            From::Table(name) => Self::table(name),
            From::Query(query) => Ok(Self::Query(Query::new(query))),
        }
    }

    /// Reads `table`, `schema.table`, `database.schema.table`, each part as it is or in brackets or quotes.
    pub(super) fn table(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is not the name of a table"),
            )
            .help("write `table`, `schema.table`, or put names that hold a dot in brackets: `[my.schema].table`")
        };
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = name_part(rest).ok_or_else(wrong)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None if after.is_empty() && parts.len() <= 3 => return Ok(Self::Table(parts)),
                None => return Err(wrong()),
            }
        }
    }

    /// What stands before the `SELECT` that reads the relation.
    pub(super) fn prefix(&self) -> &str {
        match self {
            Self::Table(_) => "",
            Self::Query(query) => query.with(),
        }
    }

    /// The relation after `FROM`.
    pub(super) fn as_sql(&self) -> String {
        match self {
            Self::Table(parts) => parts
                .iter()
                .map(|part| identifier(part))
                .collect::<Vec<_>>()
                .join("."),
            // The line breaks keep a comment at the end of the query from swallowing what follows.
            Self::Query(query) => format!("(\n{}\n) AS q", query.select()),
        }
    }
}

fn name_part(text: &str) -> Option<(String, &str)> {
    let (close, mut rest) = match text.chars().next()? {
        '[' => (']', text.get(1..)?),
        '"' => ('"', text.get(1..)?),
        _ => {
            let (name, rest) = text.split_at_checked(text.find('.').unwrap_or(text.len()))?;
            let plain =
                !name.is_empty() && !name.contains(['[', ']', '"', '\0']) && name.trim() == name;
            return plain.then(|| (name.to_owned(), rest));
        }
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once(close)?;
        name.push_str(part);
        match after.strip_prefix(close) {
            Some(after) => {
                name.push(close);
                rest = after;
            }
            None if name.is_empty() || name.contains('\0') => return None,
            None => return Some((name, after)),
        }
    }
}

/// A name in brackets.
pub(super) fn identifier(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// A text literal.
pub(super) fn text(value: &str) -> String {
    format!("N'{}'", value.replace('\'', "''"))
}

/// A value that can be compared with a column of this kind; `None` where the two do not mean the same.
pub(super) fn literal(value: &Literal, kind: &Kind) -> Option<String> {
    let integer = matches!(
        kind,
        Kind::TinyInt | Kind::SmallInt | Kind::Int | Kind::BigInt
    );
    let exact = integer || matches!(kind, Kind::Decimal { .. });
    Some(match (value, kind) {
        (Literal::Bool(value), Kind::Bit) => format!("CAST({} AS bit)", u8::from(*value)),
        (Literal::Int(value), Kind::RowVersion) => row_version(*value),
        (Literal::Int(value), _) if exact => number(&value.to_string()),
        (Literal::Int(value), Kind::Money | Kind::SmallMoney) => {
            format!("CAST({value} AS decimal(19,0))")
        }
        (Literal::Decimal(value), _) if exact => number(value),
        (Literal::Decimal(value), Kind::Money | Kind::SmallMoney) => {
            format!("CAST({value} AS {})", decimal_type(value)?)
        }
        (Literal::Float(value), Kind::Real | Kind::Float) if value.is_finite() => {
            format!("{value:e}")
        }
        // A `char` column compared with Unicode becomes Unicode, whatever its code page has.
        (Literal::Text(value), Kind::Narrow | Kind::Wide) if is_sayable(value) => text(value),
        (Literal::Uuid(value), Kind::Uuid) => {
            format!("CAST('{}' AS uniqueidentifier)", uuid(value)?)
        }
        (Literal::Date(days), Kind::Date) => {
            let day = DateTime::from_timestamp(i64::from(*days).checked_mul(86_400)?, 0)?;
            common_era(day.year())?;
            format!("CAST('{}' AS date)", day.format("%Y-%m-%d"))
        }
        (Literal::Timestamp(micros), Kind::DateTime2 { .. }) => {
            moment(*micros, "", "datetime2(6)")?
        }
        (Literal::TimestampTz(micros), Kind::DateTimeOffset { .. }) => {
            moment(*micros, "+00:00", "datetimeoffset(6)")?
        }
        (Literal::Timestamp(micros), Kind::DateTime) => ticks(*micros)?,
        (Literal::Timestamp(micros), Kind::SmallDateTime) if micros % (60 * SECOND) == 0 => {
            // As `datetime`, which holds every `smalldatetime`.
            ticks(*micros)?
        }
        _ => return None,
    })
}

/// Whether a literal can hold a text. A backslash at the end of a line takes the line's end away, in a literal too.
fn is_sayable(value: &str) -> bool {
    !["\0", "\\\n", "\\\r"].iter().any(|odd| value.contains(odd))
}

/// The eight bytes of a `rowversion` as the binary literal they compare with.
fn row_version(value: i64) -> String {
    format!("0x{value:016X}")
}

/// A number in parentheses, so that a sign before it means nothing else.
fn number(text: &str) -> String {
    format!("({text})")
}

fn decimal_type(text: &str) -> Option<String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let scale = text
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    (digits <= 38).then(|| format!("decimal({},{scale})", digits.max(1)))
}

fn uuid(text: &str) -> Option<&str> {
    text.bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        .then_some(text)
}

/// A moment in a form that no language setting reads otherwise.
fn moment(micros: i64, zone: &str, as_type: &str) -> Option<String> {
    let time = DateTime::from_timestamp_micros(micros)?;
    common_era(time.year())?;
    Some(format!(
        "CAST('{}{zone}' AS {as_type})",
        time.format("%Y-%m-%dT%H:%M:%S%.6f")
    ))
}

/// A moment as `datetime`; `None` where the type has no such moment.
fn ticks(micros: i64) -> Option<String> {
    let of_second = micros.rem_euclid(SECOND);
    let tick = (of_second * 3 + 5_000) / 10_000;
    if tick_micros(tick) != of_second {
        return None;
    }
    // The server reads three digits as the nearest tick: 3, 7 and 0 at the end.
    let millis = (tick * 10 + 1) / 3;
    let second = DateTime::from_timestamp(micros.div_euclid(SECOND), 0)?;
    // The first year of the type.
    if !(1753..=9999).contains(&second.year()) || millis > 999 {
        return None;
    }
    Some(format!(
        "CAST('{}.{millis:03}' AS datetime)",
        second.format("%Y-%m-%dT%H:%M:%S")
    ))
}

/// Only the years 1 to 9999 have dates here.
fn common_era(year: i32) -> Option<()> {
    (1..=9999).contains(&year).then_some(())
}

/// A comparison of a column with a value that is exact for the values as they are read; `None` where there is none.
///
/// A fraction of a second is cut when it is read: what is read as `x` lies in the column at `x` or less than a microsecond
/// later.
pub(super) fn compared(name: &str, kind: &Kind, op: Comparison, value: &Literal) -> Option<String> {
    let column = identifier(name);
    if !kind.is_cut() {
        return Some(format!(
            "{column} {} {}",
            op.as_sql(),
            literal(value, kind)?
        ));
    }
    let next = match value {
        Literal::Timestamp(micros) => Literal::Timestamp(micros.checked_add(1)?),
        Literal::TimestampTz(micros) => Literal::TimestampTz(micros.checked_add(1)?),
        _ => return None,
    };
    let (at, after) = (literal(value, kind)?, literal(&next, kind)?);
    Some(match op {
        Comparison::Less => format!("{column} < {at}"),
        Comparison::LessOrEqual => format!("{column} < {after}"),
        Comparison::Greater => format!("{column} >= {after}"),
        Comparison::GreaterOrEqual => format!("{column} >= {at}"),
        Comparison::Equal => format!("({column} >= {at} AND {column} < {after})"),
        Comparison::NotEqual => format!("({column} < {at} OR {column} >= {after})"),
    })
}

/// A condition that holds for every row for which the predicate holds; `None` where nothing can be said.
pub(super) fn condition(predicate: &Predicate, columns: &[Column]) -> Option<String> {
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    match predicate {
        Predicate::Compare { column, op, value } => {
            let kind = &find(column)?.kind;
            agrees(kind, *op).then(|| compared(column, kind, *op, value))?
        }
        Predicate::In { column, values } => {
            let kind = &find(column)?.kind;
            let values: Option<Vec<_>> = values
                .iter()
                .map(|value| compared(column, kind, Comparison::Equal, value))
                .collect();
            let values = values.filter(|values| !values.is_empty())?;
            agrees(kind, Comparison::Equal).then(|| format!("({})", values.join(" OR ")))
        }
        Predicate::IsNull(column) => {
            find(column).map(|_| format!("{} IS NULL", identifier(column)))
        }
        Predicate::IsNotNull(column) => {
            find(column).map(|_| format!("{} IS NOT NULL", identifier(column)))
        }
        Predicate::And(parts) => {
            let known: Vec<_> = parts
                .iter()
                .filter_map(|part| condition(part, columns))
                .collect();
            (!known.is_empty()).then(|| format!("({})", known.join(" AND ")))
        }
        Predicate::Or(parts) => {
            let all: Option<Vec<_>> = parts.iter().map(|part| condition(part, columns)).collect();
            all.filter(|all| !all.is_empty())
                .map(|all| format!("({})", all.join(" OR ")))
        }
    }
}

/// Whether a comparison finds here at least what it finds in Arrow. Text is compared by the collation of its column, which
/// may take letters of either case for equal and has an order of its own; the server orders uuids by their last bytes.
const fn agrees(kind: &Kind, op: Comparison) -> bool {
    match kind {
        Kind::Narrow | Kind::Wide => matches!(op, Comparison::Equal),
        Kind::Uuid => matches!(op, Comparison::Equal | Comparison::NotEqual),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            nullable: true,
        }
    }

    fn compare(column: &str, op: Comparison, value: Literal) -> Predicate {
        Predicate::Compare {
            column: column.to_owned(),
            op,
            value,
        }
    }

    #[test]
    fn names_are_taken_as_written() {
        let sql = |text| Relation::table(text).ok().map(|table| table.as_sql());
        assert_eq!(sql("dbo.Orders").as_deref(), Some("[dbo].[Orders]"));
        assert_eq!(
            sql("[my.schema].[a]]b]").as_deref(),
            Some("[my.schema].[a]]b]")
        );
        assert_eq!(sql("\"x\".y").as_deref(), Some("[x].[y]"));
        assert_eq!(sql("shop.dbo.t").as_deref(), Some("[shop].[dbo].[t]"));
        for wrong in ["", "a.", ".a", "a.b.c.d", "[a", "[a]b", "a[b", "a .b", "[]"] {
            assert_eq!(sql(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn literals_cannot_break_out() {
        let value = Literal::Text("x'; DROP TABLE t; --".to_owned());
        assert_eq!(
            literal(&value, &Kind::Wide).as_deref(),
            Some("N'x''; DROP TABLE t; --'")
        );
        let value = Literal::Text("a\\\nb".to_owned());
        assert_eq!(literal(&value, &Kind::Wide), None);
        let value = Literal::Uuid("') OR 1=1 --".to_owned());
        assert_eq!(literal(&value, &Kind::Uuid), None);
    }

    #[test]
    fn moments_of_a_datetime() {
        let of = |micros| literal(&Literal::Timestamp(micros), &Kind::DateTime);
        assert_eq!(
            of(3_333).as_deref(),
            Some("CAST('1970-01-01T00:00:00.003' AS datetime)")
        );
        assert_eq!(
            of(6_667).as_deref(),
            Some("CAST('1970-01-01T00:00:00.007' AS datetime)")
        );
        assert_eq!(
            of(996_667).as_deref(),
            Some("CAST('1970-01-01T00:00:00.997' AS datetime)")
        );
        assert_eq!(of(5_000), None);
        assert_eq!(of(999_999), None);
        assert_eq!(
            of(-3_333).as_deref(),
            Some("CAST('1969-12-31T23:59:59.997' AS datetime)")
        );
    }

    #[test]
    fn a_cut_fraction_is_compared_as_it_is_read() {
        let kind = Kind::DateTime2 { scale: 7 };
        let sql = |op| compared("at", &kind, op, &Literal::Timestamp(1)).unwrap();
        assert_eq!(
            sql(Comparison::LessOrEqual),
            "[at] < CAST('1970-01-01T00:00:00.000002' AS datetime2(6))"
        );
        assert_eq!(
            sql(Comparison::Greater),
            "[at] >= CAST('1970-01-01T00:00:00.000002' AS datetime2(6))"
        );
    }

    #[test]
    fn collations_decide_only_what_is_equal() {
        let columns = [column("t", Kind::Wide), column("n", Kind::Int)];
        let value = Literal::Text("b".to_owned());
        let equal = compare("t", Comparison::Equal, value.clone());
        let less = compare("t", Comparison::Less, value);
        let number = compare("n", Comparison::Less, Literal::Int(-5));
        assert_eq!(condition(&equal, &columns).as_deref(), Some("[t] = N'b'"));
        assert_eq!(condition(&less, &columns), None);
        assert_eq!(
            condition(
                &Predicate::And(vec![less.clone(), number.clone()]),
                &columns
            )
            .as_deref(),
            Some("([n] < (-5))")
        );
        assert_eq!(
            condition(&Predicate::Or(vec![less, number]), &columns),
            None
        );
    }
}
