//! `two-increments`: an append takes the rows of one incremental extract at most.

use super::lineage::loads_of;
use super::step::Steps;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::written::{ExtractModeSpec, LoadSpec, StepSpec};

pub(crate) const TWO_INCREMENTS: Code = Code {
    name: "two-increments",
    explain: "A load adds the rows of several extracts of which each reads only what is new. A row that is read again, because it \
              stands at the edge of what was read before, is known again in the table by the key of its extract: a table can \
              know the rows of one.\n\n\
              Load each of the extracts into a table of its own, and read those tables together in another pipeline; or read \
              all but one of them with `mode: full`.",
};

/// Every load that adds rows has one window at most to know them again by.
pub(super) fn two_increments(steps: &Steps<'_>) {
    let increments: Vec<(&StepSpec, Span, Vec<&LoadSpec>)> = steps
        .written()
        .iter()
        .filter_map(|step| Some((step, increment(step)?, loads_of(steps, &step.name))))
        .collect();
    for step in steps.written() {
        let Some(load) = step.load.as_ref().map(|load| &load.value) else {
            continue;
        };
        if !load.mode.value.adds_every_row() {
            continue;
        }
        let mut reaching = increments
            .iter()
            .filter(|(_, _, loads)| loads.iter().any(|reached| std::ptr::eq(*reached, load)));
        let (Some(first), Some(second)) = (reaching.next(), reaching.next()) else {
            continue;
        };
        let message = format!(
            "`{}` adds the rows of more than one incremental extract",
            step.name.value
        );
        let mut finding = Diagnostic::error(&TWO_INCREMENTS, load.mode.span, message)
            .label("rows that are read again are known again for one of them only");
        for (extract, mode, _) in [first, second].into_iter().chain(reaching) {
            let text = format!("`{}` reads only what is new", extract.name.value);
            finding = finding.also(*mode, text);
        }
        steps.context.report(
            finding
                .help("load each of them into a table of its own, and read those tables together"),
        );
    }
}

/// Where an extract says that it reads only what is new.
fn increment(step: &StepSpec) -> Option<Span> {
    let mode = step.extract.as_ref()?.mode.as_ref()?;
    matches!(mode.value, ExtractModeSpec::Incremental(_)).then_some(mode.span)
}
