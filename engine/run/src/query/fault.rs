//! What DataFusion finds wrong with a query, in our words.
//!
//! Knows the errors of its planner and the sentences in them; what it does not know it passes on, without names of
//! ours that no user wrote. Where in the text the fault is, `locate` finds out if the error does not say.

use std::collections::BTreeSet;
use std::fmt;

use connectors::{Error, ErrorKind};
use datafusion::common::{Column, Diagnostic, SchemaError, Span};
use datafusion::error::DataFusionError;
use spec::{SqlFault, SqlFaultKind, SqlPlace};

use super::sentence;

/// The most names that a message lists.
const LISTED: usize = 10;

/// What is wrong with a query, as the cause of an error.
#[derive(Debug)]
pub(crate) struct Faults(Vec<SqlFault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<&str> = self.0.iter().map(|fault| fault.message.as_str()).collect();
        f.write_str(&messages.join("; "))
    }
}

impl std::error::Error for Faults {}

/// What is wrong with the query that an error is about; nothing where it is about something else.
pub(crate) fn faults_of(error: &Error) -> &[SqlFault] {
    let source = std::error::Error::source(error);
    let faults = source.and_then(|source| source.downcast_ref::<Faults>());
    faults.map(|faults| faults.0.as_slice()).unwrap_or_default()
}

/// The error of a query that has no meaning; `None` where there is nothing wrong with it.
pub(super) fn refused(faults: Vec<SqlFault>) -> Option<Error> {
    let first = faults.first()?;
    let error = Error::new(ErrorKind::InvalidInput, first.message.as_str());
    let error = match first.next_step() {
        Some(help) => error.help(help),
        None => error,
    };
    Some(error.caused_by(Faults(faults)))
}

/// What an error says is wrong with a query. While a query is planned nothing but the query can be wrong.
pub(super) fn read(error: &DataFusionError, planning: bool) -> Vec<SqlFault> {
    let mut found = Vec::new();
    collect(error, None, planning, &mut found);
    found.dedup();
    found
}

fn collect(
    error: &DataFusionError,
    around: Option<&Diagnostic>,
    planning: bool,
    found: &mut Vec<SqlFault>,
) {
    let fault = match error {
        DataFusionError::Diagnostic(said, inner) => {
            let around = around.filter(|around| around.span.is_some());
            return collect(inner, around.or(Some(said)), planning, found);
        }
        DataFusionError::Context(_, inner) => return collect(inner, around, planning, found),
        DataFusionError::Shared(inner) => return collect(inner, around, planning, found),
        DataFusionError::Collection(all) => {
            for error in all {
                collect(error, around, planning, found);
            }
            return;
        }
        DataFusionError::SchemaError(error, _) => of_schema(error, around),
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => sentence::read(text),
        DataFusionError::SQL(error, _) => {
            SqlFault::new(SqlFaultKind::Syntax, sentence::plain(&error.to_string()))
        }
        DataFusionError::Internal(text)
        | DataFusionError::Execution(text)
        | DataFusionError::Configuration(text)
            if planning =>
        {
            sentence::read(text)
        }
        DataFusionError::ArrowError(error, _) if planning => sentence::read(&error.to_string()),
        _ => return,
    };
    found.push(SqlFault {
        place: around.and_then(|around| around.span).map(place),
        ..fault
    });
}

/// A span in the words of specs.
pub(super) fn place(span: Span) -> SqlPlace {
    let one_line = span.start.line == span.end.line;
    let length = span.end.column.saturating_sub(span.start.column).max(1);
    SqlPlace {
        line: span.start.line,
        column: span.start.column,
        length: if one_line { length } else { u64::MAX },
    }
}

fn of_schema(error: &SchemaError, said: Option<&Diagnostic>) -> SqlFault {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => no_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            let notes = said.map(|said| said.notes.as_slice()).unwrap_or_default();
            let candidates: Vec<&str> = notes
                .iter()
                .filter_map(|note| note.message.strip_prefix("possible column "))
                .collect();
            let message = format!(
                "`{}` is ambiguous: several tables here have this column",
                field.name
            );
            SqlFault {
                about: Some(field.name.clone()),
                help: Some(if candidates.is_empty() {
                    format!("say whose it is: `table.{}`", field.name)
                } else {
                    format!("write {}", listed(&candidates, "or"))
                }),
                ..SqlFault::new(SqlFaultKind::AmbiguousColumn, message)
            }
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => duplicate(name),
    }
}

/// A name that two columns of an answer have.
pub(crate) fn duplicate(name: &str) -> SqlFault {
    SqlFault {
        about: Some(name.to_owned()),
        help: Some("give one of them another name with `AS`, or leave it out".to_owned()),
        ..SqlFault::new(
            SqlFaultKind::DuplicateColumn,
            format!("two columns of the answer are named `{name}`"),
        )
    }
}

/// A condition of another type than true or false.
pub(crate) fn no_condition(r#type: &str) -> SqlFault {
    SqlFault {
        help: Some("compare it with something: `amount > 0`".to_owned()),
        ..SqlFault::new(
            SqlFaultKind::Types,
            format!(
                "a condition must be true or false, and this is a `{}`",
                sentence::types(r#type)
            ),
        )
    }
}

fn no_column(field: &Column, valid: &[Column]) -> SqlFault {
    let Some(relation) = &field.relation else {
        let names: BTreeSet<&str> = valid.iter().map(Column::name).collect();
        return unknown(&field.name, "", &names, "");
    };
    let here: BTreeSet<&str> = valid
        .iter()
        .filter(|known| known.relation.as_ref() == Some(relation))
        .map(Column::name)
        .collect();
    if !here.is_empty() {
        let place = format!(" in `{relation}`");
        return unknown(&field.name, &place, &here, &format!("{relation}."));
    }
    let relations: BTreeSet<String> = valid
        .iter()
        .filter_map(|known| known.relation.as_ref().map(ToString::to_string))
        .collect();
    let relations: BTreeSet<&str> = relations.iter().map(String::as_str).collect();
    let name = relation.to_string();
    let near = spec::nearest(&name, relations.iter().copied());
    let help = if relations.is_empty() {
        "nothing is read here that has columns".to_owned()
    } else {
        let listed = listed(&relations.iter().copied().collect::<Vec<_>>(), "and");
        format!("read here: {listed}")
    };
    SqlFault {
        about: Some(field.name.clone()),
        suggestion: near.map(|near| format!("{near}.{}", field.name)),
        help: Some(help),
        ..SqlFault::new(
            SqlFaultKind::UnknownColumn,
            format!("nothing that is read here is named `{name}`"),
        )
    }
}

fn unknown(name: &str, place: &str, known: &BTreeSet<&str>, prefix: &str) -> SqlFault {
    let near = spec::nearest(name, known.iter().copied());
    let names: Vec<&str> = known.iter().copied().collect();
    SqlFault {
        about: Some(name.to_owned()),
        suggestion: near.map(|near| format!("{prefix}{}", as_written(near))),
        help: (!names.is_empty()).then(|| format!("there are {}", listed(&names, "and"))),
        ..SqlFault::new(
            SqlFaultKind::UnknownColumn,
            format!("there is no column `{name}`{place}"),
        )
    }
}

/// A name as SQL takes it.
fn as_written(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// `` `a`, `b` and `c` ``; not more than a few.
pub(crate) fn listed(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.len().saturating_sub(LISTED);
    match quoted.split_last() {
        Some((end, start)) if more == 0 && !start.is_empty() => {
            format!("{} {last} {end}", start.join(", "))
        }
        _ if more > 0 => format!("{} and {more} more", quoted.join(", ")),
        _ => quoted.join(", "),
    }
}
