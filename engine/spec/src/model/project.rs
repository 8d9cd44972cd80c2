//! A project and what it says once for all: the lake, the state store, the domains.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Connection, ConnectionName, DomainName, Maintenance, Pipeline, PipelineId, TableRef};

/// Everything a folder of specs says, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// The project's name.
    pub name: String,
    /// The environment it was read for; `None` for the base.
    pub environment: Option<String>,
    /// Where tables live.
    pub lake: Lake,
    /// Where runs are recorded.
    pub state: StateStore,
    /// How many pipelines may run at once.
    pub runs: Option<usize>,
    /// Connections by name.
    pub connections: BTreeMap<ConnectionName, Connection>,
    /// Domains by name.
    pub domains: BTreeMap<DomainName, Domain>,
    /// Pipelines by `domain/name`.
    pub pipelines: BTreeMap<PipelineId, Pipeline>,
    /// The tables of the lake that pipelines write, and how each is kept in shape.
    pub maintenance: BTreeMap<TableRef, Maintenance>,
}

/// Where tables live: who keeps their pointers, and where their files are.
#[derive(Clone, Debug, PartialEq)]
pub struct Lake {
    /// The Iceberg catalog.
    pub catalog: Catalog,
    /// The place of the files.
    pub warehouse: Warehouse,
}

/// The Iceberg catalog.
#[derive(Clone, Debug, PartialEq)]
pub enum Catalog {
    /// An SQLite file, relative to the project's folder: the embedded default.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A PostgreSQL database with the same tables.
    Postgres {
        /// `postgres://user:password@host:port/database`.
        url: SecretRef,
    },
    /// An Iceberg REST catalog.
    Rest {
        /// Its base address.
        uri: String,
        /// The warehouse's name there.
        warehouse: Option<String>,
        /// `id:secret` for OAuth 2 client credentials.
        credential: Option<SecretRef>,
        /// A bearer token.
        token: Option<SecretRef>,
        /// The OAuth 2 scope.
        scope: Option<String>,
        /// Whether the catalog hands out the credentials for the files.
        vended_credentials: bool,
    },
}

/// The place of the tables' files.
#[derive(Clone, Debug, PartialEq)]
pub enum Warehouse {
    /// A folder, relative to the project's folder.
    Local {
        /// The folder.
        path: PathBuf,
    },
    /// A bucket of S3, MinIO or another store with that interface.
    S3(S3Place),
}

/// A place in an S3 bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// The folder in it; empty for its root.
    pub prefix: String,
    /// The region.
    pub region: Option<String>,
    /// The address of a store that is not Amazon's.
    pub endpoint: Option<String>,
    /// The access key.
    pub access_key: Option<SecretRef>,
    /// Its secret.
    pub secret_key: Option<SecretRef>,
    /// The token of a temporary key.
    pub session_token: Option<SecretRef>,
    /// Whether the bucket's name stands in the path and not in the host's name.
    pub path_style: bool,
    /// Whether plain http is allowed.
    pub allow_http: bool,
}

/// Where runs are recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum StateStore {
    /// An SQLite file, relative to the project's folder: the embedded default.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// `postgres://user:password@host:port/database`.
        url: SecretRef,
    },
}

/// A reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// The environment variable that holds it.
    Env(String),
    /// The file that holds it, relative to the project's folder.
    File(PathBuf),
}

/// A data-mesh domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// Its name.
    pub name: DomainName,
    /// What it is about.
    pub description: Option<String>,
    /// Who answers for it.
    pub owners: Vec<String>,
    /// The one Iceberg namespace its pipelines may write.
    pub namespace: String,
    /// How many of its pipelines may run at once.
    pub runs: Option<usize>,
    /// How many of its runs begin for one of another domain, where there is no room for all.
    pub weight: u32,
}
