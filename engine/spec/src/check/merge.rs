//! How a load merges: its key, which row counts, which rows go.

use super::changes;
use super::extract::{KEY_NEEDED, UNSUPPORTED_MODE};
use super::load::LAKE_ONLY;
use super::name::DUPLICATE_NAME;
use super::rules::BAD_RULE;
use super::step::Steps;
use super::transform::{inline, refused};
use crate::diagnostic::Diagnostic;
use crate::meaning::SqlOf;
use crate::model::{Deletes, Merge, MergeWrite};
use crate::read::At;
use crate::source::Span;
use crate::sql;
use crate::written::{DeletesSpec, LoadSpec, MergeSpec, MergeWriteSpec, StepSpec};

/// A merge; `None` with a finding.
pub(super) fn merge(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    load: &At<LoadSpec>,
    written: &MergeSpec,
) -> Option<Merge> {
    if let Some(history) = &written.history {
        states_are_told(steps, written, history.span)?;
    }
    if load.connection.is_some() {
        only_key(steps, written)?;
    }
    if written.key.is_empty() {
        let message = "a merge needs a key: without one no row can be found again";
        let finding = Diagnostic::error(&KEY_NEEDED, load.mode.span, message);
        steps
            .context
            .report(finding.help("name the columns that identify a row"));
        return None;
    }
    named_once(steps, &written.key);
    let deletes = match &written.deletes {
        None => changes::deletes(steps, load),
        Some(deletes) => match &deletes.value {
            DeletesSpec::ByAbsence => Deletes::ByAbsence,
            DeletesSpec::Flagged { when, without } => {
                flagged(steps, step, &written.key, when, without)?
            }
        },
    };
    let write = written.write.as_ref().map(|write| write.value);
    Some(Merge {
        key: written.key.iter().map(|key| key.value.clone()).collect(),
        latest_by: written.latest_by.as_ref().map(|by| by.value.clone()),
        deletes,
        write: match write {
            None => MergeWrite::ByFile,
            Some(MergeWriteSpec::CopyOnWrite) => MergeWrite::CopyOnWrite,
            Some(MergeWriteSpec::MergeOnRead) => MergeWrite::MergeOnRead,
        },
        history: written.history.is_some(),
    })
}

/// A column of the key counts once.
pub(super) fn named_once(steps: &Steps<'_>, key: &[At<String>]) {
    for (number, column) in key.iter().enumerate() {
        let mut before = key.iter().take(number);
        if let Some(first) = before.find(|first| first.value == column.value) {
            let message = format!("`{}` is in the key already", column.value);
            let finding = Diagnostic::error(&DUPLICATE_NAME, column.span, message)
                .also(first.span, "the first");
            steps.context.report(finding.help("remove one of them"));
        }
    }
}

/// History needs to know when a row became what it is, and when it went.
fn states_are_told(steps: &Steps<'_>, written: &MergeSpec, history: Span) -> Option<()> {
    if written.latest_by.is_none() {
        let message = "history needs to know since when a row is what it is";
        let help = "add `latest_by: COLUMN`, the time of the change";
        steps
            .context
            .report(Diagnostic::error(&UNSUPPORTED_MODE, history, message).help(help));
        return None;
    }
    let absent = written.deletes.as_ref();
    if let Some(deletes) = absent.filter(|deletes| matches!(deletes.value, DeletesSpec::ByAbsence))
    {
        let message = "history needs to know when a row went, which its absence does not tell";
        let help = "write `deletes: { flagged: { when: … } }`, or leave `deletes` out";
        let finding = Diagnostic::error(&UNSUPPORTED_MODE, deletes.span, message);
        steps
            .context
            .report(finding.also(history, "earlier states are kept").help(help));
        return None;
    }
    let (Some(time), Some(deletes)) = (&written.latest_by, &written.deletes) else {
        return Some(());
    };
    let DeletesSpec::Flagged { without, .. } = &deletes.value else {
        return Some(());
    };
    if let Some(left_out) = without.iter().find(|column| column.value == time.value) {
        let message = format!("`{}` tells since when a row is what it is", time.value);
        let finding = Diagnostic::error(&UNSUPPORTED_MODE, left_out.span, message)
            .also(time.span, "the time of a change");
        steps
            .context
            .report(finding.help("where history is kept it is always written: remove it here"));
        return None;
    }
    Some(())
}

/// What only tables of the lake can be told.
fn only_key(steps: &Steps<'_>, written: &MergeSpec) -> Option<()> {
    let more = [
        (written.latest_by.as_ref().map(|at| at.span), "latest_by"),
        (written.deletes.as_ref().map(|at| at.span), "deletes"),
        (written.write.as_ref().map(|at| at.span), "write"),
        (written.history.as_ref().map(|at| at.span), "history"),
    ];
    let found = more.into_iter().find_map(|(at, name)| Some((at?, name)));
    let Some((at, name)) = found else {
        return Some(());
    };
    let message = format!("`{name}` is for merges into tables of the lake");
    let help = "remove it, and leave one row a key in a transform before";
    steps
        .context
        .report(Diagnostic::error(&LAKE_ONLY, at, message).help(help));
    None
}

/// Rows that say themselves that they delete.
fn flagged(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    key: &[At<String>],
    when: &At<String>,
    without: &[At<String>],
) -> Option<Deletes> {
    let text = inline(steps, when)?;
    let condition = match sql::condition(&text.value) {
        Ok(condition) => condition,
        Err(error) => {
            steps.context.report(refused(&text, &error));
            return None;
        }
    };
    if condition.subquery || condition.aggregate {
        let message = "`when` is about one row: it reads no other";
        let finding = Diagnostic::error(&BAD_RULE, text.whole(), message);
        steps
            .context
            .report(finding.help("compute a column in a transform before, and test that"));
        return None;
    }
    for column in without {
        if let Some(same) = key.iter().find(|key| key.value == column.value) {
            let message = format!("`{}` is part of the key", column.value);
            let finding = Diagnostic::error(&KEY_NEEDED, column.span, message)
                .also(same.span, "rows are found again by it");
            steps
                .context
                .report(finding.help("a key column is always written: remove it here"));
            return None;
        }
    }
    let when = text.value.clone();
    steps.has_text(step, SqlOf::Deletes, text);
    Some(Deletes::Flagged {
        when,
        without: without.iter().map(|column| column.value.clone()).collect(),
    })
}
