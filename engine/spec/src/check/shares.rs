//! How much may run at once, and what begins first where there is no room for all.

use super::context::Context;
use crate::diagnostic::Diagnostic;
use crate::read::{At, WRONG_VALUE};
use crate::written::ProjectSpec;

/// How far a priority may go, up and down.
const MOST_PRIORITY: i32 = 100;
/// The most weight of a domain.
const MOST_WEIGHT: u32 = 1_000;

/// How many runs of the project there may be at once.
pub(super) fn of_project(context: &Context<'_>, spec: &ProjectSpec) -> Option<usize> {
    let limits = spec.limits.as_ref();
    runs(context, limits.and_then(|limits| limits.runs.as_ref()))
}

/// How many runs there may be at once.
pub(super) fn runs(context: &Context<'_>, written: Option<&At<usize>>) -> Option<usize> {
    let written = written?;
    if written.value == 0 {
        let message = "with no run at once, nothing would ever run";
        context.report(
            Diagnostic::error(&WRONG_VALUE, written.span, message).help("write `1` or more"),
        );
    }
    Some(written.value)
}

/// The weight of a domain.
pub(super) fn weight(context: &Context<'_>, written: Option<&At<u32>>) -> u32 {
    let Some(written) = written else { return 1 };
    if !(1..=MOST_WEIGHT).contains(&written.value) {
        let message = format!("a weight is from 1 to {MOST_WEIGHT}");
        context.report(
            Diagnostic::error(&WRONG_VALUE, written.span, message)
                .help("write `1` for a domain like any other"),
        );
    }
    written.value.clamp(1, MOST_WEIGHT)
}

/// The priority of a pipeline.
pub(super) fn priority(context: &Context<'_>, written: Option<&At<i32>>) -> i32 {
    let Some(written) = written else { return 0 };
    if !(-MOST_PRIORITY..=MOST_PRIORITY).contains(&written.value) {
        let message = format!("a priority is from -{MOST_PRIORITY} to {MOST_PRIORITY}");
        context.report(
            Diagnostic::error(&WRONG_VALUE, written.span, message)
                .help("write `0` for a pipeline like any other"),
        );
    }
    written.value
}
