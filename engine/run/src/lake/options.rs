//! Where the lake is: the catalog that names tables and the warehouse that holds their files.
//!
//! Knows nothing of specs; secrets arrive resolved.

use std::path::PathBuf;

use connectors::Secret;

/// What names the tables and says which metadata is current.
#[derive(Clone)]
pub enum CatalogOptions {
    /// A SQLite file on this machine.
    Sqlite {
        /// The file; made, with its folder, by the first write.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// The connection URL.
        url: Secret,
    },
    /// An Iceberg REST catalog.
    Rest(RestOptions),
}

/// How to reach an Iceberg REST catalog.
#[derive(Clone)]
pub struct RestOptions {
    /// The address before `/v1`.
    pub uri: String,
    /// The warehouse, where the server has several.
    pub warehouse: Option<String>,
    /// `id:secret` for `OAuth2` client credentials.
    pub credential: Option<Secret>,
    /// A bearer token that does not expire.
    pub token: Option<Secret>,
    /// The scope asked for with `credential`; `catalog` when left out.
    pub scope: Option<String>,
    /// Whether the server hands out keys to the storage.
    pub vended: bool,
}

/// Where the files of tables lie.
#[derive(Clone)]
pub enum WarehouseOptions {
    /// A folder on this machine.
    Local {
        /// The folder; made by the first write.
        path: PathBuf,
    },
    /// A bucket behind the S3 API.
    S3(S3Options),
}

/// How to reach a bucket.
#[derive(Clone, Default)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// The folder in the bucket, where not the whole of it.
    pub prefix: String,
    /// The region; `us-east-1` when left out.
    pub region: Option<String>,
    /// The address, where it is not Amazon's.
    pub endpoint: Option<String>,
    /// The access key.
    pub access_key: Option<Secret>,
    /// The secret key.
    pub secret_key: Option<Secret>,
    /// The token of a temporary session.
    pub session_token: Option<Secret>,
    /// Whether the bucket is in the path rather than in the host name.
    pub path_style: bool,
    /// Whether the endpoint may be plain HTTP.
    pub allow_http: bool,
}
