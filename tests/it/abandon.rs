//! How runs stand whose process has died, and giving up those that can never be finished.

use serde_json::Value;

use crate::interrupt::reading;
use crate::resume::{assert_whole, half_committed};
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
fn loads_of_one_incremental_extract_are_not_parted() {
    let scene = half_committed(", mode: incremental", "append");
    let (run, _) = newest(&scene);
    let told = scene.bad(1, &["runs", "abandon", &run]);
    assert!(told.contains("different places"), "{told}");
    assert_eq!(newest(&scene).1, "interrupted");
    scene.good(&["run", "d/p"]);
    assert_whole(&scene);
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
    let left: Vec<_> = std::fs::read_dir(scene.path().join("lake"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with("-wal") || name.ends_with("-shm"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
