//! A run is killed at any moment, the same command is given again, and the table is exactly right.
//!
//! The load appends a full read: the one mode in which doing a run twice doubles every row. `LAKEWRIGHT_TEST_KILLS` sets
//! how many kills there are, `LAKEWRIGHT_TEST_SEED` repeats a run.

use std::time::{Duration, Instant};

use crate::scene::Scene;
use crate::services;

const KILLS: u64 = 50;
const ROWS: i64 = 20_000;

const CONNECTION: &str =
    "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

const PIPELINE: &str = r#"kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract: { connection: files, table: "rows-*.csv" }
  - name: doubled
    transform: { sql: "SELECT id, amount * 2 AS amount FROM rows" }
  - name: sane
    check:
      on: doubled
      rules:
        - { name: not empty, expect: "count(*) > 0", otherwise: fail }
        - { name: even, expect: "amount % 2 = 0", otherwise: quarantine }
  - name: one
    load: { from: doubled, table: d.one, mode: append }
  - name: other
    load: { from: rows, table: d.other, mode: append, partition_by: ["bucket(4, id)"] }
"#;

fn scene() -> Scene {
    let scene = Scene::with(&[
        ("connections/files.yaml", CONNECTION),
        ("pipelines/p.yaml", PIPELINE),
    ]);
    for file in 0..2 {
        let rows = (0..ROWS / 2).map(|row| format!("{},{}\n", row + file * ROWS / 2, row % 97));
        scene.write(
            &format!("data/rows-{file}.csv"),
            &format!("id,amount\n{}", rows.collect::<String>()),
        );
    }
    scene
}

/// A small generator of numbers that a seed repeats (`SplitMix64`).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

const CONTENT: &str = "\
    SELECT 'one' AS t, count(*) AS n, count(DISTINCT id) AS ids, sum(amount) AS total FROM d.one \
    UNION ALL SELECT 'other', count(*), count(DISTINCT id), sum(amount) FROM d.other ORDER BY t";

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
    let kills = services::number("LAKEWRIGHT_TEST_KILLS").unwrap_or(KILLS);
    println!("LAKEWRIGHT_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);

    let whole = scene();
    let started = Instant::now();
    whole.good(&["run", "d/p"]);
    let length = started.elapsed();
    let expected = whole.query(CONTENT);
    assert!(
        expected[0].starts_with(&format!("one,{ROWS},{ROWS},")),
        "{expected:?}"
    );

    let (mut killed, mut resumed, mut last) = (0, 0, whole);
    for kill in 0..kills {
        let scene = scene();
        let mut child = scene.start(&["run", "d/p"]);
        let span = u64::try_from(length.as_micros()).unwrap() * 11 / 10;
        std::thread::sleep(Duration::from_micros(numbers.next() % span));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        let over = scene
            .good(&["runs", "--format", "json"])
            .contains("succeeded");
        if ended.success() || over {
            // It was over before the kill: a second command would rightly be a second run.
            assert_eq!(scene.query(CONTENT), expected, "kill {kill}, seed {seed}");
            continue;
        }
        killed += 1;
        let again = scene.run(&["run", "d/p"]);
        let told = String::from_utf8_lossy(&again.stderr);
        assert!(again.status.success(), "kill {kill}, seed {seed}\n{told}");
        resumed += u64::from(told.contains("going on with run"));
        assert_eq!(
            scene.query(CONTENT),
            expected,
            "kill {kill}, seed {seed}\n{told}"
        );
        last = scene;
    }
    println!("{kills} tries: {killed} killed, {resumed} of these went on with the interrupted run");
    assert!(
        killed > kills / 3,
        "the kills came too late to prove anything: {killed} of {kills}"
    );
    last.readers_agree();
}
