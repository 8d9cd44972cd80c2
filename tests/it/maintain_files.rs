//! Which files `maintain` removes, and which it never touches.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::TimeDelta;
use run::lake::{OrphanRules, TableId};
use run::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::kept::{AT_ONCE, Kept};
use crate::place::Place;
use crate::services;

/// Long enough for what is there to be older than a second.
fn wait() {
    std::thread::sleep(Duration::from_millis(1100));
}

/// Makes files look as if they had been written four days ago.
fn age(files: &BTreeSet<PathBuf>) {
    let mut touch = Command::new("touch");
    let ended = touch
        .args(["-d", "4 days ago"])
        .args(files)
        .status()
        .unwrap();
    assert!(ended.success());
}

/// The folder of the only table.
fn home(case: &Kept) -> PathBuf {
    let namespace = case.scene.path().join("lake/warehouse/d");
    let mut tables = fs::read_dir(namespace).unwrap().flatten();
    let found = tables.next().unwrap().path();
    assert!(tables.next().is_none());
    found
}

#[test]
fn what_stays_after_expiry_is_what_the_table_reaches() {
    let case = Kept::embedded(AT_ONCE);
    case.appends("");
    case.load_each(1..=3);
    case.scene.good(&["tag", "d.t", "three"]);
    case.load_each(4..=5);
    case.tag_for_a_second("short");
    case.load_each(6..=8);
    let outside = case
        .scene
        .path()
        .join("lake/warehouse/d/beside/data/file.parquet");
    fs::create_dir_all(outside.parent().unwrap()).unwrap();
    fs::write(&outside, "somebody else's").unwrap();
    wait();
    for round in 0..3 {
        let before = case.files();
        let done = case.maintain(&[]);
        let told = &done["t expire"];
        let went = before.difference(&case.files()).count();
        assert_eq!(
            told["files"].as_u64(),
            u64::try_from(went).ok(),
            "round {round}: {told}"
        );
        if round == 0 {
            assert_eq!(
                (&told["snapshots"], &told["references"]),
                (&json!(7), &json!(["short"]))
            );
        }
        // Old metadata is kept in a log, and what falls out of that is an orphan.
        assert_eq!(
            case.unreached("t").unwrap_or_default(),
            Vec::<String>::new(),
            "round {round}"
        );
        if round < 2 {
            case.load_each(9 + round..=9 + round);
            wait();
        }
    }
    assert!(outside.is_file());
    let at_tag = [
        "query",
        "--format",
        "csv",
        "SELECT id FROM d.t ORDER BY id",
        "--at",
        "three",
    ];
    assert_eq!(case.scene.good(&at_tag), "id\n1\n2\n3\n");
    assert!(
        case.scene
            .bad(1, &["query", "SELECT 1 FROM d.t", "--at", "short"])
            .contains("`main`, `three`")
    );
    assert_eq!(case.ids(), "1 2 3 4 5 6 7 8 9 10");
    case.readers_agree();
}

#[test]
fn a_snapshot_that_expired_is_not_gone_back_to_and_one_that_was_left_expires() {
    let case =
        Kept::embedded("{ compact: { enabled: false }, expire: { older_than: 1ms, keep: 2 } }");
    case.appends("");
    case.load_each(1..=4);
    let history = case.history("t");
    let number = |at: usize| history[at]["snapshot"].to_string();
    case.scene
        .good(&["tag", "d.t", "first", "--at", &number(3)]);
    case.scene.good(&["rollback", "d.t", "--to", &number(1)]);
    assert_eq!(case.ids(), "1 2 3");
    wait();
    let told = &case.maintain(&["--only", "expire"])["t expire"];
    // The second, and the fourth that was left; the first has a name, two are kept.
    assert_eq!(told["snapshots"], 1, "{told}");
    assert_eq!(case.history("t").len(), 3);
    let told = case.scene.bad(1, &["rollback", "d.t", "--to", &number(0)]);
    assert!(told.contains("has no snapshot"), "{told}");
    case.scene.good(&["run", "d/p"]);
    assert_eq!(case.ids(), "1 2 3 4");
    wait();
    case.maintain(&["--only", "expire"]);
    let told = case.scene.bad(1, &["rollback", "d.t", "--to", "first"]);
    assert!(told.contains("was not made on snapshot"), "{told}");
    case.scene.good(&["run", "d/p"]);
    assert_eq!(case.ids(), "1 2 3 4");
    assert_eq!(
        case.unreached("t").unwrap_or_default(),
        Vec::<String>::new()
    );
    case.readers_agree();
}

#[test]
fn nothing_expires_where_the_table_forbids_it() {
    let case = Kept::embedded(AT_ONCE);
    case.appends(", properties: { gc.enabled: 'false' }");
    case.load_each(1..=3);
    wait();
    let before = case.files();
    let output = case.scene.run(&["maintain", "--only", "expire"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("its files are not to be removed"), "{text}");
    assert_eq!((case.files(), case.history("t").len()), (before, 3));
}

/// The moved files and the list of them, as they are in the one folder of `orphans`.
fn set_aside(home: &Path) -> (PathBuf, Vec<Value>) {
    let folders: Vec<PathBuf> = fs::read_dir(home.join("orphans"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let [folder] = folders.as_slice() else {
        panic!("{folders:?}")
    };
    let list = fs::read_to_string(folder.join("moved.ndjson")).unwrap();
    (
        folder.clone(),
        list.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    )
}

#[test]
fn old_files_that_nothing_refers_to_are_set_aside_and_later_removed() {
    let case = Kept::embedded("{ compact: { enabled: false } }");
    case.appends(", partition_by: [name]");
    let names = "1,a_b 2,ä 3,50% 4,x/y 5,a=b 6,#?+& 7,%41 8,.. 9,";
    case.load("a", names);
    case.load("b", names);
    case.says(
        "p",
        "table: '*.csv', mode: incremental",
        &["t, mode: { merge: { key: [id], write: merge_on_read } }"],
    );
    case.load("c", "1,a_b 2,changed");
    let home = home(&case);
    let all = case.files();
    let (old, young) = (
        home.join("data/name=a_b/old.parquet"),
        home.join("data/young.parquet"),
    );
    let lost = home.join("metadata/lost.avro");
    for (file, text) in [(&old, "old"), (&young, "young"), (&lost, "lost")] {
        fs::write(file, text).unwrap();
    }
    let hint = home.join("metadata/version-hint.text");
    fs::write(&hint, "1").unwrap();
    // Everything that the table needs is old, too.
    age(&all);
    age(&[old.clone(), lost.clone(), hint.clone()].into());

    let before = case.files();
    let would = case.maintain(&["--dry-run", "--only", "orphans"]);
    assert_eq!(case.files(), before);
    assert_eq!(
        (&would["t orphans"]["files"], &would["t orphans"]["bytes"]),
        (&json!(2), &json!(7))
    );
    let done = case.maintain(&["--only", "orphans"]);
    assert_eq!(done["t orphans"]["files"], 2, "{done:?}");
    let (folder, moves) = set_aside(&home);
    let told = done["t orphans"]["to"].as_str().unwrap();
    assert!(told.ends_with(folder.file_name().unwrap().to_str().unwrap()));
    assert_eq!(moves.len(), 2);
    for moved in &moves {
        let to = Path::new("/").join(moved["to"].as_str().unwrap());
        assert!(to.is_file(), "{moved}");
    }
    assert_eq!(
        fs::read_to_string(folder.join("data/name=a_b/old.parquet")).unwrap(),
        "old"
    );
    assert!(!old.exists() && !lost.exists() && young.exists() && hint.exists());
    assert_eq!(
        case.query("SELECT count(*), count(DISTINCT id) FROM $.t"),
        ["18,9"]
    );
    case.readers_agree();
    removed_later(&case, &folder);
}

/// What was set aside goes when it has lain there long enough, and not before.
fn removed_later(case: &Kept, folder: &Path) {
    let again = case.maintain(&["--only", "orphans"]);
    let again = &again["t orphans"];
    assert_eq!(
        (&again["files"], &again["removed_files"]),
        (&json!(0), &json!(0))
    );
    let then = SystemClock.now() - TimeDelta::days(8);
    let stamp = then.format("%Y%m%dT%H%M%S%3fZ").to_string();
    fs::rename(folder, folder.with_file_name(stamp)).unwrap();
    let done = case.maintain(&["--only", "orphans"]);
    assert_eq!(
        done["t orphans"]["removed_files"], 3,
        "two and their list: {done:?}"
    );
    let left = case.unreached("t").unwrap_or_else(|| {
        vec![
            "data/young.parquet".to_owned(),
            "metadata/version-hint.text".to_owned(),
        ]
    });
    assert_eq!(left, ["data/young.parquet", "metadata/version-hint.text"]);
    case.readers_agree();
}

#[tokio::test]
async fn orphans_in_s3_are_told_from_what_the_table_reaches() {
    let Some(place) = Place::rest() else { return };
    let case = Kept::new(place, &services::fresh_schema(), "{}");
    case.appends(", partition_by: [name]");
    case.load("a", "1,a_b 2,ä 3,50% 4,x/y 5,a=b 6,#?+& 7,%41 8,.. 9,");
    case.load_each(10..=12);
    let lake = case.place.open(case.scene.path());
    let table = lake
        .table(&TableId::new(&case.namespace, "t"))
        .await
        .unwrap()
        .unwrap();
    let now = SystemClock.now();
    let later = now + TimeDelta::days(1);
    let rules = OrphanRules {
        before: later,
        aside_before: now - TimeDelta::days(1),
        now,
    };
    let found = lake.orphans(&table, rules).await.unwrap();
    assert_eq!(
        found.told().files,
        0,
        "all that is there is reached: {found:?}"
    );
    // What a rollback leaves behind and expiry takes out of the table, but a crash does not remove, is such a file.
    let before = table.snapshot_id().unwrap();
    case.load_each(13..=13);
    let stale = lake.orphans(&table, rules).await.unwrap();
    assert!(stale.told().files > 0, "{before}");
    let done = lake.set_aside(&table, stale, rules).await.unwrap();
    assert_eq!(done.files, 0, "what was committed since is no orphan");
    case.readers_agree();
}

/// What a run leaves in S3 that dies before its commit is moved aside with the list of it, and removed later.
#[cfg(debug_assertions)]
#[tokio::test]
async fn files_of_a_run_that_died_are_set_aside_in_s3() {
    let Some(place) = Place::s3() else { return };
    let case = Kept::new(place, "d", "{}");
    case.appends("");
    case.load_each(1..=2);
    case.scene.write("data/f003.csv", "id,name\n3,n3\n");
    let killed = services::lakewright()
        .args(["run", "d/p"])
        .env("LAKEWRIGHT_FAILPOINTS", "commit.swap.before=kill")
        .current_dir(case.scene.path())
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "it was not killed");
    case.scene.good(&["run", "d/p"]);
    let lake = case.place.open(case.scene.path());
    let id = TableId::new(&case.namespace, "t");
    let table = lake.table(&id).await.unwrap().unwrap();
    let now = SystemClock.now();
    let rules = |days| OrphanRules {
        before: now + TimeDelta::days(1),
        aside_before: now + TimeDelta::days(days),
        now,
    };
    let found = lake.orphans(&table, rules(-1)).await.unwrap();
    let files = found.told().files;
    // A data file, its manifest, and the list of manifests, at the least.
    assert!(files >= 3, "{found:?}");
    let moved = lake.set_aside(&table, found, rules(-1)).await.unwrap();
    assert_eq!((moved.files, moved.removed), (files, 0));
    assert!(moved.to.unwrap().contains("/orphans/"));
    assert_eq!(case.ids(), "1 2 3");
    let again = lake.orphans(&table, rules(-1)).await.unwrap();
    assert_eq!((again.told().files, again.told().removed), (0, 0));
    // Once they have lain there long enough they go, and so does the list.
    let over = lake.orphans(&table, rules(1)).await.unwrap();
    let gone = lake.set_aside(&table, over, rules(1)).await.unwrap();
    assert_eq!((gone.files, gone.removed), (0, files + 1));
    let nothing = lake.orphans(&table, rules(1)).await.unwrap();
    assert_eq!(nothing.told().removed, 0);
    case.readers_agree();
}

#[test]
fn an_order_by_a_column_that_the_next_run_makes_is_no_reason_to_fail() {
    let case = Kept::embedded("{ compact: { min_files: 2 } }");
    case.appends(", sort_by: [id desc]");
    case.load_each(1..=3);
    case.appends(", sort_by: [number], renamed_from: { number: id }");
    let done = case.maintain(&["--only", "compact"]);
    assert_eq!(done["t compact"]["into_files"], 1, "{done:?}");
    if let Some(seen) = case.seen("t") {
        assert_eq!(seen.data(), [[3, 2, 1]], "as the table itself says");
    }
}
