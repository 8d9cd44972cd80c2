//! `options:` of connections, extracts and loads: the connector reads them, and no secret stands in them.

use super::context::Context;
use crate::connectors::OptionsOf;
use crate::diagnostic::Diagnostic;
use crate::read::{self, At, Raw};
use crate::source::Span;
use crate::yaml::{Node, Value};

/// Keys whose value is a secret in every connector.
const SECRETS: [&str; 9] = [
    "api_key",
    "client_secret",
    "passwd",
    "password",
    "private_key",
    "secret",
    "secret_key",
    "session_token",
    "token",
];

/// Whose options, and where to point where there are none.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    /// The connector; `None` where it is not known, so that only secrets are looked for.
    pub(super) kind: Option<&'a str>,
    pub(super) place: OptionsOf,
    pub(super) anchor: Span,
}

/// Checks options and gives them back as the connector will get them: an empty object where there are none.
pub(super) fn options(
    context: &Context<'_>,
    document: &Node,
    written: Option<&At<Raw>>,
    owner: Owner<'_>,
) -> serde_json::Value {
    let absent = Node {
        id: read::ABSENT,
        span: owner.anchor,
        value: Value::Null,
    };
    let node = written
        .and_then(|raw| document.find(raw.value.0))
        .unwrap_or(&absent);
    let anchor = written.map_or(owner.anchor, |raw| raw.span);
    let mut found = Vec::new();
    secrets(node, &mut found);
    if let Some(kind) = owner.kind {
        let absent = written.is_none().then_some("options");
        read::read_with(node, absent, anchor, &mut found, &|reader| {
            context.connectors.check_options(kind, owner.place, reader)
        });
    }
    context.report_all(found);
    match node.to_json() {
        serde_json::Value::Null => serde_json::Value::Object(serde_json::Map::new()),
        value => value,
    }
}

fn secrets(node: &Node, found: &mut Vec<Diagnostic>) {
    match &node.value {
        Value::Mapping(entries) => {
            for (key, value) in entries {
                let clear = matches!(
                    value.value,
                    Value::Text(_) | Value::Int(_) | Value::Float(_)
                );
                if clear && SECRETS.contains(&key.text.as_str()) {
                    found.push(read::clear_secret(value.span));
                } else {
                    secrets(value, found);
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| secrets(item, found)),
        _ => {}
    }
}
