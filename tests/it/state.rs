//! The state store: one suite, both databases.

use std::path::Path;

use connectors::{ErrorKind, Result, Secret, SecretRef, Secrets};
use run::state::{self, RunEvent, RunId, StateStore};
use run::{Clock, SystemClock};
use spec::model;

/// Answers every reference with the one address there is.
struct Address(String);

impl Secrets for Address {
    fn resolve(&self, _: &SecretRef) -> Result<Secret> {
        Ok(Secret::new(self.0.clone()))
    }
}

fn started(attempt: u32) -> RunEvent {
    let plan = r#"{"pipeline": "shop/orders", "spec": "0", "steps": [], "fingerprint": "0"}"#;
    RunEvent::Started {
        plan: Box::new(serde_json::from_str(plan).expect("a plan")),
        attempt,
        trigger: "manual".to_owned(),
        decision: None,
    }
}

/// A pipeline that no other test, in this run or an earlier one, has used: the database may be shared.
fn pipeline() -> model::PipelineId {
    let name = crate::services::fresh_schema();
    format!("state/{name}").parse().expect("a name")
}

async fn suite(first: &dyn StateStore, second: &dyn StateStore) -> Result<()> {
    let (id, now) = (pipeline(), SystemClock.now());
    assert!(first.runs(Some(&id), 10).await?.is_empty());
    assert!(first.unfinished(&id).await?.is_none());

    let (old, new) = (RunId::new(now), RunId::new(now));
    first.append(old, &id, started(1), now).await?;
    first.append(old, &id, RunEvent::Succeeded, now).await?;
    first.append(new, &id, started(1), now).await?;
    let order: Vec<_> = second
        .runs(Some(&id), 10)
        .await?
        .iter()
        .map(|run| run.run)
        .collect();
    assert_eq!(order, [new, old]);
    assert_eq!(second.runs(Some(&id), 1).await?.len(), 1);
    assert_eq!(second.events(old).await?.len(), 2);
    assert_eq!(second.unfinished(&id).await?.map(|run| run.run), Some(new));

    let late = second
        .append(old, &id, started(2), now)
        .await
        .expect_err("it has ended");
    assert_eq!(late.kind(), ErrorKind::Conflict);

    // One ends it, or one of them is told that the other did: never both.
    let (a, b) = tokio::join!(
        first.append(new, &id, RunEvent::Cancelled, now),
        second.append(new, &id, RunEvent::Succeeded, now),
    );
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let refused = a.err().or(b.err()).expect("one lost");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(first.unfinished(&id).await?.is_none());

    assert!(!second.is_locked(&id).await?);
    let lock = first.lock(&id).await?;
    assert!(second.is_locked(&id).await?);
    assert!(!second.is_locked(&pipeline()).await?);
    let taken = second.lock(&id).await.err().expect("it is held");
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    second.lock(&pipeline()).await?.release().await?;
    lock.release().await?;
    assert!(!second.is_locked(&id).await?);
    second.lock(&id).await?.release().await
}

async fn both(store: &model::StateStore, root: &Path, secrets: &dyn Secrets) -> Result<()> {
    let first = state::open(store, root, secrets).await?;
    let second = state::open(store, root, secrets).await?;
    suite(first.as_ref(), second.as_ref()).await
}

#[tokio::test]
async fn in_sqlite() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let store = model::StateStore::Sqlite {
        path: "lake/state.db".into(),
    };
    let unread = state::open(&store, root.path(), &Address(String::new())).await?;
    assert!(unread.runs(None, 10).await?.is_empty());
    assert!(!root.path().join("lake").exists(), "reading makes nothing");
    both(&store, root.path(), &Address(String::new())).await
}

#[tokio::test]
async fn in_postgres() -> Result<()> {
    let Some(url) = crate::services::postgres() else {
        return Ok(());
    };
    let store = model::StateStore::Postgres {
        url: model::SecretRef::Env("UNUSED".to_owned()),
    };
    both(&store, Path::new("."), &Address(url)).await
}
