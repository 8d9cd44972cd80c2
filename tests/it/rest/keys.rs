//! Keys to the files that the catalog hands out: the project has none, and the store takes no others.

use std::time::Duration;

use run::ErrorKind;
use run::lake::{
    CatalogOptions, Lake, RestOptions, S3Options, StageRequest, WarehouseOptions, WriteMode,
};
use serde_json::json;

use super::{Server, all, append, ids, ids_of, numbers, stage, stamp, table};
use crate::services;

/// Longer than the keys of these tests are good for.
const PAUSE: Duration = Duration::from_millis(3_500);

/// Writes for longer than keys are good for, into one file after the other.
async fn slowly(lake: &Lake, run: &str, from: i64) {
    let rows = numbers(from..from + 10);
    let mut request = StageRequest::new(super::id(), WriteMode::Append, rows.schema());
    request.target_file_bytes = 1;
    let stage = lake.stage(request).await.unwrap();
    let mut writer = stage.writer().unwrap();
    writer.write(&rows.slice(0, 5)).await.unwrap();
    tokio::time::sleep(PAUSE).await;
    writer.write(&rows.slice(5, 5)).await.unwrap();
    let written = writer.finish().await.unwrap();
    let staged = stage.staged(vec![written]);
    tokio::time::sleep(PAUSE).await;
    assert!(!staged.commit(&stamp(run)).await.unwrap().already);
}

/// Makes, appends and reads with keys that end meanwhile.
async fn outlasts(vend: &str) -> Option<Server> {
    let mut server = Server::start(json!({"vend": vend, "key_lifetime": 3}))?;
    let lake = server.lake_without_keys();
    slowly(&lake, "run-1", 0).await;
    slowly(&lake, "run-2", 10).await;
    let table = table(&lake).await;
    assert_eq!(ids_of(&table).await, all(0..20));
    tokio::time::sleep(PAUSE).await;
    assert_eq!(ids_of(&table).await, all(0..20));
    assert!(server.seen("keys_used") >= 6);
    assert_eq!(server.seen("keys_refused"), 0);
    assert_eq!(server.seen("made"), 0);
    Some(server)
}

#[tokio::test]
async fn keys_in_the_configuration_of_a_table() {
    Box::pin(outlasts("config")).await;
}

#[tokio::test]
async fn keys_in_the_list_of_a_table() {
    Box::pin(outlasts("credentials")).await;
}

#[tokio::test]
async fn keys_at_an_address_of_their_own() {
    let Some(mut server) = Box::pin(outlasts("endpoint")).await else {
        return;
    };
    assert!(server.seen("keys_asked") >= 1);
}

#[tokio::test]
async fn keys_of_a_server_that_stages_no_tables() {
    let options = json!({"vend": "config", "key_lifetime": 3, "staging": 501});
    let Some(mut server) = Server::start(options) else {
        return;
    };
    let lake = server.lake_without_keys();
    let staged = stage(&lake, &numbers(0..5)).await;
    assert!(
        lake.table(&super::id()).await.unwrap().is_none(),
        "nothing is visible"
    );
    drop(staged);
    slowly(&lake, "run-1", 0).await;
    assert_eq!(ids(&lake).await, all(0..10));
    assert_eq!(server.seen("keys_refused"), 0);
}

#[tokio::test]
async fn a_server_that_hands_out_no_keys_is_told() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake_without_keys();
    let request = StageRequest::new(super::id(), WriteMode::Append, numbers(0..1).schema());
    let error = lake.stage(request).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.message().contains("hands out no keys"), "{error}");
    assert!(error.help_text().is_some());
}

/// `SeaweedFS` hands out keys in the name of a role.
#[tokio::test]
async fn keys_of_another_catalog() {
    let (Some(rest), Some(s3)) = (services::rest(), services::s3()) else {
        return;
    };
    let credential = format!("{}:{}", s3.access_key, s3.secret_key);
    let catalog = CatalogOptions::Rest(RestOptions {
        uri: rest.uri,
        warehouse: Some(rest.warehouse),
        credential: Some(connectors::Secret::new(credential)),
        token: None,
        scope: None,
        vended: true,
    });
    let warehouse = WarehouseOptions::S3(S3Options {
        bucket: "warehouse".to_owned(),
        endpoint: Some(s3.endpoint),
        path_style: true,
        allow_http: true,
        ..S3Options::default()
    });
    let lake = Lake::open(catalog, warehouse).unwrap();
    let id = run::lake::TableId::new(services::fresh_schema(), "t");
    for (run, from) in [("run-1", 0), ("run-2", 10)] {
        let rows = numbers(from..from + 10);
        let request = StageRequest::new(id.clone(), WriteMode::Append, rows.schema());
        let stage = lake.stage(request).await.unwrap();
        let mut writer = stage.writer().unwrap();
        writer.write(&rows).await.unwrap();
        let written = writer.finish().await.unwrap();
        stage
            .staged(vec![written])
            .commit(&stamp(run))
            .await
            .unwrap();
    }
    let table = lake.table(&id).await.unwrap().unwrap();
    assert_eq!(ids_of(&table).await, all(0..20));
}

#[tokio::test]
async fn a_project_with_keys_needs_none_handed_out() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake_with(RestOptions {
        vended: true,
        ..server.options()
    });
    append(&lake, "run-1", &numbers(0..3)).await;
    assert_eq!(ids(&lake).await, all(0..3));
}

/// The library would look for keys of its own on the machine and in its network.
#[tokio::test]
async fn without_keys_of_its_own_the_warehouse_is_not_asked() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    let told = server.lake_without_keys().probe().await.unwrap();
    assert!(told.contains("with keys for each table"), "{told}");
    let told = server.lake().probe().await.unwrap();
    assert!(!told.contains("keys"), "{told}");
}
