//! `foreign-namespace`, `lake-only`, `replace-of-a-part`, `part-forgotten`: loads. How they merge: see `merge`.

use std::collections::BTreeMap;

use super::audit;
use super::columns::{columns_of, named};
use super::dedupe::dedupe;
use super::evolution;
use super::extract::{UNSUPPORTED_MODE, connector};
use super::lineage::loads_of;
use super::merge;
use super::name::BAD_NAME;
use super::options::{Owner, options};
use super::part::part;
use super::partition;
use super::pipeline::TableUse;
use super::properties;
use super::size::size;
use super::step::Steps;
use crate::connectors::{OptionsOf, SinkCapability};
use crate::diagnostic::{Code, Diagnostic};
use crate::meaning::Word;
use crate::model::{IS_CURRENT, Load, LoadMode, TableRef, Target, VALID_FROM, VALID_TO};
use crate::read::At;
use crate::source::Span;
use crate::written::{DeletesSpec, LoadModeSpec, LoadSpec, MergeSpec, ReplaceSpec, StepSpec};

pub(crate) const FOREIGN_NAMESPACE: Code = Code {
    name: "foreign-namespace",
    explain: "A pipeline writes a table in a namespace that its domain does not own. A domain's pipelines write only the \
              `namespace:` of the domain; everybody may read it.\n\n\
              Write into the own namespace, or move the pipeline to the domain that owns the table.",
};
pub(crate) const LAKE_ONLY: Code = Code {
    name: "lake-only",
    explain: "`partition_by`, `sort_by`, `properties`, `target_file_size` and `maintenance` say how a table of the lake is laid out and \
              kept, `audit` what is expected of it, `renamed_from` and some reactions of `on_schema_change` how it changes. A load to a connection has no such \
              thing: what its connector can be told stands in `options`.",
};

pub(crate) const REPLACE_OF_A_PART: Code = Code {
    name: "replace-of-a-part",
    explain: "An extract reads only what is new, and a load puts it in the place of everything that is there: after each run the \
              table would hold nothing but the newest rows. So it is with a merge whose `deletes: by_absence` takes out the rows \
              that were not read, with a part that a condition names, and with partitions. A table that only its first run fills \
              (`create_only`) would hold nothing but the oldest rows.\n\n\
              Add them with `mode: append` or `mode: { merge: { key: [..] } }`; or read all rows with `mode: full`.",
};

pub(crate) const PART_FORGOTTEN: Code = Code {
    name: "part-forgotten",
    explain: "An extract reads only what is new, and a load puts it where nothing can remember how far that was. A table of the lake \
              or of a database keeps it in the same commit as the rows, so that no crash can lose rows or add them twice; files cannot.\n\n\
              Load the rows into a table, and write the files from that table; or read all rows with `mode: full`.",
};

/// A load; `None` with a finding.
pub(super) fn load(steps: &mut Steps<'_>, step: &StepSpec, written: &At<LoadSpec>) -> Option<Load> {
    let from = steps.rows_of(step, &written.from, "reads");
    let target = match &written.connection {
        Some(connection) => to_connection(steps, written, connection),
        None => to_lake(steps, step, written),
    };
    columns_named(steps, step, written);
    let mode = mode(steps, step, written);
    let partition_by = partition::partition_by(steps.context, &written.partition_by);
    let sort_by = partition::sort_by(steps.context, &written.sort_by);
    let target_file_bytes = written
        .target_file_size
        .as_ref()
        .and_then(|text| size(steps.context, text));
    properties::properties(steps.context, &written.properties);
    let properties = written
        .properties
        .0
        .iter()
        .map(|(key, value)| (key.value.clone(), value.clone()));
    let on_schema_change = evolution::on_schema_change(steps, written);
    let renamed_from = evolution::renamed_from(steps, written);
    let audit = match &written.audit {
        Some(rules) => audit::rules(steps, step, rules),
        None => Some(Vec::new()),
    };
    let (target, options) = target?;
    Some(Load {
        from: from?,
        target,
        mode: mode?,
        partition_by,
        sort_by,
        properties: properties.collect::<BTreeMap<_, _>>(),
        target_file_bytes,
        on_schema_change,
        renamed_from,
        audit: audit?,
        options,
    })
}

/// What a load names must be among the columns of its rows.
fn columns_named(steps: &mut Steps<'_>, step: &StepSpec, written: &LoadSpec) {
    let known = columns_of(steps, &written.from);
    let mut of_table = known.clone();
    let known = known.as_deref();
    match &written.mode.value {
        LoadModeSpec::Append(append) => {
            if let Some(dedupe) = &append.dedupe {
                named(steps, step, Word::Key, &dedupe.key, known);
                named(steps, step, Word::By, &dedupe.by, known);
            }
        }
        LoadModeSpec::Merge(merge) => {
            named(steps, step, Word::Key, &merge.key, known);
            named(steps, step, Word::LatestBy, &merge.latest_by, known);
            let deletes = merge.deletes.as_ref().map(|deletes| &deletes.value);
            if let Some(DeletesSpec::Flagged { without, .. }) = deletes {
                named(steps, step, Word::Without, without, known);
            }
            if merge.history.is_some()
                && let Some(columns) = &mut of_table
            {
                columns.extend([VALID_FROM, VALID_TO, IS_CURRENT].map(str::to_owned));
            }
        }
        LoadModeSpec::Replace(_) | LoadModeSpec::ReplacePartitions | LoadModeSpec::CreateOnly => {}
    }
    let of_table = of_table.as_deref();
    named(
        steps,
        step,
        Word::PartitionBy,
        &written.partition_by,
        of_table,
    );
    named(steps, step, Word::SortBy, &written.sort_by, of_table);
    let renamed = written.renamed_from.0.iter().map(|(new, _)| new);
    named(steps, step, Word::RenamedFrom, renamed, None);
}

type To = (Target, serde_json::Value);

fn to_lake(steps: &mut Steps<'_>, step: &StepSpec, written: &At<LoadSpec>) -> Option<To> {
    let table: TableRef = match written.table.parse() {
        Ok(table) => table,
        Err(error) => {
            let message = format!("`{}` is no table of the lake: {error}", written.table.value);
            let finding = Diagnostic::error(&BAD_NAME, written.table.span, message);
            steps.context.report(
                finding.help("write `namespace.table`, or say which `connection` it belongs to"),
            );
            return None;
        }
    };
    if let Some(raw) = &written.options {
        let message = "a load to the lake has no `options`";
        let help = "Iceberg table properties stand in `properties`";
        steps
            .context
            .report(Diagnostic::error(&LAKE_ONLY, raw.span, message).help(help));
    }
    own_namespace(steps, &table, written.table.span)?;
    steps.writes_table(TableUse {
        table: table.clone(),
        step: step.name.value.clone(),
        span: written.table.span,
    });
    Some((
        Target::Lake(table),
        serde_json::Value::Object(serde_json::Map::new()),
    ))
}

/// Whether the domain may write this table.
pub(super) fn own_namespace(steps: &Steps<'_>, table: &TableRef, span: Span) -> Option<()> {
    // A domain that is not there is reported where it is named.
    let domain = steps.domain?;
    if domain.namespace.value == table.namespace {
        return Some(());
    }
    let message = format!(
        "domain `{}` does not own the namespace `{}`",
        domain.name.value, table.namespace
    );
    let finding = Diagnostic::error(&FOREIGN_NAMESPACE, span, message);
    let finding = finding.also(domain.namespace.span, "this is the namespace it owns");
    steps
        .context
        .report(finding.help(format!("write `{}.{}`", domain.namespace.value, table.name)));
    None
}

fn to_connection(steps: &Steps<'_>, written: &At<LoadSpec>, connection: &At<String>) -> Option<To> {
    let layout = [
        (!written.partition_by.is_empty(), "partition_by"),
        (!written.sort_by.is_empty(), "sort_by"),
        (!written.properties.0.is_empty(), "properties"),
        (written.target_file_size.is_some(), "target_file_size"),
        (written.maintenance.is_some(), "maintenance"),
        (written.audit.is_some(), "audit"),
    ];
    for (_, key) in layout.iter().filter(|(there, _)| *there) {
        let message = format!(
            "`{key}` is for tables of the lake, and this is one of connection `{}`",
            connection.value
        );
        steps.context.report(
            Diagnostic::error(&LAKE_ONLY, written.span, message).help(format!("remove `{key}`")),
        );
    }
    let connector = connector(steps, connection);
    let owner = Owner {
        kind: connector.map(|(kind, _)| kind),
        place: OptionsOf::Write,
        anchor: written.span,
    };
    let options = options(
        steps.context,
        steps.doc.node,
        written.options.as_ref(),
        owner,
    );
    let (kind, capability) = connector?;
    let Some(sink) = capability.sink else {
        let message = format!("connector `{kind}` cannot be written");
        steps.context.report(
            Diagnostic::error(&UNSUPPORTED_MODE, connection.span, message)
                .help("`lakewright connectors` says what each can do"),
        );
        return None;
    };
    if let Some(mode) = missing(sink, &written.mode) {
        let message = format!("connector `{kind}` cannot `{mode}`");
        let finding = Diagnostic::error(&UNSUPPORTED_MODE, written.mode.span, message);
        steps
            .context
            .report(finding.help(format!("it can: {}", can(sink))));
        return None;
    }
    let connection = connection.parse().ok()?;
    Some((
        Target::Connection {
            connection,
            table: written.table.value.clone(),
        },
        options,
    ))
}

/// Rows that an incremental extract reads are a part, and cannot stand for the whole.
pub(super) fn replaced_by_part(steps: &Steps<'_>, extract: &StepSpec, incremental: Span) {
    for load in loads_of(steps, &extract.name) {
        let (span, message, label) = match &load.mode.value {
            LoadModeSpec::Replace(ReplaceSpec { r#where: None }) => (
                load.mode.span,
                "this table would hold only the newest rows",
                "what earlier runs loaded is replaced",
            ),
            LoadModeSpec::Replace(ReplaceSpec {
                r#where: Some(part),
            }) => (
                part.span,
                "this part of the table would hold only the newest rows",
                "what earlier runs loaded into it is replaced",
            ),
            LoadModeSpec::CreateOnly => (
                load.mode.span,
                "this table would never get the rows that are read later",
                "only the first run loads",
            ),
            LoadModeSpec::Merge(MergeSpec {
                deletes:
                    Some(At {
                        span,
                        value: DeletesSpec::ByAbsence,
                    }),
                ..
            }) => (
                *span,
                "this table would hold only the newest rows",
                "what this run does not read is deleted",
            ),
            LoadModeSpec::ReplacePartitions => (
                load.mode.span,
                "these partitions would hold only the newest rows",
                "what earlier runs loaded into them is replaced",
            ),
            LoadModeSpec::Append(_) | LoadModeSpec::Merge(_) => continue,
        };
        let connection = load.connection.as_ref();
        let connection = connection.and_then(|name| steps.names.connections.get(name.as_str()));
        let merges = load.connection.is_none()
            || connection
                .and_then(|spec| steps.context.connectors.capability(&spec.connector)?.sink)
                .is_some_and(|sink| sink.merge);
        let help = if merges {
            "write `append` or `merge: { key: [..] }`, or read with `mode: full`"
        } else {
            "write `append`, or read with `mode: full`"
        };
        let finding = Diagnostic::error(&REPLACE_OF_A_PART, span, message)
            .label(label)
            .also(
                incremental,
                format!("`{}` reads only what is new", extract.name.value),
            );
        steps.context.report(finding.help(help));
    }
}

/// Rows that an incremental extract reads must go where it is remembered how far that was.
pub(super) fn forgotten_part(steps: &Steps<'_>, extract: &StepSpec, incremental: Span) {
    for load in loads_of(steps, &extract.name) {
        let Some(connection) = &load.connection else {
            continue;
        };
        let spec = steps.names.connections.get(connection.as_str());
        let kind = spec.map(|spec| spec.connector.as_str());
        let sink = kind.and_then(|kind| steps.context.connectors.capability(kind)?.sink);
        let (Some(kind), Some(sink)) = (kind, sink) else {
            continue;
        };
        // What replaces a part is told of that.
        let replaces = matches!(
            load.mode.value,
            LoadModeSpec::Replace(_) | LoadModeSpec::ReplacePartitions | LoadModeSpec::CreateOnly
        );
        if sink.remembers || replaces {
            continue;
        }
        let message = "rows that are read only once would be loaded where nothing is remembered";
        let finding = Diagnostic::error(&PART_FORGOTTEN, connection.span, message)
            .label(format!("`{kind}` cannot keep how far was read"))
            .also(
                incremental,
                format!("`{}` reads only what is new", extract.name.value),
            );
        steps.context.report(finding.help(
            "load them into a table, and write the files from it; or read with `mode: full`",
        ));
    }
}

/// The mode that a sink does not have.
fn missing(sink: SinkCapability, mode: &LoadModeSpec) -> Option<&'static str> {
    match mode {
        LoadModeSpec::Append(append) if append.dedupe.is_some() => Some("append: { dedupe: … }"),
        LoadModeSpec::Append(_) => (!sink.append).then_some("append"),
        LoadModeSpec::Replace(replace) if replace.r#where.is_some() => {
            Some("replace: { where: … }")
        }
        LoadModeSpec::Replace(_) => (!sink.replace).then_some("replace"),
        LoadModeSpec::Merge(_) => (!sink.merge).then_some("merge"),
        LoadModeSpec::ReplacePartitions => Some("replace_partitions"),
        LoadModeSpec::CreateOnly => Some("create_only"),
    }
}

fn can(sink: SinkCapability) -> String {
    let modes = [
        (sink.append, "`append`"),
        (sink.replace, "`replace`"),
        (sink.merge, "`merge`"),
    ];
    modes
        .iter()
        .filter(|(there, _)| *there)
        .map(|(_, mode)| *mode)
        .collect::<Vec<_>>()
        .join(", ")
}

fn mode(steps: &mut Steps<'_>, step: &StepSpec, written: &At<LoadSpec>) -> Option<LoadMode> {
    let span = written.mode.span;
    match &written.mode.value {
        LoadModeSpec::Append(append) => match &append.dedupe {
            Some(written) => dedupe(steps, written).map(LoadMode::AppendNew),
            None => Some(LoadMode::Append),
        },
        LoadModeSpec::Replace(replace) => match &replace.r#where {
            Some(condition) => part(steps, step, condition).map(LoadMode::ReplaceWhere),
            None => Some(LoadMode::Replace),
        },
        LoadModeSpec::CreateOnly => Some(LoadMode::CreateOnly),
        LoadModeSpec::ReplacePartitions if written.partition_by.is_empty() => {
            if written.connection.is_none() {
                let message = "a table without partitions has none to replace";
                let help = "add `partition_by: [..]`, or write `replace`";
                steps
                    .context
                    .report(Diagnostic::error(&UNSUPPORTED_MODE, span, message).help(help));
            }
            None
        }
        LoadModeSpec::ReplacePartitions => Some(LoadMode::ReplacePartitions),
        LoadModeSpec::Merge(written_merge) => {
            merge::merge(steps, step, written, written_merge).map(LoadMode::Merge)
        }
    }
}
