//! TLS and passwords.

use super::*;

#[tokio::test]
async fn tls_is_required_preferred_or_off() {
    let Some(url) = services::postgres() else {
        return;
    };
    let off = open(&url, json!({ "tls": "off" }))
        .await
        .unwrap()
        .probe()
        .await
        .unwrap();
    assert!(
        off.starts_with("PostgreSQL ") && off.ends_with(", TLS off"),
        "{off}"
    );
    let Some(ca) = services::postgres_ca() else {
        return;
    };
    let preferred = open(&url, json!({ "tls": "prefer" }))
        .await
        .unwrap()
        .probe()
        .await
        .unwrap();
    assert!(preferred.ends_with(", TLS 1.3"), "{preferred}");
    let required = json!({ "tls": "required", "ca_file": ca });
    assert!(
        open(&url, required)
            .await
            .unwrap()
            .probe()
            .await
            .unwrap()
            .ends_with(", TLS 1.3")
    );
    let Err(error) = open(&url, json!({ "tls": "required" })).await else {
        panic!("an unknown authority was trusted")
    };
    assert!(error.help_text().is_some(), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_is_said_so() {
    let Some(url) = services::postgres() else {
        return;
    };
    let (scheme, rest) = url.split_once("://").unwrap();
    let (login, place) = rest.rsplit_once('@').unwrap();
    let wrong = format!(
        "{scheme}://{}:not-it@{place}",
        login.split(':').next().unwrap()
    );
    let Err(error) = open(&wrong, json!({})).await else {
        return;
    };
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!format!("{error:?}").contains("not-it"));
}
