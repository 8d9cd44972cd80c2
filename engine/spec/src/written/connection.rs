//! `kind: Connection`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::read::{At, Raw};

/// The word in `kind:`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum ConnectionKind {
    /// One configured instance of a connector.
    Connection,
}

/// A Connection: one system that is read or written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionSpec {
    /// What this file describes.
    #[expect(dead_code, reason = "it chose this type before it was read")]
    pub(crate) kind: ConnectionKind,
    /// Its name, by which extracts and loads refer to it.
    pub(crate) name: At<String>,
    /// The kind of system: `lakewright connectors` lists them.
    pub(crate) connector: At<String>,
    /// What it is.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// What the connector needs to know; every connector has options of its own.
    #[serde(default)]
    pub(crate) options: Option<At<Raw>>,
    /// What protects the other side.
    #[serde(default)]
    pub(crate) limits: Option<LimitsSpec>,
}

/// What protects the other side.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsSpec {
    /// The most sessions at once.
    #[serde(default)]
    pub(crate) sessions: Option<At<usize>>,
    /// How many runs may use it at once, over all daemons.
    #[serde(default)]
    pub(crate) runs: Option<At<usize>>,
    /// The most time a statement may take: `2m`.
    #[serde(default)]
    pub(crate) statement_timeout: Option<At<String>>,
    /// The only hours at which it may be used.
    #[serde(default)]
    pub(crate) window: Option<WindowSpec>,
}

/// Hours of the day; `from` after `to` reaches over midnight.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowSpec {
    /// When it opens: `"21:00"`.
    pub(crate) from: At<String>,
    /// When it closes: `"05:30"`.
    pub(crate) to: At<String>,
    /// Whose hours, as an IANA name: `Europe/Moscow`.
    pub(crate) timezone: At<String>,
}
