//! Bearer tokens: asked for, running out in the middle of a run, wrong; and what messages say about them.

use std::time::Duration;

use connectors::Secret;
use run::ErrorKind;
use run::lake::RestOptions;
use serde_json::json;

use super::{Server, all, append, ids, numbers, stage, stamp};

#[tokio::test]
async fn a_token_that_runs_out_in_the_middle_of_a_run_is_renewed() {
    let Some(mut server) = Server::start(json!({"token_lifetime": 1})) else {
        return;
    };
    let lake = server.lake();
    let staged = stage(&lake, &numbers(0..10)).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    staged.commit(&stamp("run-1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    append(&lake, "run-2", &numbers(10..20)).await;
    assert_eq!(ids(&lake).await, all(0..20));
    assert!(server.seen("stale_tokens") >= 2);
    assert!(server.seen("tokens") >= 3);
}

#[tokio::test]
async fn requests_that_find_a_token_stale_at_once_renew_it_once() {
    let Some(mut server) = Server::start(json!({"token_lifetime": 2})) else {
        return;
    };
    let lake = server.lake();
    lake.tables().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    let many = (0..8).map(|_| lake.tables());
    for tables in futures::future::join_all(many).await {
        tables.unwrap();
    }
    assert_eq!(server.seen("tokens"), 2);
}

#[tokio::test]
async fn a_token_of_the_project_is_used_until_it_is_refused() {
    let Some(mut server) = Server::start(json!({})) else {
        return;
    };
    let token = |token: &str| Some(Secret::new(token.to_owned()));
    let options = RestOptions {
        credential: None,
        token: token("project-token-4711"),
        ..server.options()
    };
    let error = server.lake_with(options).tables().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.is_retryable());
    assert!(error.help_text().is_some());
    let told = format!("{error:?}");
    assert!(
        told.contains("is not good") && !told.contains("4711"),
        "{told}"
    );

    let both = RestOptions {
        token: token("project-token-4711"),
        ..server.options()
    };
    assert!(server.lake_with(both).tables().await.unwrap().is_empty());
    assert_eq!(server.seen("tokens"), 1);
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_not_repeated() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    let options = RestOptions {
        credential: Some(Secret::new("engine:wrong-secret".to_owned())),
        ..server.options()
    };
    let error = server.lake_with(options).tables().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(error.message(), "the catalog gives no token");
    let told = format!("{error:?}");
    assert!(
        told.contains("is wrong") && !told.contains("wrong-secret"),
        "{told}"
    );
}
