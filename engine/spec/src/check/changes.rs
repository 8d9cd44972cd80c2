//! `mode: change_tracking`: rows that say of themselves what became of them, and who may take them.

use super::extract::{Source, UNSUPPORTED_MODE};
use super::lineage::loads_of;
use super::step::Steps;
use crate::diagnostic::Diagnostic;
use crate::model::{Deletes, ExtractMode, Nulls, WatermarkBy};
use crate::read::At;
use crate::source::Span;
use crate::written::{ExtractModeSpec, ExtractSpec, LoadModeSpec, LoadSpec, StepSpec};

/// The column that says what became of a row.
pub(super) const CHANGE: &str = "_change";
/// The column with the version of the change.
pub(super) const VERSION: &str = "_version";

/// The mode of an extract that reads changes; `None` with a finding.
pub(super) fn tracked(
    steps: &Steps<'_>,
    step: &StepSpec,
    written: &At<ExtractSpec>,
    mode: Span,
    source: Option<Source<'_>>,
) -> Option<ExtractMode> {
    let ((kind, _), source) = source?;
    let report = |finding: Diagnostic| steps.context.report(finding);
    if !source.changes {
        let message = format!("connector `{kind}` does not know which rows changed");
        let help = "write `full`, or `incremental: { watermark: … }`";
        report(Diagnostic::error(&UNSUPPORTED_MODE, mode, message).help(help));
        return None;
    }
    if let Some(query) = &written.query {
        let message = "changes are of a table, not of a query";
        let finding = Diagnostic::error(&UNSUPPORTED_MODE, query.span, message);
        report(
            finding
                .also(mode, "changes are read")
                .help("write `table:`"),
        );
        return None;
    }
    for load in loads_of(steps, &step.name) {
        if let Some((message, help)) = refused(steps, load) {
            let finding = Diagnostic::error(&UNSUPPORTED_MODE, load.mode.span, message);
            let reads = format!("`{}` reads changes", step.name.value);
            report(finding.also(mode, reads).help(help));
            return None;
        }
    }
    Some(ExtractMode::Incremental(WatermarkBy {
        column: Some(VERSION.to_owned()),
        changes: true,
        lag: None,
        key: Vec::new(),
        unique: true,
        nulls: Nulls::Skip,
    }))
}

/// Why a load cannot take changes, and what to write.
fn refused(steps: &Steps<'_>, load: &LoadSpec) -> Option<(&'static str, &'static str)> {
    match &load.mode.value {
        LoadModeSpec::Merge(merge) if load.connection.is_none() => {
            let told = merge.deletes.is_some() || reads_changes(steps, &load.from);
            (!told).then_some((
                "some of these rows are gone at the source: the merge has to be told which",
                "write `deletes: { flagged: { when: \"_change = 'delete'\", without: [_change, _version] } }`",
            ))
        }
        _ => Some((
            "rows that changed are merged into tables of the lake",
            "write `mode: { merge: { key: [..] } }` with the key of the source",
        )),
    }
}

/// What a merge deletes that does not say it: what the source deleted, where its rows come from there unchanged.
pub(super) fn deletes(steps: &Steps<'_>, load: &LoadSpec) -> Deletes {
    if reads_changes(steps, &load.from) {
        Deletes::Flagged {
            when: format!("{CHANGE} = 'delete'"),
            without: vec![CHANGE.to_owned(), VERSION.to_owned()],
        }
    } else {
        Deletes::Never
    }
}

/// Whether the rows of a step are the changes that an extract reads, checks in between or not.
fn reads_changes(steps: &Steps<'_>, from: &str) -> bool {
    let written = steps.written();
    let mut name = from;
    // Checks pass on what they are about; there are no more of them than steps.
    for _ in 0..=written.len() {
        let Some(step) = written.iter().find(|step| step.name.value == name) else {
            return false;
        };
        if let Some(check) = &step.check {
            name = check.on.as_str();
            continue;
        }
        let mode = step
            .extract
            .as_ref()
            .and_then(|extract| extract.mode.as_ref());
        return mode.is_some_and(|mode| matches!(mode.value, ExtractModeSpec::ChangeTracking));
    }
    false
}
