//! Checks from the file to the table: what passes, what is left out or set aside, what ends the run.

use crate::scene::Scene;

const CONNECTION: &str =
    "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// Ten rows; `amount` is NULL in the fourth and 0 in the eighth.
const ROWS: &str = "id,amount\n1,10\n2,20\n3,30\n4,\n5,50\n6,60\n7,70\n8,0\n9,90\n10,100\n";

const CHECK_FAILED: i32 = 5;

/// A project with these steps after `rows`, which reads [`ROWS`].
fn scene(steps: &str) -> Scene {
    let spec = format!(
        "kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract: {{ connection: files, table: rows.csv }}
{steps}"
    );
    Scene::with(&[
        ("connections/files.yaml", CONNECTION),
        ("pipelines/p.yaml", &spec),
        ("data/rows.csv", ROWS),
    ])
}

/// A check of `rows` and the load of what passed.
fn checked(rules: &[&str]) -> Scene {
    scene(&format!(
        "  - name: sane
    check: {{ on: rows, rules: [{}] }}
  - name: publish
    load: {{ from: rows, table: d.t, mode: append }}
",
        rules.join(", ")
    ))
}

fn ids(scene: &Scene, table: &str) -> Vec<String> {
    scene.query(&format!("SELECT id FROM {table} ORDER BY id"))
}

#[test]
fn warn_counts_and_keeps_the_rows() {
    let scene = checked(&["{ name: positive, expect: amount > 0, otherwise: warn }"]);
    let told = String::from_utf8(scene.run(&["run", "d/p"]).stderr).unwrap();
    assert!(told.contains("positive") && told.contains('2'), "{told}");
    assert_eq!(ids(&scene, "d.t").len(), 10);
    scene.readers_agree();
}

#[test]
fn drop_leaves_out_the_rows_that_are_false_or_null() {
    let scene = checked(&["{ name: positive, expect: amount > 0, otherwise: drop }"]);
    scene.good(&["run", "d/p"]);
    let passed = ["1", "2", "3", "5", "6", "7", "9", "10"];
    assert_eq!(ids(&scene, "d.t"), passed);
    scene.readers_agree();
}

#[test]
fn quarantine_sets_rows_aside_with_the_rule_and_the_run() {
    let scene = checked(&[
        "{ name: there, expect: amount IS NOT NULL, otherwise: quarantine }",
        "{ name: positive, expect: amount > 0, otherwise: quarantine }",
        "{ name: not nine, expect: id <> 9, otherwise: drop }",
    ]);
    scene.good(&["run", "d/p"]);
    assert_eq!(ids(&scene, "d.t"), ["1", "2", "3", "5", "6", "7", "10"]);
    let aside = "SELECT id, amount, _rule FROM d.t_quarantine ORDER BY id";
    assert_eq!(scene.query(aside), ["4,,there", "8,0,positive"]);
    let runs = scene.query("SELECT DISTINCT _run FROM d.t_quarantine");
    let [run] = runs.as_slice() else {
        panic!("one run, not {runs:?}");
    };
    assert!(scene.good(&["runs", run]).contains("d.t_quarantine"));

    scene.good(&["run", "d/p"]);
    let again = "SELECT count(*), count(DISTINCT _run) FROM d.t_quarantine";
    assert_eq!(scene.query(again), ["4,2"]);
    scene.readers_agree();
}

#[test]
fn fail_commits_nothing() {
    let scene = scene(
        "  - name: sane
    check:
      on: rows
      rules:
        - { name: there, expect: amount IS NOT NULL, otherwise: quarantine }
        - { name: positive, expect: amount > 0, otherwise: fail }
  - name: publish
    load: { from: rows, table: d.t, mode: append }
  - name: others
    extract: { connection: files, table: rows.csv }
  - name: publish_others
    load: { from: others, table: d.others, mode: append }
",
    );
    let told = scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert!(
        told.contains("`positive`") && told.contains("`sane`"),
        "{told}"
    );
    for table in ["d.t", "d.t_quarantine", "d.others"] {
        scene.bad(2, &["query", &format!("SELECT * FROM {table}")]);
    }
    // What is put right is loaded by the same command.
    scene.write("data/rows.csv", "id,amount\n1,10\n");
    scene.good(&["run", "d/p"]);
    assert_eq!(ids(&scene, "d.t"), ["1"]);
    scene.readers_agree();
}

#[test]
fn null_fails_a_rule() {
    let scene = checked(&["{ name: not zero, expect: amount <> 7, otherwise: fail }"]);
    let told = scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert!(told.contains("not zero"), "{told}");
}

#[test]
fn a_condition_about_all_rows_fails_the_run() {
    let rule = |expect: &str| {
        checked(&[&format!(
            "{{ name: all, expect: \"{expect}\", otherwise: fail }}"
        )])
    };
    for broken in [
        "count(*) > 10",
        "count(amount) = count(*)",
        "sum(amount) < 0",
        "max(amount) > NULL",
    ] {
        let scene = rule(broken);
        let told = scene.bad(CHECK_FAILED, &["run", "d/p"]);
        assert!(told.contains(broken), "{told}");
        scene.bad(2, &["query", "SELECT * FROM d.t"]);
    }
    for good in [
        "count(*) = 10",
        "count(DISTINCT id) = count(*) AND min(id) = 1",
    ] {
        let scene = rule(good);
        scene.good(&["run", "d/p"]);
        assert_eq!(ids(&scene, "d.t").len(), 10);
        scene.readers_agree();
    }
}

#[test]
fn conditions_about_all_rows_see_the_rows_that_passed() {
    let scene = checked(&[
        "{ name: there, expect: amount IS NOT NULL, otherwise: drop }",
        "{ name: all there, expect: count(amount) = count(*), otherwise: fail }",
        "{ name: nine, expect: count(*) = 9, otherwise: fail }",
    ]);
    scene.good(&["run", "d/p"]);
    assert_eq!(ids(&scene, "d.t").len(), 9);
    scene.readers_agree();
}

#[test]
fn conditions_about_all_rows_hold_for_no_rows_too() {
    let scene = checked(&["{ name: something, expect: count(*) > 0, otherwise: fail }"]);
    scene.write("data/rows.csv", "id,amount\n");
    let told = scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert!(told.contains("something"), "{told}");
}

#[test]
fn the_second_check_of_a_chain_sees_what_the_first_let_through() {
    let scene = scene(
        "  - name: first
    check: { on: rows, rules: [{ name: there, expect: amount IS NOT NULL, otherwise: drop }] }
  - name: second
    check:
      on: first
      rules:
        - { name: eight, expect: count(*) = 8, otherwise: fail }
        - { name: positive, expect: amount > 0, otherwise: quarantine }
  - name: publish
    load: { from: second, table: d.t, mode: append }
",
    );
    scene.good(&["run", "d/p"]);
    assert_eq!(ids(&scene, "d.t").len(), 8);
    assert_eq!(ids(&scene, "d.t_quarantine"), ["8"]);
    scene.readers_agree();
}

#[test]
fn several_readers_of_a_checked_step_read_the_same_rows() {
    let scene = scene(
        "  - name: sane
    check: { on: rows, rules: [{ name: positive, expect: amount > 0, otherwise: drop }] }
  - name: total
    transform: { sql: 'SELECT count(*) AS n, sum(amount) AS amount FROM rows' }
  - name: pairs
    transform: { sql: 'SELECT a.id, b.id AS other FROM rows a JOIN rows b ON a.id < b.id' }
  - name: publish
    load: { from: rows, table: d.t, mode: append }
  - name: publish_again
    load: { from: rows, table: d.again, mode: replace }
  - name: publish_total
    load: { from: total, table: d.total, mode: replace }
  - name: publish_pairs
    load: { from: pairs, table: d.pairs, mode: replace }
",
    );
    scene.good(&["run", "d/p"]);
    assert_eq!(ids(&scene, "d.t").len(), 8);
    assert_eq!(ids(&scene, "d.again"), ids(&scene, "d.t"));
    assert_eq!(scene.query("SELECT * FROM d.total"), ["8,430"]);
    assert_eq!(scene.query("SELECT count(*) FROM d.pairs"), ["28"]);
    scene.readers_agree();
}

#[test]
fn a_check_that_nobody_reads_is_held_all_the_same() {
    let scene = scene(
        "  - name: doubled
    transform: { sql: 'SELECT id, amount * 2 AS amount FROM rows' }
  - name: sane
    check: { on: doubled, rules: [{ name: few, expect: count(*) < 5, otherwise: fail }] }
  - name: publish
    load: { from: rows, table: d.t, mode: append }
",
    );
    let told = scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert!(told.contains("few"), "{told}");
    scene.bad(2, &["query", "SELECT * FROM d.t"]);
}

#[test]
fn exact_and_nested_values_go_through_a_check_and_a_transform() {
    let schema = "[{ name: id, type: long }, { name: price, type: 'decimal(20,4)' }, { name: at, type: timestamptz }]";
    let spec = format!(
        "kind: Pipeline
name: p
domain: d
steps:
  - name: typed
    extract: {{ connection: files, table: typed.csv, options: {{ schema: {schema} }} }}
  - name: nested
    extract: {{ connection: files, table: nested.ndjson }}
  - name: both
    transform: {{ sql: 'SELECT * FROM nested JOIN typed USING (id)' }}
  - name: sane
    check: {{ on: both, rules: [{{ name: priced, expect: price > 0.0001, otherwise: quarantine }}] }}
  - name: publish
    load: {{ from: both, table: d.t, mode: append }}
"
    );
    let scene = Scene::with(&[
        ("connections/files.yaml", CONNECTION),
        ("pipelines/p.yaml", &spec),
        (
            "data/typed.csv",
            "id,price,at\n1,9999999999999999.9999,2026-01-01T00:00:00.000001Z\n2,0.0001,1969-12-31T23:59:59+03:00\n",
        ),
        (
            "data/nested.ndjson",
            "{\"id\":1,\"tags\":[\"a\",\"b\"],\"place\":{\"city\":\"K\",\"floor\":3}}\n{\"id\":2,\"tags\":[],\"place\":{\"city\":\"M\",\"floor\":4}}\n",
        ),
    ]);
    scene.good(&["run", "d/p"]);
    let kept = scene.query("SELECT id, price, at, tags[2], place['city'], place['floor'] FROM d.t");
    assert_eq!(
        kept,
        ["1,9999999999999999.9999,2026-01-01T00:00:00.000001Z,b,K,3"]
    );
    let aside = scene
        .query("SELECT id, price, at, cardinality(tags), place['city'], _rule FROM d.t_quarantine");
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert!(
        aside[0].starts_with("2,0.0001,1969-12-31T20:59:59"),
        "{aside:?}"
    );
    let Some(tables) = scene.readers_agree() else {
        return;
    };
    let types: Vec<&str> = tables["d.t"]
        .columns
        .iter()
        .map(|(_, r#type)| r#type.as_str())
        .collect();
    assert!(
        types.contains(&"decimal(20, 4)") && types.contains(&"timestamptz"),
        "{types:?}"
    );
    assert!(
        types.iter().any(|r#type| r#type.starts_with("list")),
        "{types:?}"
    );
    assert!(
        types.iter().any(|r#type| r#type.starts_with("struct")),
        "{types:?}"
    );
}
