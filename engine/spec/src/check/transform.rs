//! `sql-syntax`, `sql-not-a-query`: transforms, and what their SQL reads.

use std::collections::BTreeSet;

use super::files::file;
use super::pipeline::TableUse;
use super::step::Steps;
use super::tables::UNKNOWN_TABLE;
use crate::diagnostic::{Code, Diagnostic};
use crate::meaning::SqlOf;
use crate::model::{TableRef, Transform};
use crate::read::At;
use crate::sql::{self, SqlError};
use crate::text::Text;
use crate::written::{StepSpec, TransformSpec};

pub(crate) const SQL_SYNTAX: Code = Code {
    name: "sql-syntax",
    explain: "The SQL cannot be parsed. The place is where the parser gave up, which is at or after the mistake.",
};
pub(crate) const SQL_NOT_A_QUERY: Code = Code {
    name: "sql-not-a-query",
    explain: "A transform is one query: `SELECT …` or `WITH … SELECT …`. It changes nothing: rows are written by `load`.",
};

/// A transform; `None` with a finding.
pub(super) fn transform(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    written: &At<TransformSpec>,
) -> Option<Transform> {
    let text = match &written.value {
        TransformSpec::File(path) => file(steps, path)?,
        TransformSpec::Sql(sql) => inline(steps, sql)?,
    };
    let relations = match sql::relations(&text.value) {
        Ok(relations) => relations,
        Err(error) => {
            steps.context.report(refused(&text, &error));
            return None;
        }
    };
    let (mut reads, mut tables, mut good) = (BTreeSet::new(), BTreeSet::new(), true);
    for relation in relations {
        let span = text.span(Some(relation.place));
        match relation.parts.as_slice() {
            [name] => match steps.rows_of(
                step,
                &At {
                    value: name.clone(),
                    span,
                },
                "reads",
            ) {
                Some(name) => {
                    reads.insert(name);
                }
                None => good = false,
            },
            [namespace, name] => {
                let table = TableRef {
                    namespace: namespace.clone(),
                    name: name.clone(),
                };
                steps.reads_table(TableUse {
                    table: table.clone(),
                    step: step.name.value.clone(),
                    span,
                });
                tables.insert(table);
            }
            parts => {
                let message = format!("`{}` is no table of the lake", parts.join("."));
                let finding = Diagnostic::error(&UNKNOWN_TABLE, span, message);
                steps
                    .context
                    .report(finding.help("a table of the lake has two parts, `namespace.table`"));
                good = false;
            }
        }
    }
    let (reads, tables) = (reads.into_iter().collect(), tables.into_iter().collect());
    let sql = text.value.clone();
    steps.has_text(step, SqlOf::Transform, text);
    good.then_some(Transform { sql, reads, tables })
}

/// A text that stands in the spec itself.
pub(super) fn inline(steps: &Steps<'_>, written: &At<String>) -> Option<Text> {
    let source = steps.context.sources.get(steps.doc.file)?;
    Some(Text::of_scalar(written, written.span, source))
}

/// The finding for SQL that was refused.
pub(super) fn refused(text: &Text, error: &SqlError) -> Diagnostic {
    match error {
        SqlError::Syntax { message, place } => {
            Diagnostic::error(&SQL_SYNTAX, text.span(*place), message.as_str())
        }
        SqlError::NotAQuery { message, place } => {
            Diagnostic::error(&SQL_NOT_A_QUERY, text.span(*place), message.as_str())
                .help("write one `SELECT …` or `WITH … SELECT …`")
        }
    }
}
