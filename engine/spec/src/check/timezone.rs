//! `bad-timezone`: times carry an IANA zone.

use chrono_tz::Tz;

use super::context::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::{At, nearest};

pub(crate) const BAD_TIMEZONE: Code = Code {
    name: "bad-timezone",
    explain: "A time zone is a name of the IANA database: `Europe/Moscow`, `UTC`.\n\n\
              An offset like `+03:00` or an abbreviation like `MSK` does not say when clocks change.",
};

/// A zone, or a finding.
pub(super) fn timezone(context: &Context<'_>, written: &At<String>) -> Option<Tz> {
    if let Ok(zone) = written.parse() {
        return Some(zone);
    }
    let finding = Diagnostic::error(
        &BAD_TIMEZONE,
        written.span,
        format!("there is no time zone `{}`", written.value),
    );
    context.report(
        match nearest(
            written,
            chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()),
        ) {
            Some(near) => finding.suggest(near),
            None => finding.help("write an IANA name like `Europe/Moscow`"),
        },
    );
    None
}
