//! The part of a table that a load replaces.

use super::rules::BAD_RULE;
use super::step::Steps;
use super::transform::{inline, refused};
use crate::diagnostic::Diagnostic;
use crate::meaning::SqlOf;
use crate::read::At;
use crate::sql;
use crate::written::StepSpec;

/// The condition on the part's rows; `None` with a finding.
pub(super) fn part(steps: &mut Steps<'_>, step: &StepSpec, written: &At<String>) -> Option<String> {
    let text = inline(steps, written)?;
    let condition = match sql::condition(&text.value) {
        Ok(condition) => condition,
        Err(error) => {
            steps.context.report(refused(&text, &error));
            return None;
        }
    };
    if condition.subquery || condition.aggregate {
        let message = "`where` is about one row: it reads no other";
        let finding = Diagnostic::error(&BAD_RULE, text.whole(), message);
        steps
            .context
            .report(finding.help("name the part by columns of the table"));
        return None;
    }
    let condition = text.value.clone();
    steps.has_text(step, SqlOf::Part, text);
    Some(condition)
}
