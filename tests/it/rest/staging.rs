//! Tables on servers that stage none: nothing is visible before the commit, and nothing stays of one that fails.

use run::ErrorKind;
use serde_json::json;

use super::{Server, all, append, ids, numbers, stage, stamp};

#[tokio::test]
async fn a_table_is_made_by_its_first_commit() {
    for refusal in [400, 406, 501] {
        let Some(mut server) = Server::start(json!({"staging": refusal})) else {
            return;
        };
        let lake = server.lake();
        let staged = stage(&lake, &numbers(0..5)).await;
        assert!(lake.table(&super::id()).await.unwrap().is_none());
        staged.commit(&stamp("run-1")).await.unwrap();
        append(&lake, "run-2", &numbers(5..9)).await;
        assert_eq!(ids(&lake).await, all(0..9), "{refusal}");
        assert_eq!((server.seen("staged"), server.seen("made")), (0, 0));
    }
}

#[tokio::test]
async fn a_table_is_made_just_before_its_first_commit() {
    let options = json!({"staging": 406, "commit_creates": false});
    let Some(mut server) = Server::start(options) else {
        return;
    };
    let lake = server.lake();
    let staged = stage(&lake, &numbers(0..5)).await;
    assert!(lake.table(&super::id()).await.unwrap().is_none());
    staged.commit(&stamp("run-1")).await.unwrap();
    append(&lake, "run-2", &numbers(5..9)).await;
    assert_eq!(ids(&lake).await, all(0..9));
    assert_eq!((server.seen("made"), server.seen("dropped")), (1, 0));
}

#[tokio::test]
async fn a_table_that_gets_no_rows_is_dropped_again() {
    let options = json!({"staging": 501, "commit_creates": false});
    let Some(mut server) = Server::start(options) else {
        return;
    };
    let lake = server.lake();
    let staged = stage(&lake, &numbers(0..5)).await;
    // The commit that would make the table is refused as ever; so is the one that brings the rows.
    server.tell(&json!([404, 403]));
    let error = staged.commit(&stamp("run-1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!((server.seen("made"), server.seen("dropped")), (1, 1));
    assert!(lake.table(&super::id()).await.unwrap().is_none());

    append(&lake, "run-2", &numbers(0..5)).await;
    assert_eq!(ids(&lake).await, all(0..5));
}

#[tokio::test]
async fn a_lost_reply_to_the_rows_of_a_new_table_is_found_out() {
    for fault in [
        json!([404, "drop"]),
        json!([404, "break"]),
        json!([404, 500, 503]),
    ] {
        let options = json!({"staging": 501, "commit_creates": false});
        let Some(mut server) = Server::start(options) else {
            return;
        };
        let lake = server.lake();
        let staged = stage(&lake, &numbers(0..5)).await;
        server.tell(&fault);
        staged.commit(&stamp("run-1")).await.unwrap();
        assert_eq!(ids(&lake).await, all(0..5), "{fault}");
        assert_eq!((server.seen("commits"), server.seen("dropped")), (1, 0));
    }
}

#[tokio::test]
async fn a_failed_run_leaves_no_table_where_tables_are_staged() {
    let Some(mut server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake();
    let staged = stage(&lake, &numbers(0..5)).await;
    server.tell(&json!([403]));
    let error = staged.commit(&stamp("run-1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(lake.table(&super::id()).await.unwrap().is_none());
    assert_eq!((server.seen("staged"), server.seen("made")), (1, 0));
}
