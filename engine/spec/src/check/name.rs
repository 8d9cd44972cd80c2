//! `bad-name`, `duplicate-name`: names are of a form that SQL and paths can take, and mean one thing.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::context::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::NameError;
use crate::read::At;
use crate::source::Span;

pub(crate) const BAD_NAME: Code = Code {
    name: "bad-name",
    explain: "A name starts with a letter or `_` and has letters, digits and `_`, at most 128 bytes. Connections, domains \
              and pipelines may have `-` too. A pipeline elsewhere is `domain/name`, a table of the lake `namespace.table`.\n\n\
              Steps are read by their name in SQL, so that a name must be one that SQL takes without quotes.",
};
pub(crate) const DUPLICATE_NAME: Code = Code {
    name: "duplicate-name",
    explain: "Two specs of one kind have the same name, or two steps of a pipeline, or two rules of a check. Whoever refers \
              to the name could mean either.\n\nWhere a file lies does not make a difference: the identity is `kind` and name.",
};

/// A name of this type, or a finding.
pub(super) fn name<T: FromStr<Err = NameError>>(
    context: &Context<'_>,
    written: &At<String>,
) -> Option<T> {
    match written.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("`{}` is no name here: {error}", written.value);
            let finding = Diagnostic::error(&BAD_NAME, written.span, message);
            let near = like(written).filter(|near| near.parse::<T>().is_ok());
            context.report(match near {
                Some(near) => finding.help(format!("write `{near}`")),
                None => finding,
            });
            None
        }
    }
}

/// A name made of what was written: `_` for what names do not have, and before a digit.
fn like(written: &str) -> Option<String> {
    let starts_well = written.chars().next()?.is_alphabetic();
    let middle = written
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '_' });
    let start = (!starts_well && !written.starts_with('_')).then_some('_');
    Some(start.into_iter().chain(middle).collect())
}

/// Reports every name that was there before; `what` is the kind of thing.
pub(super) fn duplicates<'a>(
    context: &Context<'_>,
    what: &str,
    names: impl IntoIterator<Item = (String, Span)> + 'a,
) {
    let mut first: BTreeMap<String, Span> = BTreeMap::new();
    for (name, span) in names {
        if let Some(before) = first.get(&name) {
            let finding = Diagnostic::error(
                &DUPLICATE_NAME,
                span,
                format!("there are two {what} named `{name}`"),
            );
            context.report(
                finding
                    .label("the second")
                    .also(*before, "the first")
                    .help("rename one of them"),
            );
        } else {
            first.insert(name, span);
        }
    }
}
