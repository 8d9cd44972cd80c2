//! Several tables in one step, on a server that has transactions.

use run::Result;
use run::lake::{Committed, Lake, TableId, Unpublished, publish};
use serde_json::json;

use super::{Server, all, append, ids, ids_of, numbers, stage, stage_into, stamp};

fn other() -> TableId {
    TableId::new("d", "u")
}

async fn both(lake: &Lake, run: &str, rows: std::ops::Range<i64>) -> Result<Vec<Committed>> {
    let one = stage(lake, &numbers(rows.clone())).await;
    let two = stage_into(lake, other(), &numbers(rows)).await;
    let done = publish(vec![(one, stamp(run)), (two, stamp(run))]).await;
    done.map_err(|Unpublished { error, .. }| error)
}

#[tokio::test]
async fn a_server_with_transactions_changes_all_tables_or_none() {
    let Some(mut server) = Server::start(json!({ "transactions": true })) else {
        return;
    };
    let lake = server.lake();
    assert!(lake.publishes_together(false).await.unwrap());
    assert!(!lake.publishes_together(true).await.unwrap());
    append(&lake, "run-1", &numbers(0..10)).await;
    let made = stage_into(&lake, other(), &numbers(0..10)).await;
    made.commit(&stamp("run-1")).await.unwrap();
    let faults = [
        json!([]),
        json!([409]),
        json!([503]),
        json!(["break"]),
        json!(["drop"]),
        json!([409, "drop"]),
    ];
    for (number, fault) in faults.iter().enumerate() {
        let from = 10 + i64::try_from(number).unwrap() * 10;
        server.tell(fault);
        let run = format!("run-{}", number + 2);
        let done = both(&lake, &run, from..from + 10).await;
        let done = done.unwrap_or_else(|error| panic!("{fault}: {error:?}"));
        assert!(
            done.iter().all(|done| done.rows == 10 && !done.already),
            "{fault}: {done:?}"
        );
        let second = lake.table(&other()).await.unwrap().unwrap();
        assert_eq!(ids(&lake).await, all(0..from + 10), "{fault}");
        assert_eq!(ids_of(&second).await, all(0..from + 10), "{fault}");
    }
    assert_eq!(server.seen("transactions"), faults.len() as u64);
}

#[tokio::test]
async fn appends_go_on_top_of_what_came_to_one_of_the_tables() {
    let Some(server) = Server::start(json!({ "transactions": true })) else {
        return;
    };
    let lake = server.lake();
    append(&lake, "run-1", &numbers(0..10)).await;
    let made = stage_into(&lake, other(), &numbers(0..10)).await;
    made.commit(&stamp("run-1")).await.unwrap();
    // Both were staged on what the tables were; then somebody adds to one of them.
    let one = stage(&lake, &numbers(10..20)).await;
    let two = stage_into(&lake, other(), &numbers(10..20)).await;
    append(&lake, "run-2", &numbers(20..30)).await;
    let done = publish(vec![(one, stamp("run-3")), (two, stamp("run-3"))]).await;
    assert_eq!(done.ok().unwrap().len(), 2);
    assert_eq!(ids(&lake).await, all(0..30));
    let second = lake.table(&other()).await.unwrap().unwrap();
    assert_eq!(ids_of(&second).await, all(0..20));
}

#[tokio::test]
async fn a_server_without_transactions_is_known() {
    let Some(server) = Server::start(json!({})) else {
        return;
    };
    assert!(!server.lake().publishes_together(false).await.unwrap());
}
