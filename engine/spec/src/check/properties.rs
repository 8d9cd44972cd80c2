//! `bad-property`: table properties that decide how files are written.

use super::context::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::Named;

pub(crate) const BAD_PROPERTY: Code = Code {
    name: "bad-property",
    explain: "`properties` of a load are Iceberg table properties, and their values are text. Those that are written down and \
              mean nothing to us go to the table as they are. Those about bloom filters are followed when files are written:\n\n\
              `write.parquet.bloom-filter-enabled.column.NAME` is `\"true\"` or `\"false\"`,\n\
              `write.parquet.bloom-filter-fpp.column.NAME` a share between 0 and 1, `\"0.01\"` when left out,\n\
              `write.parquet.bloom-filter-max-bytes` a number of bytes, `\"1048576\"` when left out.",
};

const BLOOM: &str = "write.parquet.bloom-filter-";

/// What a property must be.
enum Wanted {
    Flag,
    Share,
    Bytes,
}

impl Wanted {
    /// `None` where another engine may know it.
    fn of(key: &str) -> Option<Self> {
        let rest = key.strip_prefix(BLOOM)?;
        match rest.split_once(".column.") {
            Some(("enabled", _)) => Some(Self::Flag),
            Some(("fpp", _)) => Some(Self::Share),
            _ if rest == "max-bytes" => Some(Self::Bytes),
            _ => None,
        }
    }

    fn takes(&self, value: &str) -> bool {
        match self {
            Self::Flag => ["true", "false"].contains(&value),
            Self::Share => value
                .parse()
                .is_ok_and(|share: f64| share > 0.0 && share < 1.0),
            Self::Bytes => value.parse().is_ok_and(|bytes: u64| bytes > 0),
        }
    }

    const fn help(&self) -> &'static str {
        match self {
            Self::Flag => "write `\"true\"` or `\"false\"`",
            Self::Share => {
                "write how often a filter may be wrong, more than 0 and less than 1: `\"0.01\"`"
            }
            Self::Bytes => "write a number of bytes: `\"1048576\"`",
        }
    }
}

/// Finds properties that would not be followed.
pub(super) fn properties(context: &Context<'_>, written: &Named<String>) {
    for (key, value) in &written.0 {
        let wanted = Wanted::of(key).filter(|wanted| !wanted.takes(value));
        if let Some(wanted) = wanted {
            let message = format!("`{value}` is no value of `{}`", key.value);
            let finding = Diagnostic::error(&BAD_PROPERTY, key.span, message);
            context.report(finding.help(wanted.help()));
        }
    }
}
