//! How a load knows the rows that its table has already.

use super::duration::duration;
use super::extract::{KEY_NEEDED, UNSUPPORTED_MODE};
use super::merge::named_once;
use super::step::Steps;
use crate::diagnostic::Diagnostic;
use crate::model::Dedupe;
use crate::read::At;
use crate::written::DedupeSpec;

/// What makes a row known; `None` with a finding.
pub(super) fn dedupe(steps: &Steps<'_>, written: &At<DedupeSpec>) -> Option<Dedupe> {
    if written.key.is_empty() {
        let message = "`dedupe` needs a key: without one no row is known again";
        let finding = Diagnostic::error(&KEY_NEEDED, written.span, message);
        steps
            .context
            .report(finding.help("name the columns that identify a row"));
        return None;
    }
    named_once(steps, &written.key);
    let mut read_within = None;
    if let Some(within) = &written.within {
        read_within = Some(duration(steps.context, within)?);
        timed(steps, written, within)?;
    }
    Some(Dedupe {
        key: written.key.iter().map(|key| key.value.clone()).collect(),
        by: written.by.as_ref().map(|by| by.value.clone()),
        within: read_within,
    })
}

/// How far rows lie apart is told by a column beside the key.
fn timed(steps: &Steps<'_>, written: &DedupeSpec, within: &At<String>) -> Option<()> {
    let Some(by) = &written.by else {
        let message = "`within` needs to know the time of a row";
        let help = "add `by: COLUMN`, a column of times or dates";
        let finding = Diagnostic::error(&UNSUPPORTED_MODE, within.span, message);
        steps.context.report(finding.help(help));
        return None;
    };
    if let Some(key) = written.key.iter().find(|key| key.value == by.value) {
        let message = format!("`{}` is part of the key", by.value);
        let finding = Diagnostic::error(&UNSUPPORTED_MODE, by.span, message)
            .also(key.span, "rows of different times have different keys");
        let help = "remove it from the key, or leave out `by` and `within`";
        steps.context.report(finding.help(help));
        return None;
    }
    Some(())
}
