//! `maintain` beside pipelines, and killed at any moment.

use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use run::ErrorKind;
use run::lake::{CompactionRules, TableId};
use serde_json::Value;

use crate::kept::{AT_ONCE, Kept};
use crate::kills::Kills;

const TRIES: usize = 10;
const LOADS: usize = 8;
const KILLS: u64 = 20;

/// A project whose third run was killed when some of its loads were committed, and not all.
fn half_done(extract: &str, mode: &str, keep: u32) -> Kept {
    for _ in 0..TRIES {
        let maintenance = format!(
            "{{ compact: {{ min_files: 2 }}, expire: {{ older_than: 1ms, keep: {keep} }} }}"
        );
        let case = Kept::embedded(&maintenance);
        let loads: Vec<String> = (0..LOADS).map(|n| format!("t{n}, mode: {mode}")).collect();
        let loads: Vec<&str> = loads.iter().map(String::as_str).collect();
        case.says("p", &format!("table: '*.csv'{extract}"), &loads);
        case.load_each(1..=2);
        case.scene.write("data/f003.csv", "id,name\n3,n3\n");
        let mut child = case.scene.start(&["run", "d/p"]);
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("committed") {
            line.clear();
            assert!(
                told.read_line(&mut line).unwrap() > 0,
                "nothing was committed"
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let runs = case.scene.good(&["runs"]);
        if runs.matches("succeeded").count() == 2 {
            return case;
        }
    }
    panic!("the kill came too late {TRIES} times");
}

#[test]
fn appends_that_are_half_done_are_finished_after_their_snapshots_have_expired() {
    // By a full read each run adds all rows once more.
    for (extract, rows, again) in [(", mode: incremental", "3,6", "3,6"), ("", "6,10", "9,16")] {
        let case = half_done(extract, "append", 1);
        std::thread::sleep(Duration::from_millis(1100));
        let done = case.maintain(&[]);
        let lost = |n: &usize| done[&format!("t{n} expire")]["snapshots"] == 3;
        let lost = (0..LOADS).filter(lost).count();
        assert!(lost > 0, "no table lost the snapshot of the run: {done:?}");
        for rows in [rows, again] {
            case.scene.good(&["run", "d/p"]);
            for load in 0..LOADS {
                let content = format!("SELECT count(*), sum(id) FROM $.t{load}");
                assert_eq!(case.query(&content), [rows], "t{load}{extract}");
            }
        }
        case.readers_agree();
    }
}

/// What a replace was planned on is compacted before it commits.
#[test]
fn replaces_that_are_half_done_go_on_top_of_a_compaction() {
    let case = half_done("", "replace", 2);
    let done = case.maintain(&[]);
    let last = format!("t{}", LOADS - 1);
    assert_eq!(done[&format!("{last} compact")]["into_files"], 1);
    assert_eq!(case.history(&last)[0]["operation"], "replace");
    case.scene.good(&["run", "d/p"]);
    for load in 0..LOADS {
        let content = format!("SELECT count(*), sum(id) FROM $.t{load}");
        assert_eq!(case.query(&content), ["3,6"], "t{load}");
    }
    case.readers_agree();
}

/// A project on the lake of another.
fn beside(lake: &Kept, load: &str) -> Kept {
    let case = Kept::embedded("{}");
    let lake = lake.scene.path().join("lake");
    let lake = lake.display();
    case.scene.write(
        "project.yaml",
        &format!(
            "kind: Project\nname: scene\nversion: 1\nlake:\n  \
             catalog: {{ sqlite: {{ path: \"{lake}/catalog.db\" }} }}\n  \
             warehouse: {{ local: {{ path: \"{lake}/warehouse\" }} }}\n\
             state: {{ sqlite: {{ path: lake/state.db }} }}\n"
        ),
    );
    case.says(
        "p",
        "table: rows.csv, options: { schema: { id: long, name: string } }",
        &[load],
    );
    case
}

/// Says that it is done when it goes, also where a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Maintains in a loop while runs go on: what was compacted, and what was left.
fn maintain_until(case: &Kept, done: &AtomicBool) -> [u64; 3] {
    let mut sums = [0; 3];
    while !done.load(Ordering::Relaxed) {
        let told = case.maintain(&[]);
        let count = |chore: &str, key: &str| told[&format!("t {chore}")][key].as_u64().unwrap();
        for (sum, more) in sums.iter_mut().zip([
            count("compact", "into_files"),
            count("compact", "left_files"),
            count("expire", "snapshots"),
        ]) {
            *sum += more;
        }
    }
    sums
}

#[test]
fn appends_and_merges_go_on_beside_it() {
    for write in ["copy_on_write", "merge_on_read"] {
        let lake = Kept::embedded(
            "{ compact: { min_files: 2, deleted_percent: 1 }, expire: { older_than: 10s, keep: 5 } }",
        );
        let merge = format!("t, mode: {{ merge: {{ key: [id], write: {write} }} }}");
        lake.says("m", "table: rows.csv", &[&merge]);
        let (merging, appending) = (beside(&lake, &merge), beside(&lake, "t, mode: append"));
        let rows = |ids: std::ops::Range<u64>, name: u64| {
            let rows: Vec<String> = ids.map(|id| format!("{id},{name}")).collect();
            rows.join(" ")
        };
        merging.load("rows", &rows(0..2000, 0));
        let done = AtomicBool::new(false);
        let (runs, sums) = std::thread::scope(|scope| {
            let _ends = Ends(&done);
            let maintained = scope.spawn(|| maintain_until(&lake, &done));
            let appended = scope.spawn(|| {
                for run in 0..8 {
                    let first = 1_000_000 + run * 10;
                    appending.load("rows", &rows(first..first + 10, 1));
                }
            });
            for run in 1..=8 {
                merging.load("rows", &rows(run * 100..run * 100 + 300, run));
            }
            appended.join().unwrap();
            done.store(true, Ordering::Relaxed);
            (8, maintained.join().unwrap())
        });
        println!(
            "{write}: files {}, left {}, expired {}",
            sums[0], sums[1], sums[2]
        );
        assert!(sums[0] + sums[1] > 0, "the two never met");
        let expected: u64 = (0..2000_u64)
            .map(|id| {
                (1..=runs)
                    .filter(|run| (run * 100..run * 100 + 300).contains(&id))
                    .max()
                    .unwrap_or(0)
            })
            .sum();
        let content = "SELECT count(*), count(DISTINCT id), sum(name::bigint) FROM $.t";
        assert_eq!(
            lake.query(content),
            [format!("2080,2080,{}", expected + 80)]
        );
        // Which of the two was faster is chance; with nobody beside it the rest is compacted.
        let last = lake.maintain(&[])["t compact"]["into_files"].as_u64();
        assert!(sums[0] + last.unwrap() > 0, "nothing was compacted");
        assert_eq!(
            lake.query(content),
            [format!("2080,2080,{}", expected + 80)]
        );
        lake.readers_agree();
    }
}

/// Two that maintain the same table do not undo or double each other's work.
#[test]
fn two_at_once_do_the_work_once() {
    // What the one reads must not be removed by the other.
    let case = Kept::embedded("{ expire: { older_than: 1ms, keep: 2 } }");
    case.appends("");
    case.load_each(1..=6);
    std::thread::sleep(Duration::from_millis(1100));
    let both = [0, 1].map(|_| case.scene.start(&["maintain"]));
    for child in both {
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(case.ids(), "1 2 3 4 5 6");
    assert_eq!(
        case.unreached("t").unwrap_or_default(),
        Vec::<String>::new()
    );
    case.readers_agree();
}

/// What files were to be compacted on is gone when they are: others have done it, and no row goes twice.
#[tokio::test]
async fn a_compaction_whose_snapshot_has_expired_is_given_up() {
    let case = Kept::embedded(AT_ONCE);
    case.appends("");
    case.load_each(1..=6);
    let lake = case.place.open(case.scene.path());
    let table = lake.table(&TableId::new("d", "t")).await.unwrap().unwrap();
    let rules = CompactionRules {
        min_files: 2,
        deleted_percent: 10,
        target_file_bytes: 1 << 20,
        sort_by: Vec::new(),
    };
    let compaction = lake.compaction(&table, &rules).await.unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    case.maintain(&[]);
    assert_eq!(case.history("t").len(), 1);
    let bins: Vec<_> = compaction.bins().iter().collect();
    let staged = compaction.staged(Vec::new(), &bins).unwrap();
    let refused = staged.commit_maintenance("late", 0).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert_eq!(case.ids(), "1 2 3 4 5 6");
}

#[test]
fn a_kill_at_any_moment_changes_no_row() {
    let case =
        Kept::embedded("{ compact: { min_files: 2 }, expire: { older_than: 1ms, keep: 1 } }");
    case.appends(", partition_by: ['bucket(4, id)']");
    let mut next = 0;
    let mut append = |case: &Kept| {
        let rows: Vec<String> = (0..20)
            .map(|row| format!("{},n", next * 20 + row))
            .collect();
        case.load(&format!("f{next:03}"), &rows.join(" "));
        next += 1;
    };
    append(&case);
    append(&case);
    let content = "SELECT count(*), count(DISTINCT id), sum(id) FROM $.t";
    let mut kills = Kills::new(KILLS, || case.maintain(&[]));
    while let Some(kill) = kills.another() {
        append(&case);
        let before = case.query(content);
        kills.strike(case.scene.start(&["maintain"]));
        assert_eq!(case.query(content), before, "kill {kill}");
        if kill % 4 == 0 {
            kills.spare(|| case.maintain(&[]));
            assert_eq!(case.query(content), before, "after kill {kill}");
        }
    }
    std::thread::sleep(Duration::from_millis(1100));
    case.maintain(&[]);
    let done = case.maintain(&[]);
    assert_eq!(done["t compact"]["files"], Value::from(0));
    case.readers_agree();
    // What is left over is never what the table needs; old enough, it is set aside.
    if let Some(left) = case.unreached("t") {
        println!("{} orphans", left.len());
        assert!(
            left.iter()
                .all(|file| file.starts_with("data/") || file.starts_with("metadata/"))
        );
    }
}
