//! `kind: Domain`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DefaultsSpec, MaintenanceSpec};
use crate::read::At;

/// The word in `kind:`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum DomainKind {
    /// A part of the organisation that owns data.
    Domain,
}

/// A Domain: a part of the organisation that owns data, and the namespace it owns.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DomainSpec {
    /// What this file describes.
    #[expect(dead_code, reason = "it chose this type before it was read")]
    pub(crate) kind: DomainKind,
    /// Its name, by which pipelines say whose they are.
    pub(crate) name: At<String>,
    /// What it is about.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// Who answers for it.
    #[serde(default)]
    pub(crate) owners: Vec<String>,
    /// The Iceberg namespace it owns: the only one its pipelines may write.
    pub(crate) namespace: At<String>,
    /// Tables of the lake, `namespace.table`, that exist already and that no pipeline of this project writes.
    #[serde(default)]
    pub(crate) external_tables: Vec<At<String>>,
    /// What holds for every pipeline of the domain that does not say otherwise.
    #[serde(default)]
    pub(crate) defaults: Option<DefaultsSpec>,
    /// How much of what runs is shared by may go to the domain's pipelines.
    #[serde(default)]
    pub(crate) limits: Option<ShareSpec>,
    /// How the domain's tables are kept in shape, where their load does not say otherwise.
    #[serde(default)]
    pub(crate) maintenance: Option<MaintenanceSpec>,
}

/// How much of what runs is shared by may go to a domain's pipelines.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareSpec {
    /// How many of its pipelines may run at once, over all daemons.
    #[serde(default)]
    pub(crate) runs: Option<At<usize>>,
    /// How many of its runs begin for one of another domain, where there is no room for all: 1 when left out.
    #[serde(default)]
    pub(crate) weight: Option<At<u32>>,
}
