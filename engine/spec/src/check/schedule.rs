//! `bad-cron`, `unknown-pipeline`: when a pipeline runs by itself.

use std::str::FromStr;

use chrono::DateTime;
use chrono_tz::Tz;

use super::context::Context;
use super::name::BAD_NAME;
use super::pipeline::Names;
use super::timezone::timezone;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{self, Catchup, Overlap, PipelineId, Schedule};
use crate::read::{At, MISSING_FIELD, nearest};
use crate::source::Span;
use crate::written::{CatchupSpec, OverlapSpec, ScheduleSpec};

pub(crate) const BAD_CRON: Code = Code {
    name: "bad-cron",
    explain: "A cron rule has five fields: minute, hour, day of the month, month, weekday; or six, with seconds first. \
              A field is `*`, a value, a range `1-5`, a list `1,15`, or a step `*/10`. Weekdays are names or numbers, \
              0 and 7 being Sunday.\n\n\
              Day and weekday cannot both be restricted: programs differ in whether one or both must match.\n\n\
              A time that a clock change skips runs once, at the next valid moment; one that it repeats runs once.",
};
pub(crate) const UNKNOWN_PIPELINE: Code = Code {
    name: "unknown-pipeline",
    explain: "`after:` names a pipeline, `domain/name`, that this project does not have.",
};

/// A schedule; `None` with a finding.
pub(super) fn schedule(
    context: &Context<'_>,
    written: &ScheduleSpec,
    owner: Span,
    names: &Names<'_>,
) -> Option<Schedule> {
    let timezone = match &written.timezone {
        Some(zone) => timezone(context, zone),
        None => Some(Tz::UTC),
    };
    let cron_good = written.cron.as_ref().is_none_or(|text| cron(context, text));
    let mut after = Vec::new();
    for other in &written.after {
        after.extend(pipeline(context, other, names));
    }
    if written.cron.is_none() && written.after.is_empty() {
        let message = "this schedule says neither `cron` nor `after`";
        context.report(
            Diagnostic::error(&MISSING_FIELD, owner, message).help("add one, or remove `schedule`"),
        );
    }
    let overlap = match written.overlap {
        OverlapSpec::Skip => Overlap::Skip,
        OverlapSpec::Queue => Overlap::Queue,
        OverlapSpec::Coalesce => Overlap::Coalesce,
    };
    let catchup = match written.catchup {
        CatchupSpec::None => Catchup::None,
        CatchupSpec::Last => Catchup::Last,
        CatchupSpec::All => Catchup::All,
    };
    let cron = written.cron.as_ref().map(|text| text.value.clone());
    cron_good.then_some(Schedule {
        cron,
        timezone: timezone?,
        overlap,
        catchup,
        after,
    })
}

fn cron(context: &Context<'_>, written: &At<String>) -> bool {
    if let Err(reason) = model::check_cron(written) {
        let help = "five fields: minute, hour, day, month, weekday; `15 5 * * MON-FRI` is 05:15 on working days";
        context.report(
            Diagnostic::error(
                &BAD_CRON,
                written.span,
                format!("this is no cron rule: {reason}"),
            )
            .help(help),
        );
        return false;
    }
    let schedule = Schedule {
        cron: Some(written.value.clone()),
        timezone: Tz::UTC,
        overlap: Overlap::Skip,
        catchup: Catchup::None,
        after: Vec::new(),
    };
    let comes = schedule.next_after(DateTime::UNIX_EPOCH).is_some();
    if !comes {
        let message = "this rule never comes true";
        let help = "no month of the rule has that day";
        context.report(Diagnostic::error(&BAD_CRON, written.span, message).help(help));
    }
    comes
}

fn pipeline(context: &Context<'_>, written: &At<String>, names: &Names<'_>) -> Option<PipelineId> {
    let id = match PipelineId::from_str(written) {
        Ok(id) => id,
        Err(error) => {
            let message = format!("`{}` is no pipeline's name: {error}", written.value);
            context.report(
                Diagnostic::error(&BAD_NAME, written.span, message).help("write `domain/name`"),
            );
            return None;
        }
    };
    if names.pipelines.contains_key(&written.value) || context.unread.pipelines {
        return Some(id);
    }
    let finding = Diagnostic::error(
        &UNKNOWN_PIPELINE,
        written.span,
        format!("there is no pipeline `{id}`"),
    );
    context.report(
        match nearest(written, names.pipelines.keys().map(String::as_str)) {
            Some(near) => match names.pipelines.get(near) {
                Some(span) => finding
                    .also(*span, "a pipeline with a similar name")
                    .suggest(near),
                None => finding.suggest(near),
            },
            None => finding,
        },
    );
    None
}
