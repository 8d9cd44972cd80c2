//! SQL as this server writes it: names, literals, predicates.
//!
//! Knows quoting and which comparisons mean the same here and in Arrow; sends nothing.

use chrono::Datelike as _;

use super::catalog::Column;
use super::kind::Kind;
use crate::contract::From;
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Comparison, Literal, Predicate};

/// What rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// A table or view.
    Table {
        schema: Option<String>,
        name: String,
    },
    /// The answer of a query.
    Query(String),
}

impl Relation {
    /// Reads what a spec says.
    pub(super) fn new(from: &From) -> Result<Self> {
        match from {
            From::Table(name) => Self::table(name),
            From::Query(query) => {
                let query = query.trim().trim_end_matches(';').trim_end();
                Ok(Self::Query(query.to_owned()))
            }
        }
    }

    /// Reads `table`, `schema.table`, `"Any Name"."Table"`. Without quotes a name is taken as it is written.
    pub(super) fn table(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::InvalidInput, format!("`{text}` is not the name of a table"))
                .help("write `table`, `schema.table`, or quote names that hold a dot: `\"my.schema\".table`")
        };
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = name_part(rest).ok_or_else(wrong)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None if after.is_empty() => break,
                None => return Err(wrong()),
            }
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, None) => Ok(Self::Table { schema: None, name }),
            (Some(schema), Some(name), None) => Ok(Self::Table {
                schema: Some(schema),
                name,
            }),
            _ => Err(wrong()),
        }
    }

    /// The relation after `FROM`.
    pub(super) fn as_sql(&self) -> String {
        match self {
            Self::Table {
                schema: Some(schema),
                name,
            } => format!("{}.{}", identifier(schema), identifier(name)),
            Self::Table { schema: None, name } => identifier(name),
            // The line breaks keep a comment at the end of the query from swallowing what follows.
            Self::Query(query) => format!("(\n{query}\n) AS q"),
        }
    }
}

fn name_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        let plain = !name.is_empty() && !name.contains(['"', '\0']) && name.trim() == name;
        return plain.then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None if name.is_empty() || name.contains('\0') => return None,
            None => return Some((name, after)),
        }
    }
}

/// A name, quoted.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names, quoted, with commas between.
pub(super) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(identifier)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A text literal. Sessions run with `standard_conforming_strings`, so that only the quote is special.
pub(super) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A value that can be compared with a column of this kind; `None` where the two do not mean the same.
pub(super) fn literal(value: &Literal, kind: &Kind) -> Option<String> {
    let integer = matches!(kind, Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid);
    let numeric = integer || matches!(kind, Kind::Numeric { .. });
    let (written, cast) = match (value, kind) {
        (Literal::Bool(value), Kind::Bool) => (value.to_string(), "bool"),
        (Literal::Int(value), _) if integer => (value.to_string(), "int8"),
        (Literal::Int(value), Kind::Numeric { .. }) => (value.to_string(), "numeric"),
        (Literal::Decimal(value), _) if numeric => (value.clone(), "numeric"),
        (Literal::Float(value), Kind::Float4 | Kind::Float8) if value.is_finite() => {
            (value.to_string(), "float8")
        }
        (Literal::Text(value), Kind::Text) if !value.contains('\0') => (value.clone(), "text"),
        (Literal::Uuid(value), Kind::Uuid) => (value.clone(), "uuid"),
        (Literal::Date(days), Kind::Date) => {
            common_era(i64::from(*days).checked_mul(86_400_000_000)?)?;
            (value.to_string(), "date")
        }
        (Literal::Timestamp(micros), Kind::Timestamp) => {
            common_era(*micros)?;
            (value.to_string(), "timestamp")
        }
        (Literal::TimestampTz(micros), Kind::TimestampTz) => {
            common_era(*micros)?;
            (value.to_string(), "timestamptz")
        }
        _ => return None,
    };
    Some(format!("{}::{cast}", text(&written)))
}

/// Only the years 1 to 9999 are written the same way everywhere.
fn common_era(micros: i64) -> Option<()> {
    let year = chrono::DateTime::from_timestamp_micros(micros)?.year();
    (1..=9999).contains(&year).then_some(())
}

/// A condition that holds for every row for which the predicate holds; `None` where nothing can be said.
pub(super) fn condition(predicate: &Predicate, columns: &[Column]) -> Option<String> {
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    match predicate {
        Predicate::Compare { column, op, value } => {
            let kind = find(column)?.kind.as_ref()?;
            Some(format!(
                "{} {} {}",
                operand(column, kind, *op),
                op.as_sql(),
                literal(value, kind)?
            ))
        }
        Predicate::In { column, values } => {
            let kind = find(column)?.kind.as_ref()?;
            let values: Option<Vec<_>> = values.iter().map(|value| literal(value, kind)).collect();
            let values = values.filter(|values| !values.is_empty())?;
            Some(format!("{} IN ({})", identifier(column), values.join(", ")))
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

/// Arrow orders text by its bytes, a server by the collation of the column; only equality is the same under both.
fn operand(column: &str, kind: &Kind, op: Comparison) -> String {
    match (kind, op) {
        (Kind::Text, Comparison::Equal) => identifier(column),
        (Kind::Text, _) => format!("({} COLLATE \"C\")", identifier(column)),
        _ => identifier(column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column {
            name: name.to_owned(),
            kind: Some(kind),
            nullable: true,
            type_name: String::new(),
        }
    }

    #[test]
    fn names_are_taken_as_written() {
        let sql = |text| Relation::table(text).ok().map(|table| table.as_sql());
        assert_eq!(
            sql("public.Orders").as_deref(),
            Some(r#""public"."Orders""#)
        );
        assert_eq!(
            sql(r#""My.Schema"."a""b""#).as_deref(),
            Some(r#""My.Schema"."a""b""#)
        );
        assert_eq!(sql("orders").as_deref(), Some(r#""orders""#));
        for wrong in ["", "a.", ".a", "a.b.c", r#""a"#, r#""a"b"#, "a\"b", "a .b"] {
            assert_eq!(sql(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn literals_cannot_break_out() {
        let value = Literal::Text("x'; DROP TABLE t; --\\".to_owned());
        assert_eq!(
            literal(&value, &Kind::Text).as_deref(),
            Some("'x''; DROP TABLE t; --\\'::text")
        );
    }

    #[test]
    fn what_cannot_be_written_is_dropped_from_and_but_not_from_or() {
        let columns = [column("a", Kind::Int4), column("b", Kind::Label)];
        let compare = |column: &str, value| Predicate::Compare {
            column: column.to_owned(),
            op: Comparison::Less,
            value,
        };
        let parts = vec![
            compare("a", Literal::Int(-5)),
            compare("b", Literal::Text("x".to_owned())),
        ];
        assert_eq!(
            condition(&Predicate::And(parts.clone()), &columns).as_deref(),
            Some(r#"("a" < '-5'::int8)"#)
        );
        assert_eq!(condition(&Predicate::Or(parts), &columns), None);
        assert_eq!(
            condition(&Predicate::IsNull("gone".to_owned()), &columns),
            None
        );
    }

    #[test]
    fn text_is_ordered_by_its_bytes() {
        let columns = [column("t", Kind::Text)];
        let predicate = Predicate::Compare {
            column: "t".to_owned(),
            op: Comparison::GreaterOrEqual,
            value: Literal::Text("b".to_owned()),
        };
        assert_eq!(
            condition(&predicate, &columns).as_deref(),
            Some(r#"("t" COLLATE "C") >= 'b'::text"#)
        );
    }
}
