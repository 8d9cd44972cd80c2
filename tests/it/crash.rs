//! A run is killed at any moment, the same command is given again, and the table is exactly right.
//!
//! The load appends a full read: the one mode in which doing a run twice doubles every row. `LAKEWRIGHT_TEST_KILLS` sets
//! how many kills there are, `LAKEWRIGHT_TEST_SEED` repeats a run.

use crate::kills::Kills;
use crate::scene::Scene;

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

const CONTENT: &str = "\
    SELECT 'one' AS t, count(*) AS n, count(DISTINCT id) AS ids, sum(amount) AS total FROM d.one \
    UNION ALL SELECT 'other', count(*), count(DISTINCT id), sum(amount) FROM d.other ORDER BY t";

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    let whole = scene();
    let mut kills = Kills::new(KILLS, || whole.good(&["run", "d/p"]));
    let expected = whole.query(CONTENT);
    assert!(
        expected[0].starts_with(&format!("one,{ROWS},{ROWS},")),
        "{expected:?}"
    );

    let (mut resumed, mut last) = (0, whole);
    while let Some(kill) = kills.another() {
        let scene = scene();
        let killed = kills.strike(scene.start(&["run", "d/p"]));
        let over = scene
            .good(&["runs", "--format", "json"])
            .contains("succeeded");
        if !killed || over {
            // It was over before the kill: a second command would rightly be a second run.
            assert_eq!(scene.query(CONTENT), expected, "kill {kill}");
            continue;
        }
        let again = scene.run(&["run", "d/p"]);
        let told = String::from_utf8_lossy(&again.stderr);
        assert!(again.status.success(), "kill {kill}\n{told}");
        resumed += u64::from(told.contains("going on with run"));
        assert_eq!(scene.query(CONTENT), expected, "kill {kill}\n{told}");
        last = scene;
    }
    println!("{resumed} commands went on with the interrupted run");
    last.readers_agree();
}
