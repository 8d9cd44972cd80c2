//! Logging in: encryption, certificates, wrong words, servers that break off.

use std::fs;

use sql_server_testserver::{Certificate, Encryption, Fault};
use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn who_is_wrong_is_told_what() {
    let Some(bench) = Bench::new(&[]).await else {
        return;
    };
    let wrong = Address {
        password: "wrong".to_owned(),
        ..bench.address.clone()
    };
    let error = wrong.open(1, json!({})).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    let elsewhere = Address {
        database: "nothing".to_owned(),
        ..bench.address.clone()
    };
    let error = elsewhere.open(1, json!({})).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.help_text().unwrap().contains("`database:`"));
    let nobody = Address {
        port: 1,
        ..bench.address.clone()
    };
    let error = nobody.open(1, json!({})).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.is_retryable());
    bench.stop().await;
}

#[tokio::test]
async fn certificates_must_be_trusted() {
    let encrypted = |options: &mut Options| options.encryption = Encryption::Required;
    let Some(bench) = Bench::with(encrypted, &[]).await else {
        return;
    };
    let Some(server) = &bench.server else {
        return bench.stop().await;
    };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("server.der");
    fs::write(&file, server.certificate()).unwrap();
    let pinned = json!({ "trust_server_certificate": false, "certificate_file": file });
    let connection = bench.address.open(1, pinned).await.unwrap();
    assert!(connection.probe().await.unwrap().ends_with(", encrypted"));
    let unknown = json!({ "trust_server_certificate": false });
    let error = bench.address.open(1, unknown).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(
        error.help_text().unwrap().contains("certificate"),
        "{error:?}"
    );
    bench.stop().await;
}

#[tokio::test]
async fn a_server_that_breaks_off_is_worth_another_try() {
    let Some(mut bench) = Bench::new(&[
        "CREATE TABLE many (n int NOT NULL PRIMARY KEY, word nvarchar(100) NOT NULL)",
    ])
    .await
    else {
        return;
    };
    bench
        .sql
        .fill("many", 1..=20_000, |n| {
            format!("{n}, N'a word of some length'")
        })
        .await;
    let Some(server) = &bench.server else {
        return bench.stop().await;
    };
    let connection = bench.address.open(1, json!({})).await.unwrap();
    let read = Read::table("many");
    for fault in [Fault::DropInHandshake, Fault::DropInLogin] {
        server.inject(fault.clone());
        let error = fails(&*connection, &read).await;
        assert!(error.is_retryable(), "{fault:?}: {error:?}");
    }
    for fault in [
        Fault::DropAfterRows(1500),
        Fault::ErrorAfterRows {
            rows: 1500,
            number: 1205,
        },
    ] {
        // The next statement that has rows is the one that reads them.
        let scan = connection.source().unwrap().scan(&read).await.unwrap();
        server.inject(fault.clone());
        let stream = scan.read(&scan.splits()[0]).await.unwrap();
        let read: Result<Vec<_>, _> = stream.try_collect().await;
        let error = read.map(|batches| batches.len()).unwrap_err();
        assert!(error.is_retryable(), "{fault:?}: {error:?}");
    }
    let batches = rows(&*connection, &read).await.unwrap();
    assert_eq!(
        batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
        20_000
    );
    server.inject(Fault::RefuseLogin(18_456));
    let error = fails(&*connection, &read).await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.is_retryable());
    bench.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let expired = |options: &mut Options| {
        options.encryption = Encryption::Required;
        options.certificate = Certificate::Expired;
    };
    let Some(bench) = Bench::with(expired, &[]).await else {
        return;
    };
    if bench.server.is_some() {
        let unknown = json!({ "trust_server_certificate": false });
        let error = bench.address.open(1, unknown).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    }
    bench.stop().await;
}
