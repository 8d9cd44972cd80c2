//! The state store: one suite, both databases.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use connectors::{ErrorKind, Result, Secret, SecretRef, Secrets};
use run::scheduler::{Decision, Published, Share, Shared, Verdict};
use run::state::{self, RunEvent, RunId, StateStore, Take};
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

    let lease = first.lock(&id).await?;
    let (old, new) = (RunId::new(now), RunId::new(now));
    first.append(&lease, old, started(1), now).await?;
    first.append(&lease, old, RunEvent::Succeeded, now).await?;
    first.append(&lease, new, started(1), now).await?;
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
        .append(&lease, old, started(2), now)
        .await
        .expect_err("it has ended");
    assert_eq!(late.kind(), ErrorKind::Conflict);

    // One ends it, or one of them is told that the other did: never both.
    let (a, b) = tokio::join!(
        first.append(&lease, new, RunEvent::Cancelled, now),
        second.append(&lease, new, RunEvent::Succeeded, now),
    );
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let refused = a.err().or(b.err()).expect("one lost");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(first.unfinished(&id).await?.is_none());
    lease.release().await?;

    assert!(!second.is_locked(&id).await?);
    let lock = first.lock(&id).await?;
    assert!(second.is_locked(&id).await?);
    assert!(!second.is_locked(&pipeline()).await?);
    let taken = second.lock(&id).await.err().expect("it is held");
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    second.lock(&pipeline()).await?.release().await?;
    lock.release().await?;
    assert!(!second.is_locked(&id).await?);

    // Whoever drops it has given it up, even where nobody says so.
    let dropped = second.lock(&id).await?;
    let first_token = dropped.fence().token;
    drop(dropped);
    while first.is_locked(&id).await? {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let next = first.lock(&id).await?;
    assert!(next.fence().token > first_token);
    next.release().await
}

/// A lease of `sleeper`, which never renews it in time, goes to `taker`; and nothing is written under it any more.
async fn taken_over(sleeper: &dyn StateStore, taker: &dyn StateStore) -> Result<()> {
    let (id, now, run) = (pipeline(), SystemClock.now(), RunId::new(SystemClock.now()));
    let lost = sleeper.lock(&id).await?;
    sleeper.append(&lost, run, started(1), now).await?;
    let decision = Decision {
        pipeline: id.clone(),
        sequence: 1,
        due: now,
        verdict: Verdict::Requested,
        cause: "requested".to_owned(),
        rule: String::new(),
        seen: Published::new(),
    };
    let decisions = [decision];
    assert_eq!(sleeper.decide(None, &decisions, now).await?.len(), 1);
    let lease = loop {
        match taker.lock(&id).await {
            Ok(lease) => break lease,
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => return Err(error),
        }
    };
    assert!(lease.fence().token > lost.fence().token);
    let written = taker.events(run).await?;
    let refused = [
        sleeper
            .append(&lost, run, RunEvent::Succeeded, now)
            .await
            .err(),
        sleeper.close_decision(&lost, &id, 1, "late").await.err(),
        sleeper.decide(Some(&lost), &decisions, now).await.err(),
        sleeper.renew(&lost).await.err(),
    ];
    for refused in refused {
        let error = refused.expect("the lease is lost");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("taken"), "{error}");
    }
    assert!(lost.is_lost());
    assert_eq!(taker.events(run).await?, written);
    assert_eq!(taker.decisions(&id, 1).await?[0].closed, None);
    lost.release().await?;
    assert!(
        sleeper.is_locked(&id).await?,
        "what is lost cannot be given back"
    );
    taker.append(&lease, run, RunEvent::Succeeded, now).await?;
    lease.release().await
}

/// Of what two may have, a third gets nothing, until one of them has gone.
async fn shared(first: &dyn StateStore, second: &dyn StateStore) -> Result<()> {
    let of = pipeline().name.to_string().parse().expect("a name");
    let shares = [Share {
        of: Shared::Connection(of),
        most: Some(2),
    }];
    let free = [Share {
        most: None,
        ..shares[0].clone()
    }];
    let ids = [pipeline(), pipeline(), pipeline()];
    let got = |take: Take| match take {
        Take::Got(lease) => lease,
        Take::Running => panic!("it is running"),
        Take::Full(share) => panic!("{} is full", share.of),
    };
    let is_full = |take: Take| matches!(take, Take::Full(share) if share == shares[0]);
    let one = got(first.take(&ids[0], &shares).await?);
    let two = got(second.take(&ids[1], &shares).await?);
    assert!(is_full(first.take(&ids[2], &shares).await?));
    assert!(is_full(second.take(&ids[2], &shares).await?));
    let who = first.taken().await?.remove(&shares[0].of.to_string());
    assert_eq!(who, Some([ids[0].clone(), ids[1].clone()].into()));
    // Who waits for nobody is counted.
    let three = got(second.take(&ids[2], &free).await?);
    one.release().await?;
    assert!(is_full(second.take(&ids[0], &shares).await?));
    three.release().await?;
    got(second.take(&ids[0], &shares).await?).release().await?;
    drop(two);
    while first.taken().await?.contains_key(&shares[0].of.to_string()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Many at once: never more than may.
    let most = Mutex::new((0_usize, 0_usize));
    let many = (0..12).map(|number| {
        let (store, shares, most) = (if number % 2 == 0 { first } else { second }, &shares, &most);
        async move {
            let id = pipeline();
            loop {
                if let Take::Got(lease) = store.take(&id, shares).await? {
                    let now = {
                        let mut held = most.lock().expect("a lock");
                        held.0 += 1;
                        held.1 = held.1.max(held.0);
                        held.0
                    };
                    assert!(now <= 2, "{now} at once");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    most.lock().expect("a lock").0 -= 1;
                    return lease.release().await;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    futures::future::try_join_all(many).await.map(drop)
}

async fn both(store: &model::StateStore, root: &Path, secrets: &dyn Secrets) -> Result<()> {
    let long = Duration::from_hours(1);
    let first = state::open(store, root, secrets, long).await?;
    let second = state::open(store, root, secrets, long).await?;
    suite(first.as_ref(), second.as_ref()).await?;
    Box::pin(shared(first.as_ref(), second.as_ref())).await?;
    // Renewed long after it is over.
    let sleeper = state::open(store, root, secrets, Duration::from_nanos(1)).await?;
    taken_over(sleeper.as_ref(), second.as_ref()).await
}

#[tokio::test]
async fn in_sqlite() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let store = model::StateStore::Sqlite {
        path: "lake/state.db".into(),
    };
    let unread = state::open(&store, root.path(), &Address(String::new()), run::LEASE).await?;
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
