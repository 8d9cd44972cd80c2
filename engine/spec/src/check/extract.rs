//! `unsupported-mode`, `bad-lag`, `key-needed`: extracts.

use super::changes::{self, CHANGE, VERSION};
use super::columns::{columns_of, named};
use super::connection::unknown;
use super::files::file;
use super::lineage::loads_of;
use super::load::{forgotten_part, replaced_by_part};
use super::options::{Owner, options};
use super::step::Steps;
use crate::connectors::{Capability, Incremental, OptionsOf, SourceCapability};
use crate::diagnostic::{Code, Diagnostic};
use crate::meaning::Word;
use crate::model::{Extract, ExtractMode, From, Lag, Nulls, Splits, WatermarkBy};
use crate::read::{At, MISSING_FIELD, WRONG_VALUE};
use crate::written::{
    ExtractModeSpec, ExtractSpec, IncrementalSpec, NullsSpec, QuerySpec, StepSpec,
};

pub(crate) const UNSUPPORTED_MODE: Code = Code {
    name: "unsupported-mode",
    explain: "The connector cannot do what the step asks for, or this version of the program cannot yet.\n\n\
              `lakewright connectors` lists what each connector can do.",
};
pub(crate) const BAD_LAG: Code = Code {
    name: "bad-lag",
    explain: "`lag` says how far before the last watermark reading starts again: a duration (`5m`) where the watermark is a \
              time, a whole number (`1000`) where it is a number.",
};
pub(crate) const KEY_NEEDED: Code = Code {
    name: "key-needed",
    explain: "Rows that share the last watermark arrive on both sides of a read. Without a key they would be lost or doubled.\n\n\
              Add `key: [..]`, the columns that identify a row, so that a row read twice is known again; or `unique: true` \
              where no two rows ever share a watermark and none appears below one that was read; or load with \
              `mode: { merge: { key: [..] } }` where the connection can, for which reading a row twice makes no difference.",
};

/// The kind and capability of a connection; `None` with a finding.
pub(super) fn connector<'a>(
    steps: &Steps<'a>,
    written: &At<String>,
) -> Option<(&'a str, Capability)> {
    if let Some(connection) = steps.names.connections.get(written.as_str()) {
        // A connector that is not known is reported where it is written.
        let capability = steps.context.connectors.capability(&connection.connector)?;
        return Some((connection.connector.as_str(), capability));
    }
    if !steps.context.unread.connections {
        unknown(steps.context, written, steps.names);
    }
    None
}

/// An extract; `None` with a finding.
pub(super) fn extract(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    written: &At<ExtractSpec>,
) -> Option<Extract> {
    let connector = connector(steps, &written.connection);
    let source = connector.and_then(|(kind, capability)| {
        if capability.source.is_none() {
            let message = format!("connector `{kind}` cannot be read");
            steps.context.report(
                Diagnostic::error(&UNSUPPORTED_MODE, written.connection.span, message)
                    .help("`lakewright connectors` says what each can do"),
            );
        }
        capability.source
    });
    let owner = Owner {
        kind: connector.map(|(kind, _)| kind),
        place: OptionsOf::Read,
        anchor: written.span,
    };
    let options = options(
        steps.context,
        steps.doc.node,
        written.options.as_ref(),
        owner,
    );
    let from = from(steps, written, connector.zip(source));
    columns_named(steps, step, written);
    let mode = mode(steps, step, written, connector.zip(source));
    let splits = written
        .splits
        .as_ref()
        .map_or_else(Splits::default, |splits| {
            if let Some(rows) = splits.target_rows.as_ref().filter(|rows| rows.value == 0) {
                steps.context.report(Diagnostic::error(
                    &WRONG_VALUE,
                    rows.span,
                    "a split has at least one row",
                ));
            }
            Splits {
                by: splits.by.as_ref().map(|column| column.value.clone()),
                target_rows: splits.target_rows.as_ref().map(|rows| rows.value),
            }
        });
    let columns = columns_read(written);
    let connection = written.connection.parse().ok()?;
    source?;
    Some(Extract {
        connection,
        from: from?,
        columns,
        mode: mode?,
        splits,
        options,
    })
}

/// The columns that are read; all where none is named.
pub(super) fn columns_read(written: &ExtractSpec) -> Vec<String> {
    let named = written.columns.iter().map(|column| column.value.clone());
    let mut columns: Vec<String> = named.collect();
    let mode = written.mode.as_ref().map(|mode| &mode.value);
    if let (false, Some(ExtractModeSpec::ChangeTracking)) = (columns.is_empty(), mode) {
        columns.extend([CHANGE.to_owned(), VERSION.to_owned()]);
    }
    columns
}

/// What grows, and what makes a row known again, is among the columns that are read.
fn columns_named(steps: &mut Steps<'_>, step: &StepSpec, written: &ExtractSpec) {
    named(steps, step, Word::Columns, &written.columns, None);
    let by = written.splits.iter().flat_map(|splits| &splits.by);
    named(steps, step, Word::SplitsBy, by, None);
    if let Some(ExtractModeSpec::Incremental(by)) = written.mode.as_ref().map(|mode| &mode.value) {
        let known = columns_of(steps, &step.name);
        let known = known.as_deref();
        named(steps, step, Word::Watermark, &by.watermark, known);
        named(steps, step, Word::Key, &by.key, known);
    }
}

pub(super) type Source<'a> = ((&'a str, Capability), SourceCapability);

fn from(steps: &Steps<'_>, written: &At<ExtractSpec>, source: Option<Source<'_>>) -> Option<From> {
    match (&written.table, &written.query) {
        (Some(table), None) => Some(From::Table(table.value.clone())),
        (None, Some(query)) => {
            if let Some(((kind, _), source)) = source
                && !source.queries
            {
                let message = format!("connector `{kind}` reads tables and no queries");
                steps.context.report(
                    Diagnostic::error(&UNSUPPORTED_MODE, query.span, message)
                        .help("write `table:`"),
                );
                return None;
            }
            match &query.value {
                QuerySpec::File(path) => file(steps, path).map(|text| From::Query(text.value)),
                QuerySpec::Sql(sql) => Some(From::Query(sql.value.clone())),
            }
        }
        (Some(table), Some(query)) => {
            let finding = Diagnostic::error(
                &WRONG_VALUE,
                query.span,
                "an extract reads a table or a query, not both",
            );
            steps.context.report(
                finding
                    .also(table.span, "the table")
                    .help("remove one of them"),
            );
            None
        }
        (None, None) => {
            if steps.doc.whole {
                let finding = Diagnostic::error(
                    &MISSING_FIELD,
                    written.span,
                    "this extract says neither `table` nor `query`",
                );
                steps.context.report(finding.help("add one of them"));
            }
            None
        }
    }
}

fn mode(
    steps: &Steps<'_>,
    step: &StepSpec,
    written: &At<ExtractSpec>,
    source: Option<Source<'_>>,
) -> Option<ExtractMode> {
    let Some(mode) = &written.mode else {
        return Some(ExtractMode::Full);
    };
    match &mode.value {
        ExtractModeSpec::Full => Some(ExtractMode::Full),
        ExtractModeSpec::ChangeTracking => {
            changes::tracked(steps, step, written, mode.span, source)
        }
        ExtractModeSpec::Cdc => {
            let message = "`cdc` is not supported yet";
            let help = "write `change_tracking`, `incremental: { watermark: … }` or `full`";
            steps
                .context
                .report(Diagnostic::error(&UNSUPPORTED_MODE, mode.span, message).help(help));
            None
        }
        ExtractModeSpec::Incremental(by) => incremental(steps, step, by, mode, source),
    }
}

fn incremental(
    steps: &Steps<'_>,
    step: &StepSpec,
    by: &IncrementalSpec,
    mode: &At<ExtractModeSpec>,
    source: Option<Source<'_>>,
) -> Option<ExtractMode> {
    let ((kind, _), source) = source?;
    if source.incremental != Incremental::No {
        replaced_by_part(steps, step, mode.span);
        forgotten_part(steps, step, mode.span);
    }
    let report = |finding: Diagnostic| steps.context.report(finding);
    match (source.incremental, &by.watermark) {
        (Incremental::No, _) => {
            let message = format!("connector `{kind}` cannot read only what is new");
            report(
                Diagnostic::error(&UNSUPPORTED_MODE, mode.span, message).help("write `mode: full`"),
            );
            return None;
        }
        (Incremental::Files, Some(watermark)) => {
            let message = format!("connector `{kind}` knows new files, not columns");
            report(
                Diagnostic::error(&UNSUPPORTED_MODE, watermark.span, message)
                    .help("write `mode: incremental`"),
            );
            return None;
        }
        (Incremental::Column, None) => {
            if steps.doc.whole {
                let message = "incremental reading of this connector needs `watermark`";
                let help =
                    "write `mode: { incremental: { watermark: … } }` with a column that grows";
                report(Diagnostic::error(&MISSING_FIELD, mode.span, message).help(help));
            }
            return None;
        }
        (Incremental::Column, Some(_)) => key(steps, step, by)?,
        (Incremental::Files, None) => {}
    }
    let mut read_lag = None;
    if let Some(lag) = &by.lag {
        let number = lag.value.0.parse().ok().map(Lag::Number);
        read_lag = number.or_else(|| super::duration::parse(&lag.value.0).map(Lag::Time));
        if read_lag.is_none() {
            let message = format!("`{}` is no lag", lag.value.0);
            report(
                Diagnostic::error(&BAD_LAG, lag.span, message)
                    .help("write a duration, `5m`, or a whole number"),
            );
            return None;
        }
    }
    Some(ExtractMode::Incremental(WatermarkBy {
        changes: false,
        column: by.watermark.as_ref().map(|column| column.value.clone()),
        lag: read_lag,
        key: by.key.iter().map(|column| column.value.clone()).collect(),
        unique: by.unique,
        nulls: match by.nulls {
            NullsSpec::Fail => Nulls::Fail,
            NullsSpec::Skip => Nulls::Skip,
            NullsSpec::Read => Nulls::Read,
        },
    }))
}

/// Rows that share a watermark must be known again, or make no difference.
fn key(steps: &Steps<'_>, step: &StepSpec, by: &IncrementalSpec) -> Option<()> {
    let watermark = by.watermark.as_ref()?;
    let rereads = !by.unique || by.lag.is_some() || matches!(by.nulls, NullsSpec::Read);
    if !by.key.is_empty() || !rereads {
        return Some(());
    }
    let loads = loads_of(steps, &step.name);
    let Some(load) = loads.iter().find(|load| load.mode.value.adds_every_row()) else {
        return Some(());
    };
    let message = "rows that share a watermark would be lost or doubled";
    let help = if by.unique {
        "add `key: [..]`: `lag` and `nulls: read` read rows again"
    } else {
        "add `key: [..]` or `unique: true`"
    };
    let finding = Diagnostic::error(&KEY_NEEDED, watermark.span, message);
    steps.context.report(
        finding
            .also(load.mode.span, "every row that is read is added here")
            .help(help),
    );
    None
}
