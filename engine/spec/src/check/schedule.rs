//! `bad-cron`, `unknown-pipeline`: when a pipeline runs by itself.

use std::str::FromStr;

use chrono_tz::Tz;

use super::context::Context;
use super::duration::duration;
use super::name::BAD_NAME;
use super::pipeline::Names;
use super::timezone::timezone;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Catchup, Cron, Overlap, PipelineId, Schedule};
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
    let rule = written.cron.as_ref().map(|text| cron(context, text));
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
    if let Some(wait) = &written.max_wait
        && (written.cron.is_none() || written.after.is_empty())
    {
        let message = "`max_wait` says how long a time of `cron` waits for `after`: this schedule has not both";
        context.report(
            Diagnostic::error(&MISSING_FIELD, wait.span, message)
                .help("remove it, or add the other one"),
        );
    }
    if let Some(jitter) = written.jitter.as_ref().filter(|_| written.cron.is_none()) {
        let message = "`jitter` moves the times of `cron`, and this schedule has none";
        context.report(
            Diagnostic::error(&MISSING_FIELD, jitter.span, message)
                .help("remove it, or add `cron`"),
        );
    }
    let length = |text: &Option<At<String>>| text.as_ref().and_then(|text| duration(context, text));
    Some(Schedule {
        cron: match rule {
            Some(rule) => Some(rule?),
            None => None,
        },
        timezone: timezone?,
        overlap,
        catchup,
        after,
        max_wait: length(&written.max_wait),
        jitter: length(&written.jitter),
    })
}

/// A rule that comes true some day, or a finding.
fn cron(context: &Context<'_>, written: &At<String>) -> Option<Cron> {
    let rule = match Cron::read(written) {
        Ok(rule) => rule,
        Err(reason) => {
            let message = format!("this is no cron rule: {reason}");
            let help = "five fields: minute, hour, day, month, weekday; `15 5 * * MON-FRI` is 05:15 on working days";
            context.report(Diagnostic::error(&BAD_CRON, written.span, message).help(help));
            return None;
        }
    };
    if !rule.comes() {
        let message = "this rule never comes true";
        let help = "no month of the rule has that day";
        context.report(Diagnostic::error(&BAD_CRON, written.span, message).help(help));
        return None;
    }
    Some(rule)
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
