//! `bad-rename`: how the columns of a table follow those of the rows.

use super::extract::UNSUPPORTED_MODE;
use super::load::LAKE_ONLY;
use super::step::Steps;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{OnSchemaChange, Reaction, Renames};
use crate::read::At;
use crate::source::Span;
use crate::written::{LoadSpec, ReactionSpec, RepartitionSpec};

pub(crate) const BAD_RENAME: Code = Code {
    name: "bad-rename",
    explain: "`renamed_from` says which name a column of the rows had before: `{ ward_code: ward_id }`. Where the table has \
              `ward_id` and not yet `ward_code`, its column gets the new name and keeps its values; where it has the new name \
              already, nothing happens, so that the line may stay.\n\n\
              A column has one name before this one, and no other column had it. A name that is both old and new has no \
              order in which it could be done: rename in one release, and again in the next.",
};

/// What happens when columns differ; what cannot be asked for is reported.
pub(super) fn on_schema_change(steps: &Steps<'_>, load: &LoadSpec) -> OnSchemaChange {
    let base = OnSchemaChange::default();
    let Some(written) = &load.on_schema_change else {
        return base;
    };
    if let Some(narrow) = written
        .narrow
        .as_ref()
        .filter(|narrow| matches!(narrow.value, ReactionSpec::Accept))
    {
        let message =
            "a column of the lake cannot become narrower: rows that are there would not fit";
        steps.context.report(
            Diagnostic::error(&UNSUPPORTED_MODE, narrow.span, message)
                .help("write `reject` or `keep`"),
        );
    }
    let goes = |drop: &&At<ReactionSpec>| matches!(drop.value, ReactionSpec::Accept);
    let told = [
        (
            written.drop.as_ref().filter(goes).map(|at| at.span),
            "drop: accept",
        ),
        (written.relax.as_ref().map(|at| at.span), "relax"),
        (written.reorder.as_ref().map(|at| at.span), "reorder"),
        (written.partition.as_ref().map(|at| at.span), "partition"),
    ];
    only_lake(steps, load, &told);
    let reaction = |written: &Option<At<ReactionSpec>>, base| match written
        .as_ref()
        .map(|written| written.value)
    {
        None => base,
        Some(ReactionSpec::Accept) => Reaction::Accept,
        Some(ReactionSpec::Reject) => Reaction::Reject,
        Some(ReactionSpec::Keep) => Reaction::Keep,
    };
    OnSchemaChange {
        add: reaction(&written.add, base.add),
        widen: reaction(&written.widen, base.widen),
        narrow: reaction(&written.narrow, base.narrow),
        drop: reaction(&written.drop, base.drop),
        relax: reaction(&written.relax, base.relax),
        reorder: reaction(&written.reorder, base.reorder),
        partition: match written.partition.as_ref().map(|written| written.value) {
            None => base.partition,
            Some(RepartitionSpec::Accept) => Reaction::Accept,
            Some(RepartitionSpec::Reject) => Reaction::Reject,
        },
    }
}

/// A load to a connection cannot be told these.
fn only_lake(steps: &Steps<'_>, load: &LoadSpec, keys: &[(Option<Span>, &str)]) {
    let Some(connection) = &load.connection else {
        return;
    };
    for (span, key) in keys {
        if let Some(span) = span {
            let message = format!(
                "`{key}` is for tables of the lake, and this is one of connection `{}`",
                connection.value
            );
            let finding = Diagnostic::error(&LAKE_ONLY, *span, message);
            steps
                .context
                .report(finding.help(format!("remove `{key}`")));
        }
    }
}

/// The old names of columns by their new ones; those that make no sense are reported.
pub(super) fn renamed_from(steps: &Steps<'_>, load: &LoadSpec) -> Renames {
    let written = &load.renamed_from.0;
    let first = written.first().map(|(new, _)| new.span);
    only_lake(steps, load, &[(first, "renamed_from")]);
    for (number, (new, old)) in written.iter().enumerate() {
        let mut before = written.iter().take(number);
        let finding = if new.value.is_empty() || old.value.is_empty() {
            Diagnostic::error(&BAD_RENAME, old.span, "a column has a name")
                .help("write the new name, then the old one: `ward_code: ward_id`")
        } else if new.value == old.value {
            let message = format!("`{}` is renamed to itself", old.value);
            Diagnostic::error(&BAD_RENAME, old.span, message)
                .help("write the new name, then the old one: `ward_code: ward_id`")
        } else if let Some((first, _)) = before.find(|(_, other)| other.value == old.value) {
            let message = format!("two columns cannot both be `{}` renamed", old.value);
            Diagnostic::error(&BAD_RENAME, old.span, message)
                .also(first.span, "the first")
                .help("leave it to one of them; compute the other in a transform")
        } else if let Some((other, _)) = written.iter().find(|(other, _)| other.value == old.value)
        {
            let message = format!(
                "`{}` is the old name of `{}`, and the new name of another column",
                old.value, new.value
            );
            Diagnostic::error(&BAD_RENAME, old.span, message)
                .also(other.span, "renamed here")
                .help("do the one rename first, and the other with a later run")
        } else {
            continue;
        };
        steps.context.report(finding);
    }
    let names = written.iter();
    names
        .map(|(new, old)| (new.value.clone(), old.value.clone()))
        .collect()
}
