//! `unknown-column`: the names of columns that a step is told beside its SQL.
//!
//! Where they stand is noted for whoever knows the columns. Where the text of the specs alone tells which columns there
//! are, by `columns` of an extract or the list of a `SELECT`, what is not among them is reported here.

use super::extract::columns_read;
use super::step::Steps;
use super::transform::inline;
use crate::meaning::{SqlOf, Word};
use crate::read::At;
use crate::sql;
use crate::written::{StepSpec, TransformSpec};

/// The columns of the rows of a step, where the specs alone tell all of them.
pub(super) fn columns_of(steps: &Steps<'_>, step: &str) -> Option<Vec<String>> {
    if !steps.doc.whole {
        return None;
    }
    let written = steps.written();
    let mut name = step;
    // Checks pass on what they are about; there are no more of them than steps.
    for _ in 0..=written.len() {
        let step = written.iter().find(|step| step.name.value == name)?;
        if let Some(check) = &step.check {
            name = check.on.as_str();
            continue;
        }
        if let Some(extract) = &step.extract {
            let columns = columns_read(extract);
            return (!columns.is_empty()).then_some(columns);
        }
        let text = match &step.transform.as_ref()?.value {
            TransformSpec::Sql(text) => text.as_str(),
            TransformSpec::File(path) => super::files::find(steps, path)?,
        };
        return sql::columns(text);
    }
    None
}

/// Notes where columns are named, and reports those that are not among `known`, where all are known.
pub(super) fn named<'w>(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    word: Word,
    written: impl IntoIterator<Item = &'w At<String>>,
    known: Option<&[String]>,
) {
    for written in written {
        let Some(text) = inline(steps, written) else {
            continue;
        };
        let column = match word {
            Word::PartitionBy | Word::SortBy => sql::column_of(written),
            _ => written.as_str(),
        };
        let there = known.unwrap_or_default();
        let unknown = known.is_some() && there.iter().all(|there| there != column);
        if unknown && sql::is_column(column) {
            let fault = word.unknown(written, column, there.iter().map(String::as_str));
            steps.context.report(fault.at(Some(&text)));
        }
        let name = written.value.clone();
        let of = |pipeline, step| SqlOf::Column(pipeline, step, word, name);
        steps.has_text(step, of, text);
    }
}
