//! Opens the lake that a project describes.

use std::path::Path;

use connectors::{Result, Secret, Secrets};
use spec::model::{Catalog, Lake as LakeSpec, SecretRef, TableRef, Warehouse};

use crate::lake::{CatalogOptions, Lake, RestOptions, S3Options, TableId, WarehouseOptions};
use crate::secret::{ProjectSecrets, reference};

/// A table's name, in the lake's words.
pub(crate) fn table_id(table: &TableRef) -> TableId {
    TableId::new(&table.namespace, &table.name)
}

/// Opens the lake; relative paths are below `root`.
pub(crate) fn lake(spec: &LakeSpec, root: &Path) -> Result<Lake> {
    let secrets = ProjectSecrets::new(root);
    let resolve = |secret: &SecretRef| secrets.resolve(&reference(secret));
    let optional = |secret: &Option<SecretRef>| -> Result<Option<Secret>> {
        secret.as_ref().map(resolve).transpose()
    };
    let catalog = match &spec.catalog {
        Catalog::Sqlite { path } => CatalogOptions::Sqlite {
            path: root.join(path),
        },
        Catalog::Postgres { url } => CatalogOptions::Postgres { url: resolve(url)? },
        Catalog::Rest {
            uri,
            warehouse,
            credential,
            token,
            scope,
            vended_credentials,
        } => CatalogOptions::Rest(RestOptions {
            uri: uri.clone(),
            warehouse: warehouse.clone(),
            credential: optional(credential)?,
            token: optional(token)?,
            scope: scope.clone(),
            vended: *vended_credentials,
        }),
    };
    let warehouse = match &spec.warehouse {
        Warehouse::Local { path } => WarehouseOptions::Local {
            path: root.join(path),
        },
        Warehouse::S3(place) => WarehouseOptions::S3(S3Options {
            bucket: place.bucket.clone(),
            prefix: place.prefix.clone(),
            region: place.region.clone(),
            endpoint: place.endpoint.clone(),
            access_key: optional(&place.access_key)?,
            secret_key: optional(&place.secret_key)?,
            session_token: optional(&place.session_token)?,
            path_style: place.path_style,
            allow_http: place.allow_http,
        }),
    };
    Lake::open(catalog, warehouse)
}
