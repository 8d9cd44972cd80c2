//! `maintenance:` of a Project, a Domain and a load.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::read::At;

/// How tables of the lake are kept in shape by `lakewright maintain`. What a load says goes before its domain, and that
/// before the project.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MaintenanceSpec {
    /// Small files, and those with many deleted rows, are written again as few that are large.
    #[serde(default)]
    pub(crate) compact: Option<CompactSpec>,
    /// Old snapshots go, and the files that only they need.
    #[serde(default)]
    pub(crate) expire: Option<ExpireSpec>,
    /// Files that nothing refers to, as failed runs leave them, are set aside and later removed.
    #[serde(default)]
    pub(crate) orphans: Option<OrphansSpec>,
}

/// When files are written again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompactSpec {
    /// Whether they are at all. True when left out.
    #[serde(default)]
    pub(crate) enabled: Option<bool>,
    /// How many small files of a partition make it worth the work. 5 when left out.
    #[serde(default)]
    pub(crate) min_files: Option<At<u32>>,
    /// How many of a hundred rows of a file must be deleted to write it again without them. 10 when left out.
    #[serde(default)]
    pub(crate) deleted_percent: Option<At<u32>>,
}

/// Which snapshots go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpireSpec {
    /// Whether any goes. True when left out.
    #[serde(default)]
    pub(crate) enabled: Option<bool>,
    /// How long ago another one must have followed a snapshot for it to go. `7d` when left out.
    #[serde(default)]
    pub(crate) older_than: Option<At<String>>,
    /// How many of the newest stay, however old. 10 when left out.
    #[serde(default)]
    pub(crate) keep: Option<At<u32>>,
}

/// What becomes of files that nothing refers to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrphansSpec {
    /// Whether they are looked for. True when left out.
    #[serde(default)]
    pub(crate) enabled: Option<bool>,
    /// How old a file must be to be one: at least a day, longer than any run takes. `3d` when left out.
    #[serde(default)]
    pub(crate) older_than: Option<At<String>>,
    /// How long they are kept aside before they are removed. `7d` when left out.
    #[serde(default)]
    pub(crate) quarantine: Option<At<String>>,
}
