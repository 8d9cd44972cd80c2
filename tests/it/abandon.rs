//! How runs stand whose process has died, and giving up those that can never be finished.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::database::Database;
use crate::interrupt::{reading, reading_in};
use crate::resume::{LOADS, assert_whole, half_committed};
use crate::scene::Scene;

/// The newest run: its ID and its phase.
fn newest(scene: &Scene) -> (String, Value) {
    let runs: Value = serde_json::from_str(&scene.good(&["runs", "--format", "json"])).unwrap();
    let run = runs[0]["run"].as_str().unwrap().to_owned();
    (run, runs[0]["phase"].clone())
}

#[test]
fn a_run_is_running_until_its_process_dies() {
    let (scene, mut child, _told) = reading();
    let (run, phase) = newest(&scene);
    assert_eq!(phase, "running");
    let refused = scene.bad(4, &["runs", "abandon", &run]);
    assert!(refused.contains("is running already"), "{refused}");
    assert_eq!(newest(&scene).1, "running");

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(newest(&scene).1, "interrupted");
    assert!(scene.good(&["runs"]).contains("interrupted"));
    let one = scene.good(&["runs", &run]);
    assert!(
        one.contains("`lakewright run d/p` goes on with it"),
        "{one}"
    );

    scene.good(&["runs", "abandon", &run]);
    assert!(newest(&scene).1["abandoned"]["why"].is_string());
    scene.write("data/rows.csv", "id,text\n1,one\n2,two\n");
    scene.good(&["run", "d/p"]);
    assert_eq!(scene.query("SELECT count(*), sum(id) FROM d.rows"), ["2,3"]);
}

#[test]
fn a_common_state_tells_of_a_process_on_any_machine() {
    let Some(database) = Database::new("") else {
        return;
    };
    let scene = Scene::with(&[]);
    scene.write("secrets/state", &database.url());
    let project = fs::read_to_string(scene.path().join("project.yaml")).unwrap();
    let project = project.replace(
        "state: { sqlite: { path: lake/state.db } }",
        "state: { postgres: { url: { file: secrets/state } } }",
    );
    scene.write("project.yaml", &project);
    let (scene, mut child, _told) = reading_in(scene);
    assert_eq!(newest(&scene).1, "running");
    child.kill().unwrap();
    child.wait().unwrap();
    // The server has to notice, which takes a moment; no command goes on with the run meanwhile.
    while newest(&scene).1 == "running" {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(newest(&scene).1, "interrupted");
}

#[test]
fn a_half_committed_run_is_given_up_and_the_next_one_is_whole() {
    let scene = half_committed("", "replace");
    let (run, phase) = newest(&scene);
    assert_eq!(phase, "interrupted");
    // A column is gone: the plan of the run can never be carried out again.
    scene.write("data/a.csv", "id\n1\n2\n3\n");
    let told = scene.bad(4, &["run", "d/p"]);
    assert!(told.contains("stays open"), "{told}");
    assert!(told.contains(&format!("runs abandon {run}")), "{told}");

    scene.bad(2, &["runs", "abandon", &run[..8]]);
    assert_eq!(newest(&scene).1, "interrupted");
    let said = scene.good(&["runs", "abandon", &run]);
    assert!(
        said.contains("committed") && said.contains("never will be"),
        "{said}"
    );
    let ended = scene.bad(1, &["runs", "abandon", &run]);
    assert!(ended.contains("has ended"), "{ended}");
    scene.good(&["run", "d/p"]);
    assert_whole(&scene);
    assert_ne!(newest(&scene).0, run);
}

#[test]
fn an_append_of_everything_says_that_the_next_run_appends_again() {
    let scene = half_committed("", "append");
    let said = scene.good(&["runs", "abandon", &newest(&scene).0]);
    assert!(said.contains("appends all rows once more"), "{said}");
}

#[test]
fn loads_of_one_incremental_extract_that_are_behind_catch_up() {
    let scene = half_committed(", mode: incremental", "append");
    let (run, _) = newest(&scene);
    // A file that comes meanwhile is not for those that are behind alone.
    scene.write("data/b.csv", "id,name\n4,four\n");
    scene.good(&["runs", "abandon", &run]);
    let plan = scene.good(&["plan", "d/p"]);
    assert!(plan.contains("it has what the others get now"), "{plan}");
    scene.good(&["run", "d/p"]);
    assert_whole(&scene);
    scene.good(&["run", "d/p"]);
    for load in 0..LOADS {
        let rows = scene.query(&format!("SELECT count(*), sum(id) FROM d.t{load}"));
        assert_eq!(rows, ["4,10"], "d.t{load}");
    }
    scene.readers_agree();
}

#[test]
fn what_is_gone_from_the_source_is_missing_where_it_was_not_committed() {
    let scene = half_committed(", mode: incremental", "append");
    let (run, _) = newest(&scene);
    scene.write("data/a.csv", "id,name\n1,one again\n");
    let told = scene.bad(4, &["run", "d/p"]);
    assert!(told.contains("stays open"), "{told}");
    scene.good(&["runs", "abandon", &run]);
    scene.good(&["run", "d/p"]);
    scene.good(&["run", "d/p"]);
    let counts: std::collections::BTreeSet<String> = (0..LOADS)
        .flat_map(|load| scene.query(&format!("SELECT count(*), sum(id) FROM d.t{load}")))
        .collect();
    // The file that was written again is another one, for all of them.
    let expected = ["1,1", "4,7"].map(str::to_owned);
    assert_eq!(counts, expected.into_iter().collect());
}

#[test]
fn a_load_that_is_new_gets_what_the_others_have() {
    let scene = Scene::with(&[
        (
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        ),
        ("data/a.csv", "id\n1\n"),
    ]);
    let load = |name: &str| {
        format!("  - name: {name}\n    load: {{ from: rows, table: d.{name}, mode: append }}\n")
    };
    let head = "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  - name: rows\n    \
                extract: { connection: files, table: '*.csv', mode: incremental }\n";
    scene.write("p.yaml", &format!("{head}{}", load("one")));
    scene.good(&["run", "d/p"]);
    scene.write("p.yaml", &format!("{head}{}{}", load("one"), load("two")));
    scene.write("data/b.csv", "id\n2\n");
    scene.good(&["run", "d/p"]);
    let counts = "SELECT (SELECT count(*) FROM d.one) AS one, (SELECT count(*) FROM d.two) AS two";
    assert_eq!(scene.query(counts), ["1,1"]);
    scene.good(&["run", "d/p"]);
    assert_eq!(scene.query(counts), ["2,2"]);
}

#[test]
fn a_run_that_is_not_there_is_not_given_up() {
    let scene = Scene::with(&[]);
    let none = "019ab0c2-5b7e-7d3c-9a51-6f0e3c1d2b4a";
    let told = scene.bad(1, &["runs", "abandon", none]);
    assert!(told.contains("there is no run"), "{told}");
}

#[test]
fn a_run_leaves_nothing_beside_its_databases() {
    let scene = Scene::copy_of("specs/quickstart");
    scene.good(&["--project", ".", "run", "--all"]);
    let left: Vec<_> = fs::read_dir(scene.path().join("lake"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with("-wal") || name.ends_with("-shm"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
