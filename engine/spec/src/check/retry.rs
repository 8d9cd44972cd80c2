//! `retry:` of a pipeline, over that of its domain, over that of the project.

use super::context::Context;
use super::duration::duration;
use crate::diagnostic::Diagnostic;
use crate::model::Retry;
use crate::read::WRONG_VALUE;
use crate::written::{DefaultsSpec, RetrySpec};

/// The most attempts that make sense.
const MAX_ATTEMPTS: u32 = 100;

/// What a block says, over what held before.
pub(super) fn retry(context: &Context<'_>, written: Option<&RetrySpec>, base: Retry) -> Retry {
    let Some(written) = written else { return base };
    let mut retry = base;
    if let Some(attempts) = &written.attempts {
        if (1..=MAX_ATTEMPTS).contains(&attempts.value) {
            retry.attempts = attempts.value;
        } else {
            let message = format!("there are from 1 to {MAX_ATTEMPTS} attempts");
            context.report(
                Diagnostic::error(&WRONG_VALUE, attempts.span, message)
                    .help("write `1` for no retry"),
            );
        }
    }
    if let Some(backoff) = &written.backoff {
        if let Some(initial) = backoff
            .initial
            .as_ref()
            .and_then(|text| duration(context, text))
        {
            retry.backoff.initial = initial;
        }
        if let Some(max) = backoff
            .max
            .as_ref()
            .and_then(|text| duration(context, text))
        {
            retry.backoff.max = max;
        }
        retry.backoff.max = retry.backoff.max.max(retry.backoff.initial);
    }
    if let Some(deadline) = written
        .deadline
        .as_ref()
        .and_then(|text| duration(context, text))
    {
        retry.deadline = Some(deadline);
    }
    retry
}

/// The same for a block of defaults.
pub(super) fn defaults(
    context: &Context<'_>,
    written: Option<&DefaultsSpec>,
    base: Retry,
) -> Retry {
    retry(
        context,
        written.and_then(|defaults| defaults.retry.as_ref()),
        base,
    )
}
