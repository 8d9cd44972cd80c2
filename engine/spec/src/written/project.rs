//! `kind: Project`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{MaintenanceSpec, SecretSpec};
use crate::read::{At, Named, Raw};

/// The word in `kind:`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum ProjectKind {
    /// What all pipelines share: the lake, the state, defaults and environments. There is one.
    Project,
}

/// A Project: what all pipelines share. There is one in a tree of specs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectSpec {
    /// What this file describes.
    #[expect(dead_code, reason = "it chose this type before it was read")]
    pub(crate) kind: ProjectKind,
    /// The project's name.
    pub(crate) name: At<String>,
    /// The version of the language that the specs are written in: 1.
    pub(crate) version: At<u32>,
    /// What it is for.
    #[serde(default)]
    #[expect(dead_code, reason = "for readers of the spec")]
    pub(crate) description: Option<String>,
    /// Where tables live. Left out: an embedded catalog and a folder, both below `lake/`.
    #[serde(default)]
    pub(crate) lake: Option<LakeSpec>,
    /// Where runs are recorded. Left out: the file `lake/state.db`.
    #[serde(default)]
    pub(crate) state: Option<StateSpec>,
    /// What holds for every pipeline that does not say otherwise.
    #[serde(default)]
    pub(crate) defaults: Option<DefaultsSpec>,
    /// How much may run at once.
    #[serde(default)]
    pub(crate) limits: Option<RunsSpec>,
    /// How the lake's tables are kept in shape, where neither their load nor its domain says otherwise.
    #[serde(default)]
    pub(crate) maintenance: Option<MaintenanceSpec>,
    /// What is different in an environment, by its name.
    #[serde(default)]
    pub(crate) environments: Named<EnvironmentSpec>,
}

/// How much may run at once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsSpec {
    /// How many pipelines may run at once, over all daemons.
    #[serde(default)]
    pub(crate) runs: Option<At<usize>>,
}

/// What is different in an environment. Each block replaces the block of that name whole.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentSpec {
    /// Where tables live.
    #[serde(default)]
    pub(crate) lake: Option<LakeSpec>,
    /// Where runs are recorded.
    #[serde(default)]
    pub(crate) state: Option<StateSpec>,
    /// What holds for every pipeline that does not say otherwise.
    #[serde(default)]
    pub(crate) defaults: Option<DefaultsSpec>,
    /// Options of connections, by the connection's name.
    #[serde(default)]
    pub(crate) connections: Named<ConnectionChange>,
}

/// What is different about a connection in an environment.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionChange {
    /// Replaces the `options:` of the connection whole.
    pub(crate) options: At<Raw>,
}

/// What holds for every pipeline that does not say otherwise.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultsSpec {
    /// What happens when an attempt fails for a reason that may pass.
    #[serde(default)]
    pub(crate) retry: Option<RetrySpec>,
}

/// What happens when an attempt fails for a reason that may pass.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetrySpec {
    /// How many attempts there are in all: 1 is no retry. 4 when left out.
    #[serde(default)]
    pub(crate) attempts: Option<At<u32>>,
    /// How long to wait between attempts.
    #[serde(default)]
    pub(crate) backoff: Option<BackoffSpec>,
    /// When to give up, counted from the start of the run: `3h`.
    #[serde(default)]
    pub(crate) deadline: Option<At<String>>,
}

/// Waits that double.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackoffSpec {
    /// The first wait: `1s`.
    #[serde(default)]
    pub(crate) initial: Option<At<String>>,
    /// The longest wait: `2m`.
    #[serde(default)]
    pub(crate) max: Option<At<String>>,
}

/// Where tables live.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LakeSpec {
    /// The Iceberg catalog.
    pub(crate) catalog: CatalogSpec,
    /// The place of the tables' files.
    pub(crate) warehouse: WarehouseSpec,
}

/// The Iceberg catalog.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum CatalogSpec {
    /// An SQLite file: the embedded catalog.
    Sqlite {
        /// The file, relative to the project's folder.
        path: At<String>,
    },
    /// A PostgreSQL database.
    Postgres {
        /// A reference to `postgres://user:password@host:port/database`.
        url: SecretSpec,
    },
    /// An Iceberg REST catalog.
    Rest(RestSpec),
}

/// An Iceberg REST catalog.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestSpec {
    /// Its base address.
    pub(crate) uri: At<String>,
    /// The warehouse's name in it.
    #[serde(default)]
    pub(crate) warehouse: Option<String>,
    /// A reference to `id:secret` of OAuth 2 client credentials.
    #[serde(default)]
    pub(crate) credential: Option<SecretSpec>,
    /// A reference to a bearer token.
    #[serde(default)]
    pub(crate) token: Option<SecretSpec>,
    /// The OAuth 2 scope.
    #[serde(default)]
    pub(crate) scope: Option<String>,
    /// Whether the catalog hands out the credentials for the files.
    #[serde(default)]
    pub(crate) vended_credentials: bool,
}

/// The place of the tables' files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum WarehouseSpec {
    /// A folder.
    Local {
        /// The folder, relative to the project's folder.
        path: At<String>,
    },
    /// A bucket of S3, MinIO or another store with that interface.
    S3(Box<S3Spec>),
}

/// A place in an S3 bucket.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct S3Spec {
    /// The bucket.
    pub(crate) bucket: At<String>,
    /// The folder in it. Left out: its root.
    #[serde(default)]
    pub(crate) prefix: Option<String>,
    /// The region.
    #[serde(default)]
    pub(crate) region: Option<String>,
    /// The address of a store that is not Amazon's.
    #[serde(default)]
    pub(crate) endpoint: Option<String>,
    /// A reference to the access key.
    #[serde(default)]
    pub(crate) access_key: Option<SecretSpec>,
    /// A reference to the secret of the access key.
    #[serde(default)]
    pub(crate) secret_key: Option<SecretSpec>,
    /// A reference to the token of a temporary key.
    #[serde(default)]
    pub(crate) session_token: Option<SecretSpec>,
    /// Whether the bucket's name stands in the path and not in the host's name.
    #[serde(default)]
    pub(crate) path_style: bool,
    /// Whether plain http is allowed.
    #[serde(default)]
    pub(crate) allow_http: bool,
}

/// Where runs are recorded.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum StateSpec {
    /// An SQLite file.
    Sqlite {
        /// The file, relative to the project's folder.
        path: At<String>,
    },
    /// A PostgreSQL database; several daemons may share it, one leads.
    Postgres {
        /// A reference to `postgres://user:password@host:port/database`.
        url: SecretSpec,
    },
}
