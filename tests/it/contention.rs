//! Two projects write one table at the same time: every row of both is there once.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::scene::Scene;
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// Rows that each append adds.
const ADDED: u64 = 10;
/// Appends that each of two projects makes.
const ROUNDS: u64 = 10;
/// Merges tried until one has met an append.
const MERGES: u64 = 40;

/// A project on the lake of another, whose pipeline `d/p` loads `data/rows.csv` into `d.t`.
fn project(lake: &Scene, mode: &str) -> Scene {
    let pipeline = format!(
        "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
         - name: rows\n    extract: {{ connection: files, table: rows.csv, options: {{ schema: {{ id: long, v: long }} }} }}\n  \
         - name: publish\n    load: {{ from: rows, table: d.t, mode: {mode} }}\n"
    );
    let scene = Scene::with(&[("files.yaml", FILES), ("p.yaml", &pipeline)]);
    let lake = lake.path().join("lake");
    let lake = lake.display();
    scene.write(
        "project.yaml",
        &format!(
            "kind: Project\nname: scene\nversion: 1\nlake:\n  \
             catalog: {{ sqlite: {{ path: \"{lake}/catalog.db\" }} }}\n  \
             warehouse: {{ local: {{ path: \"{lake}/warehouse\" }} }}\n\
             state: {{ sqlite: {{ path: lake/state.db }} }}\n"
        ),
    );
    scene
}

fn rows(scene: &Scene, rows: impl Iterator<Item = (u64, u64)>) {
    let mut file = "id,v\n".to_owned();
    for (id, v) in rows {
        let _ = writeln!(file, "{id},{v}");
    }
    scene.write("data/rows.csv", &file);
}

/// Merges while another project appends, until `enough` is said of a merge that the log tells of; then all rows are there
/// once. Ids that are merged are multiples of 4.
fn both_write(
    write: &str,
    pause: Duration,
    appended: fn(u64) -> u64,
    enough: fn(u64, &str) -> bool,
) {
    let lake = Scene::with(&[]);
    let mode = format!("{{ merge: {{ key: [id], write: {write} }} }}");
    let (merging, appending) = (project(&lake, &mode), project(&lake, "append"));
    rows(&merging, (0..20_000).map(|id| (4 * id, 0)));
    merging.good(&["run", "d/p"]);
    let done = AtomicBool::new(false);
    let (merges, appends) = std::thread::scope(|scope| {
        let appends = scope.spawn(|| {
            let mut appends = 0;
            while !done.load(Ordering::Relaxed) {
                let first = appends * ADDED;
                rows(&appending, (first..first + ADDED).map(|n| (appended(n), 1)));
                appending.good(&["run", "d/p"]);
                appends += 1;
                std::thread::sleep(pause);
            }
            appends
        });
        let _ends = Ends(&done);
        let merges = merge_until(&merging, enough);
        done.store(true, Ordering::Relaxed);
        (merges, appends.join().unwrap())
    });
    println!("{write}: {merges} merges, {appends} appends");
    // Each merge updates every second row and adds one.
    let count = 20_000 + merges + appends * ADDED;
    let sum = 10_000 * merges + merges * (merges + 1) / 2 + appends * ADDED;
    let sql = "SELECT count(*), count(DISTINCT id), sum(v) FROM d.t";
    assert_eq!(merging.query(sql), [format!("{count},{count},{sum}")]);
    lake.readers_agree();
}

/// Says that it is done when it goes, also where a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Merges until it is enough; how many merges that were.
fn merge_until(merging: &Scene, enough: fn(u64, &str) -> bool) -> u64 {
    for merge in 1..=MERGES {
        let changed = (0..20_000).step_by(2).map(|id| (4 * id, merge));
        rows(merging, changed.chain([(4 * (20_000 + merge), merge)]));
        let output = services::lakewright()
            .args(["run", "d/p"])
            .env("LAKEWRIGHT_LOG", "run=info")
            .current_dir(merging.path())
            .output()
            .expect("the binary ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        if enough(merge, &told) {
            return merge;
        }
    }
    panic!("{MERGES} merges were not enough");
}

#[test]
fn a_merge_that_meets_other_keys_of_its_range_is_done_again() {
    for write in ["copy_on_write", "merge_on_read"] {
        // Between two appends there is time for a merge.
        let pause = Duration::from_millis(700);
        both_write(
            write,
            pause,
            |n| 4 * n + 1,
            |_, told| told.contains("merging again"),
        );
    }
}

#[test]
fn appends_of_keys_elsewhere_do_not_hold_a_merge_up() {
    for write in ["copy_on_write", "merge_on_read"] {
        both_write(
            write,
            Duration::from_millis(250),
            |n| 1_000_000 + n,
            |merge, told| {
                assert!(!told.contains("merging again"), "{told}");
                merge == 4
            },
        );
    }
}

#[test]
fn of_two_merges_that_make_a_table_none_loses_the_rows_of_the_other() {
    let lake = Scene::with(&[]);
    let mode = "{ merge: { key: [id] } }";
    let (one, other) = (project(&lake, mode), project(&lake, mode));
    rows(&one, (0..10).map(|id| (id, 0)));
    // Whoever is second finds a table that was not there when it began; it may end well only with all rows.
    rows(&other, (10..20).map(|id| (id, 0)));
    let (first, second) = (one.start(&["run", "d/p"]), other.start(&["run", "d/p"]));
    let ended = [first, second].map(|child| child.wait_with_output().unwrap().status.success());
    let good = ended.iter().filter(|good| **good).count();
    assert!(good >= 1);
    let rows = one.query("SELECT count(*), count(DISTINCT id) FROM d.t");
    let count = 10 * good;
    assert_eq!(rows, [format!("{count},{count}")]);
}

#[test]
fn of_two_appends_of_the_same_rows_each_row_is_there_once() {
    for dedupe in ["key: [id]", "key: [id], by: at, within: 1h"] {
        let lake = Scene::with(&[]);
        let mode = format!("{{ append: {{ dedupe: {{ {dedupe} }} }} }}");
        let (one, other) = (project(&lake, &mode), project(&lake, &mode));
        for project in [&one, &other] {
            let spec = std::fs::read_to_string(project.path().join("p.yaml")).unwrap();
            let dated = "  - { name: dated, transform: { sql: \"SELECT id, v, timestamp '2026-01-01' AS at FROM rows\" } }\n  - name: publish";
            let spec = spec.replace("  - name: publish", dated);
            project.write("p.yaml", &spec.replace("from: rows,", "from: dated,"));
        }
        rows(&one, [(0, 0)].into_iter());
        one.good(&["run", "d/p"]);
        let again = std::thread::scope(|scope| {
            let appends = [&one, &other].map(|project| {
                scope.spawn(move || {
                    let mut again = 0;
                    for round in 0..ROUNDS {
                        // Half of the rows are those of the round before.
                        let first = round * 1_000;
                        rows(project, (first..first + 2_000).map(|id| (id, round)));
                        let output = services::lakewright()
                            .args(["run", "d/p"])
                            .env("LAKEWRIGHT_LOG", "run=info")
                            .current_dir(project.path())
                            .output()
                            .expect("the binary ends");
                        let told = String::from_utf8_lossy(&output.stderr);
                        assert!(output.status.success(), "{told}");
                        again += u64::from(told.contains("merging again"));
                    }
                    again
                })
            });
            appends
                .map(|appends| appends.join().unwrap())
                .iter()
                .sum::<u64>()
        });
        println!("{again} of {} appends were done again", 2 * ROUNDS);
        assert!(again > 0);
        let all = (ROUNDS + 1) * 1_000;
        let found = one.query("SELECT count(*), count(DISTINCT id) FROM d.t");
        assert_eq!(found, [format!("{all},{all}")]);
        lake.readers_agree();
    }
}
