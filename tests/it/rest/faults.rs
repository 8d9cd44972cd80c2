//! Commits that are refused, fail, or whose reply is lost: the rows are there once.

use run::ErrorKind;
use serde_json::json;

use super::{Server, all, append, ids, numbers, stage, stamp, table};

#[tokio::test]
async fn whatever_becomes_of_the_first_try_the_rows_are_there_once() {
    let faults = [
        json!([409]),
        json!([429]),
        json!([500]),
        json!([503]),
        json!(["break"]),
        json!(["drop"]),
        json!([409, 500, 503, "break", "drop"]),
    ];
    let Some(mut server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake();
    for (number, fault) in faults.iter().enumerate() {
        let from = i64::try_from(number).unwrap() * 10;
        let staged = stage(&lake, &numbers(from..from + 10)).await;
        server.tell(fault);
        let run = format!("run-{number}");
        let committed = staged.commit(&stamp(&run)).await;
        let committed = committed.unwrap_or_else(|error| panic!("{fault}: {error:?}"));
        assert_eq!((committed.rows, committed.already), (10, false), "{fault}");
        let now = table(&lake).await;
        assert_eq!(now.committed(&run), Some(committed.snapshot_id), "{fault}");
        assert_eq!(ids(&lake).await, all(0..from + 10), "{fault}");
    }
    assert_eq!(server.seen("commits"), faults.len() as u64);
}

#[tokio::test]
async fn a_run_whose_reply_was_lost_for_good_is_found_by_the_next() {
    let Some(mut server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake();
    append(&lake, "run-1", &numbers(0..10)).await;
    let staged = stage(&lake, &numbers(10..20)).await;
    // More than a commit tries.
    server.tell(&json!(vec![500; 40]));
    let error = staged.commit(&stamp("run-2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown);
    assert!(error.help_text().is_some());

    server.tell(&json!(["drop"]));
    append(&lake, "run-2", &numbers(10..20)).await;
    let again = stage(&lake, &numbers(10..20)).await;
    assert!(again.commit(&stamp("run-2")).await.unwrap().already);
    assert_eq!(ids(&lake).await, all(0..20));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_words_of_the_server_without_the_token() {
    let Some(mut server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake();
    let staged = stage(&lake, &numbers(0..10)).await;
    server.tell(&json!([403]));
    let error = staged.commit(&stamp("run-1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.is_retryable());
    let told = format!("{error:?}");
    assert!(told.contains("told to answer 403"), "{told}");
    assert!(told.contains("table: d.t"), "{told}");
    assert!(!told.contains("-of-the-catalog"), "{told}");
}

#[tokio::test]
async fn a_server_that_is_not_there_may_be_asked_again_later() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    let mut options = server.options();
    options.uri = "http://127.0.0.1:9".to_owned();
    let error = server
        .lake_with(options.clone())
        .tables()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());

    options.uri = "http://me:hunter2@127.0.0.1:9".to_owned();
    let error = run::lake::Lake::open(
        run::lake::CatalogOptions::Rest(options),
        run::lake::WarehouseOptions::Local {
            path: "/nowhere".into(),
        },
    );
    let error = error.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!format!("{error:?}").contains("hunter2"));
}
