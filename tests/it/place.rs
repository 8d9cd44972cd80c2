//! Where the lake of a test is: told to a project, to the library, and to readers that know neither.
//!
//! Knows how a catalog and a warehouse are written down for each of them. Does not know what lies there.

#![allow(
    clippy::unwrap_used,
    reason = "this is test code: failing is its way of telling"
)]

use std::path::Path;

use connectors::Secret;
use run::lake::{CatalogOptions, Lake, RestOptions, S3Options, WarehouseOptions};

use crate::scene::Scene;
use crate::services::{self, Rest, S3};

/// A catalog and a warehouse. Paths are relative to the project's folder, and secrets are files of it.
#[derive(Clone)]
pub(crate) struct Place {
    catalog: Catalog,
    warehouse: Warehouse,
}

#[derive(Clone)]
enum Catalog {
    Sqlite,
    /// The URL.
    Postgres(String),
    /// The catalog, and `id:secret`.
    Rest(Rest, String),
}

#[derive(Clone)]
enum Warehouse {
    Local,
    /// The store, and a prefix that nobody else uses.
    S3(S3, String),
}

impl Place {
    /// `SQLite` and a folder, as every project has them that says nothing else.
    pub(crate) const fn embedded() -> Self {
        Self {
            catalog: Catalog::Sqlite,
            warehouse: Warehouse::Local,
        }
    }

    /// A database of `PostgreSQL` and a folder.
    pub(crate) const fn postgres(url: String) -> Self {
        Self {
            catalog: Catalog::Postgres(url),
            warehouse: Warehouse::Local,
        }
    }

    /// `SQLite` and a bucket.
    pub(crate) fn s3() -> Option<Self> {
        Some(Self {
            catalog: Catalog::Sqlite,
            warehouse: Warehouse::S3(services::s3()?, services::fresh_prefix()),
        })
    }

    /// A REST catalog and a bucket.
    pub(crate) fn rest() -> Option<Self> {
        let (rest, s3) = (services::rest()?, services::s3()?);
        let credential = format!("{}:{}", s3.access_key, s3.secret_key);
        Some(Self {
            catalog: Catalog::Rest(rest, credential),
            warehouse: Warehouse::S3(s3, services::fresh_prefix()),
        })
    }

    /// What stands behind `lake:` in a project, whose secrets are written into it.
    pub(crate) fn spec(&self, scene: &Scene) -> String {
        let catalog = match &self.catalog {
            Catalog::Sqlite => "{ sqlite: { path: lake/catalog.db } }".to_owned(),
            Catalog::Postgres(url) => {
                scene.write("secrets/catalog", url);
                "{ postgres: { url: { file: secrets/catalog } } }".to_owned()
            }
            Catalog::Rest(Rest { uri, warehouse, .. }, credential) => {
                scene.write("secrets/catalog", credential);
                format!(
                    "{{ rest: {{ uri: \"{uri}\", warehouse: \"{warehouse}\", credential: {{ file: secrets/catalog }} }} }}"
                )
            }
        };
        let warehouse = match &self.warehouse {
            Warehouse::Local => "{ local: { path: lake/warehouse } }".to_owned(),
            Warehouse::S3(s3, prefix) => {
                let more = ", path_style: true, allow_http: true";
                format!("{{ s3: {} }}", s3.folder(scene, prefix, more))
            }
        };
        format!("{{ catalog: {catalog}, warehouse: {warehouse} }}")
    }

    /// The lake, for a project in this folder.
    pub(crate) fn open(&self, folder: &Path) -> Lake {
        let catalog = match self.catalog.clone() {
            Catalog::Sqlite => CatalogOptions::Sqlite {
                path: folder.join("lake/catalog.db"),
            },
            Catalog::Postgres(url) => CatalogOptions::Postgres {
                url: Secret::new(url),
            },
            Catalog::Rest(rest, credential) => CatalogOptions::Rest(RestOptions {
                uri: rest.uri,
                warehouse: Some(rest.warehouse),
                credential: Some(Secret::new(credential)),
                token: None,
                scope: None,
                vended: false,
            }),
        };
        let warehouse = match self.warehouse.clone() {
            Warehouse::Local => WarehouseOptions::Local {
                path: folder.join("lake/warehouse"),
            },
            Warehouse::S3(s3, prefix) => WarehouseOptions::S3(S3Options {
                bucket: s3.bucket,
                prefix,
                endpoint: Some(s3.endpoint),
                access_key: Some(Secret::new(s3.access_key)),
                secret_key: Some(Secret::new(s3.secret_key)),
                path_style: true,
                allow_http: true,
                ..S3Options::default()
            }),
        };
        Lake::open(catalog, warehouse).unwrap()
    }

    /// The catalog for `readers/agree.py`, and a project in this folder.
    pub(crate) fn reader(&self, folder: &Path) -> [String; 2] {
        match &self.catalog {
            Catalog::Sqlite => {
                let path = folder.join("lake/catalog.db");
                ["--sql", &format!("sqlite:///{}", path.display())].map(str::to_owned)
            }
            Catalog::Postgres(url) => ["--sql", url].map(str::to_owned),
            Catalog::Rest(rest, _) => ["--rest", &rest.uri].map(str::to_owned),
        }
    }
}
