//! `unknown-connector`, `unknown-connection`: connections, each with options that its connector understands.

use chrono::NaiveTime;

use super::context::Context;
use super::documents::Doc;
use super::duration::duration;
use super::name::name;
use super::options::{Owner, options};
use super::pipeline::Names;
use super::shares;
use super::timezone::timezone;
use crate::connectors::OptionsOf;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Connection, Limits, TimeWindow};
use crate::read::{At, Raw, WRONG_VALUE, nearest};
use crate::written::{ConnectionSpec, EnvironmentSpec, LimitsSpec, ProjectSpec, WindowSpec};
use crate::yaml::Node;

pub(crate) const UNKNOWN_CONNECTOR: Code = Code {
    name: "unknown-connector",
    explain: "`connector:` names a kind of system that this program does not know. `lakewright connectors` lists them.",
};

pub(crate) const UNKNOWN_CONNECTION: Code = Code {
    name: "unknown-connection",
    explain: "A step refers to a connection that this project does not have: no file has `kind: Connection` and this name.",
};

/// What an environment says in place of a connection's own options, with the document it stands in.
#[derive(Clone, Copy)]
pub(super) struct Replaced<'a> {
    pub(super) document: &'a Node,
    pub(super) environment: &'a EnvironmentSpec,
}

impl<'a> Replaced<'a> {
    fn options_of(self, connection: &str) -> Option<(&'a Node, &'a At<Raw>)> {
        let changes = &self.environment.connections.0;
        let (_, change) = changes.iter().find(|(name, _)| name.value == connection)?;
        Some((self.document, &change.options))
    }
}

/// A connection; `None` with a finding.
pub(super) fn connection(
    context: &Context<'_>,
    doc: &Doc<'_, ConnectionSpec>,
    replaced: Option<Replaced<'_>>,
) -> Option<Connection> {
    let spec = &doc.spec;
    let known = context.connectors.capability(&spec.connector).is_some();
    if !known {
        let message = format!("there is no connector `{}`", spec.connector.value);
        let finding = Diagnostic::error(&UNKNOWN_CONNECTOR, spec.connector.span, message);
        let kinds = context.connectors.kinds();
        context.report(match nearest(&spec.connector, kinds.iter().copied()) {
            Some(near) => finding.suggest(near),
            None => finding.help(format!("known: {}", quoted(&kinds))),
        });
    }
    let kind = known.then_some(spec.connector.as_str());
    let owner = Owner {
        kind,
        place: OptionsOf::Connection,
        anchor: spec.connector.span,
    };
    let own = spec.options.as_ref();
    let written = match replaced.and_then(|replaced| replaced.options_of(&spec.name)) {
        Some((document, raw)) => options(context, document, Some(raw), owner),
        None => options(context, doc.node, own, owner),
    };
    let limits = spec
        .limits
        .as_ref()
        .map_or_else(Limits::default, |written| limits(context, written));
    let name = name(context, &spec.name)?;
    let (connector, description) = (spec.connector.value.clone(), spec.description.clone());
    known.then_some(Connection {
        name,
        connector,
        description,
        options: written,
        limits,
    })
}

/// Checks what every environment says about connections, also those that were not asked for.
pub(super) fn changes(context: &Context<'_>, doc: &Doc<'_, ProjectSpec>, names: &Names<'_>) {
    for (_, environment) in &doc.spec.environments.0 {
        for (name, change) in &environment.connections.0 {
            let Some(connection) = names.connections.get(name.as_str()) else {
                if !context.unread.connections {
                    unknown(context, name, names);
                }
                continue;
            };
            let kind = connection.connector.as_str();
            let kind = context.connectors.capability(kind).map(|_| kind);
            let owner = Owner {
                kind,
                place: OptionsOf::Connection,
                anchor: name.span,
            };
            options(context, doc.node, Some(&change.options), owner);
        }
    }
}

/// Reports a connection that is not there.
pub(super) fn unknown(context: &Context<'_>, written: &At<String>, names: &Names<'_>) {
    let message = format!("no connection named `{}`", written.value);
    let finding = Diagnostic::error(&UNKNOWN_CONNECTION, written.span, message);
    let finding = finding.label("not declared in this project");
    let known = &names.connections;
    let near = nearest(written, known.keys().copied()).and_then(|near| known.get(near));
    context.report(match near {
        Some(near) => finding
            .also(near.name.span, "a connection with a similar name")
            .suggest(&near.name),
        None => finding.help(format!(
            "write a file with `kind: Connection` and `name: {}`",
            written.value
        )),
    });
}

fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn limits(context: &Context<'_>, written: &LimitsSpec) -> Limits {
    if let Some(sessions) = written
        .sessions
        .as_ref()
        .filter(|sessions| sessions.value == 0)
    {
        let message = "a connection needs at least one session";
        context.report(
            Diagnostic::error(&WRONG_VALUE, sessions.span, message).help("write `1` or more"),
        );
    }
    Limits {
        sessions: written.sessions.as_ref().map(|sessions| sessions.value),
        runs: shares::runs(context, written.runs.as_ref()),
        statement_timeout: written
            .statement_timeout
            .as_ref()
            .and_then(|text| duration(context, text)),
        window: written
            .window
            .as_ref()
            .and_then(|written| window(context, written)),
    }
}

fn window(context: &Context<'_>, written: &WindowSpec) -> Option<TimeWindow> {
    let from = time(context, &written.from);
    let to = time(context, &written.to);
    let timezone = timezone(context, &written.timezone);
    Some(TimeWindow {
        from: from?,
        to: to?,
        timezone: timezone?,
    })
}

fn time(context: &Context<'_>, written: &At<String>) -> Option<NaiveTime> {
    let read = NaiveTime::parse_from_str(written, "%H:%M")
        .or_else(|_| NaiveTime::parse_from_str(written, "%H:%M:%S"));
    if read.is_err() {
        let message = format!("`{}` is no time of day", written.value);
        context.report(
            Diagnostic::error(&WRONG_VALUE, written.span, message)
                .help("write hours and minutes: `\"21:00\"`"),
        );
    }
    read.ok()
}
