//! The lake and the state store: what was written → what may run.

use crate::model::{Catalog, Lake, S3Place, SecretRef, StateStore, Warehouse};
use crate::written::{CatalogSpec, LakeSpec, S3Spec, SecretSpec, StateSpec, WarehouseSpec};

/// The lake; without a word about it, an embedded one.
pub(super) fn lake(written: Option<&LakeSpec>) -> Lake {
    let Some(written) = written else {
        let catalog = Catalog::Sqlite {
            path: "lake/catalog.db".into(),
        };
        return Lake {
            catalog,
            warehouse: Warehouse::Local {
                path: "lake/warehouse".into(),
            },
        };
    };
    let catalog = match &written.catalog {
        CatalogSpec::Sqlite { path } => Catalog::Sqlite {
            path: path.value.clone().into(),
        },
        CatalogSpec::Postgres { url } => Catalog::Postgres { url: secret(url) },
        CatalogSpec::Rest(rest) => Catalog::Rest {
            uri: rest.uri.value.clone(),
            warehouse: rest.warehouse.clone(),
            credential: rest.credential.as_ref().map(secret),
            token: rest.token.as_ref().map(secret),
            scope: rest.scope.clone(),
            vended_credentials: rest.vended_credentials,
        },
    };
    let warehouse = match &written.warehouse {
        WarehouseSpec::Local { path } => Warehouse::Local {
            path: path.value.clone().into(),
        },
        WarehouseSpec::S3(place) => Warehouse::S3(s3(place)),
    };
    Lake { catalog, warehouse }
}

fn s3(written: &S3Spec) -> S3Place {
    S3Place {
        bucket: written.bucket.value.clone(),
        prefix: written
            .prefix
            .as_deref()
            .unwrap_or_default()
            .trim_matches('/')
            .to_owned(),
        region: written.region.clone(),
        endpoint: written.endpoint.clone(),
        access_key: written.access_key.as_ref().map(secret),
        secret_key: written.secret_key.as_ref().map(secret),
        session_token: written.session_token.as_ref().map(secret),
        path_style: written.path_style,
        allow_http: written.allow_http,
    }
}

/// The state store; without a word about it, an embedded one.
pub(super) fn state(written: Option<&StateSpec>) -> StateStore {
    match written {
        None => StateStore::Sqlite {
            path: "lake/state.db".into(),
        },
        Some(StateSpec::Sqlite { path }) => StateStore::Sqlite {
            path: path.value.clone().into(),
        },
        Some(StateSpec::Postgres { url }) => StateStore::Postgres { url: secret(url) },
    }
}

fn secret(written: &SecretSpec) -> SecretRef {
    match written {
        SecretSpec::Env(name) => SecretRef::Env(name.value.clone()),
        SecretSpec::File(path) => SecretRef::File(path.value.clone().into()),
    }
}
