//! Branches of an audit on servers that refuse, lose replies, stage no tables, and change several in one step.

use connectors::ErrorKind;
use run::lake::{Audited, Lake, TableId, audit_branch};
use serde_json::json;

use super::{Server, all, append, ids, ids_of, numbers, stage, stage_into, stamp, table};

fn other() -> TableId {
    TableId::new("d", "u")
}

fn audited(run: &str, staged: Vec<run::lake::Staged>) -> Audited {
    let stamped = staged.into_iter().map(|staged| (staged, stamp(run)));
    Audited::new(stamped.collect(), &audit_branch(run)).unwrap()
}

async fn branch_off(audited: &mut Audited) -> run::Result<()> {
    let branched = audited.branch_off().await;
    branched.map(|_| ()).map_err(|not| not.error)
}

/// How many branches of audits a table has.
async fn branches(lake: &Lake) -> usize {
    let references = table(lake).await.references().unwrap();
    let names = references.iter().map(|found| &found.name);
    names.filter(|name| name.starts_with("audit-")).count()
}

#[tokio::test]
async fn whatever_happens_to_a_commit_rows_become_visible_once() {
    let Some(mut server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake();
    append(&lake, "run-0", &numbers(0..10)).await;
    let faults = [
        json!([409]),
        json!([503]),
        json!([500]),
        json!(["break"]),
        json!(["drop"]),
        json!([409, "drop"]),
    ];
    for (number, fault) in faults.iter().enumerate() {
        let from = 10 + i64::try_from(number).unwrap() * 20;
        for (from, at_the_branch) in [(from, true), (from + 10, false)] {
            let rows = numbers(from..from + 10);
            let mut audited = audited(&format!("run-{from}"), vec![stage(&lake, &rows).await]);
            if at_the_branch {
                server.tell(fault);
            }
            branch_off(&mut audited).await.unwrap();
            assert_eq!(ids(&lake).await, all(0..from), "{fault}");
            assert_eq!(branches(&lake).await, 1, "{fault}");
            if !at_the_branch {
                server.tell(fault);
            }
            let done = audited.fast_forward(false).await.unwrap();
            assert!(
                done.iter().all(|done| done.rows == 10 && !done.already),
                "{done:?}"
            );
            assert_eq!(ids(&lake).await, all(0..from + 10), "{fault}");
            assert_eq!(branches(&lake).await, 0, "{fault}");
        }
    }
}

#[tokio::test]
async fn main_goes_forward_only_from_where_the_branch_began() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    let lake = server.lake();
    append(&lake, "run-1", &numbers(0..10)).await;
    let mut audited = audited("run-2", vec![stage(&lake, &numbers(10..20)).await]);
    branch_off(&mut audited).await.unwrap();
    append(&lake, "run-3", &numbers(20..30)).await;
    let error = audited.fast_forward(false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(ids(&lake).await, [all(0..10), all(20..30)].concat());
    branch_off(&mut audited).await.unwrap();
    audited.fast_forward(false).await.unwrap();
    assert_eq!(ids(&lake).await, all(0..30));
    assert_eq!(branches(&lake).await, 0);
    // The same again changes nothing.
    branch_off(&mut audited).await.unwrap();
    audited.fast_forward(false).await.unwrap();
    assert_eq!(
        table(&lake).await.snapshots().len(),
        4,
        "one of them was replaced"
    );
}

#[tokio::test]
async fn tables_that_the_branches_have_made_go_forward_in_one_step() {
    for options in [
        json!({ "transactions": true }),
        json!({ "transactions": true, "staging": 406 }),
        json!({ "transactions": true, "staging": 501, "commit_creates": false }),
    ] {
        let Some(mut server) = Server::start(options.clone()) else {
            return;
        };
        let lake = server.lake();
        let one = stage(&lake, &numbers(0..10)).await;
        let two = stage_into(&lake, other(), &numbers(0..10)).await;
        let mut audited = audited("run-1", vec![one, two]);
        branch_off(&mut audited).await.unwrap();
        let second = async || lake.table(&other()).await.unwrap().unwrap();
        assert!(ids(&lake).await.is_empty(), "{options}");
        assert!(ids_of(&second().await).await.is_empty(), "{options}");
        server.tell(&json!(["drop"]));
        audited.fast_forward(true).await.unwrap();
        assert_eq!(ids(&lake).await, all(0..10), "{options}");
        assert_eq!(ids_of(&second().await).await, all(0..10), "{options}");
        assert_eq!(server.seen("transactions"), 1, "{options}");
    }
}
