//! Plans: they say what a run does, change nothing, and a kept one is run only in the world it was made for.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::scene::Scene;

const REFUSED: i32 = 4;

const PIPELINE: &str = "kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract: { connection: files, table: \"rows/*.csv\", mode: incremental }
  - name: sane
    check: { on: rows, rules: [{ name: some, expect: count(*) > 0, otherwise: warn }] }
  - name: publish
    load: { from: rows, table: d.t, mode: append }
";

fn scene() -> Scene {
    Scene::with(&[
        (
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        ),
        ("pipelines/p.yaml", PIPELINE),
        ("data/rows/1.csv", "id,amount\n1,10\n2,20\n"),
    ])
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(listing(&entry.path()));
        }
    }
    found.sort();
    found
}

/// Everything in a folder, and how long it is.
fn sight(folder: &Path) -> Vec<(PathBuf, u64)> {
    let look = |path: PathBuf| {
        let bytes = fs::metadata(&path).unwrap().len();
        (path, bytes)
    };
    listing(folder).into_iter().map(look).collect()
}

fn count(scene: &Scene) -> Vec<String> {
    scene.query("SELECT count(*) FROM d.t")
}

#[test]
fn a_plan_says_what_becomes_of_the_table() {
    let scene = scene();
    let plan = scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains("is created") && plan.contains("+ amount  long"),
        "{plan}"
    );
    scene.good(&["run", "d/p"]);
    let plan = scene.good(&["plan", "d/p"]);
    assert!(plan.contains("keeps its columns"), "{plan}");
    assert!(
        !plan.contains("is created") && !plan.contains("+ amount"),
        "{plan}"
    );

    scene.write("data/rows/2.csv", "id,amount,note\n3,30,new\n");
    let spec = PIPELINE.replace(
        "mode: incremental }",
        "mode: incremental, options: { schema: [{ name: id, type: long }, { name: amount, type: long }, { name: note, type: string }] } }",
    );
    scene.write("pipelines/p.yaml", &spec);
    let plan = scene.good(&["plan", "d/p"]);
    assert!(plan.contains("changes with this commit"), "{plan}");
    assert!(
        plan.contains("+ note  string") && !plan.contains("+ amount"),
        "{plan}"
    );
    scene.good(&["run", "d/p"]);
    let rows = scene.query("SELECT id, amount, note FROM d.t ORDER BY id");
    assert_eq!(rows, ["1,10,", "2,20,", "3,30,new"]);
    scene.readers_agree();
}

#[test]
fn a_plan_says_what_the_spec_does_not_allow() {
    let scene = scene();
    scene.good(&["run", "d/p"]);
    scene.write("data/rows/2.csv", "id,amount\n3,thirty\n");
    let spec = PIPELINE.replace(
        "mode: incremental }",
        "mode: incremental, options: { schema: [{ name: id, type: long }, { name: amount, type: string }] } }",
    );
    scene.write("pipelines/p.yaml", &spec);
    let plan = scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains("the run will fail") && plan.contains("long -> string"),
        "{plan}"
    );
    let told = scene.bad(1, &["run", "d/p"]);
    assert!(told.contains("`amount`"), "{told}");
    assert_eq!(count(&scene), ["2"]);
    scene.readers_agree();
}

#[test]
fn a_plan_writes_nothing() {
    let scene = scene();
    let before = listing(scene.path());
    scene.good(&["plan", "d/p"]);
    scene.good(&["plan", "--all"]);
    scene.good(&["plan", "d/p", "--format", "json"]);
    assert_eq!(listing(scene.path()), before);
    scene.good(&["run", "d/p"]);
    let before = listing(scene.path());
    scene.good(&["plan", "d/p"]);
    scene.good(&["plan", "--all"]);
    assert_eq!(listing(scene.path()), before);
    scene.readers_agree();
}

#[test]
fn a_kept_plan_is_run_once() {
    let scene = scene();
    scene.good(&["plan", "d/p", "--out", "p.plan"]);
    scene.good(&["run", "--plan", "p.plan"]);
    assert_eq!(count(&scene), ["2"]);
    let told = scene.bad(REFUSED, &["run", "--plan", "p.plan"]);
    assert!(told.contains("`publish`"), "{told}");
    assert_eq!(count(&scene), ["2"]);
    scene.readers_agree();
}

#[test]
fn a_kept_plan_is_refused_when_its_world_has_moved() {
    type Move = fn(&Scene);
    let moves: [(&str, Move); 3] = [
        ("rows", |scene| {
            scene.write("data/rows/2.csv", "id,amount\n3,30\n");
        }),
        ("publish", |scene| {
            scene.good(&["run", "d/p"]);
        }),
        ("sane", |scene| {
            scene.write("pipelines/p.yaml", &PIPELINE.replace("> 0", "> 1"));
        }),
    ];
    for (step, change) in moves {
        let scene = scene();
        scene.good(&["run", "d/p"]);
        scene.write("data/rows/1b.csv", "id,amount\n9,90\n");
        scene.good(&["plan", "d/p", "--out", "p.plan"]);
        let told = {
            change(&scene);
            scene.bad(REFUSED, &["run", "--plan", "p.plan"])
        };
        assert!(told.contains(&format!("`{step}`")), "{step}: {told}");
        assert!(told.contains("plan again"), "{told}");
        scene.readers_agree();
    }
}

#[test]
fn the_order_and_the_time_of_planning_change_no_fingerprint() {
    let scene = scene();
    let plan = || -> Value {
        serde_json::from_str(&scene.good(&["plan", "d/p", "--format", "json"])).unwrap()
    };
    let first = plan();
    assert_eq!(first, plan());
    let steps = PIPELINE.split_once("steps:\n").unwrap().1;
    let (extract, rest) = steps.split_at(steps.find("  - name: sane").unwrap());
    scene.write(
        "pipelines/p.yaml",
        &PIPELINE.replace(steps, &format!("{rest}{extract}")),
    );
    assert_eq!(first["fingerprint"], plan()["fingerprint"]);
}

#[test]
fn plans_are_json_and_graphs() {
    let scene = scene();
    let one: Value =
        serde_json::from_str(&scene.good(&["plan", "d/p", "--format", "json"])).unwrap();
    assert_eq!(one["pipeline"], "d/p");
    let names: Vec<_> = one["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["rows", "sane", "publish"]);
    let all: Value =
        serde_json::from_str(&scene.good(&["plan", "--all", "--format", "json"])).unwrap();
    assert_eq!(all, Value::Array(vec![one]));
    let graph = scene.good(&["plan", "d/p", "--format", "dot"]);
    assert!(graph.contains("\"publish\" -> \"d.t\""), "{graph}");
    let project = scene.good(&["plan", "--all", "--format", "dot"]);
    assert!(
        project.contains("\"d/p/rows\" -> \"d/p/sane\""),
        "{project}"
    );
    for dot in [graph, project] {
        assert!(dot.starts_with("digraph ") && dot.ends_with("}\n"), "{dot}");
        assert_eq!(dot.matches('{').count(), dot.matches('}').count(), "{dot}");
        assert_eq!(dot.matches('"').count() % 2, 0, "{dot}");
    }
}

#[test]
fn to_look_leaves_no_trace_and_needs_no_right_to_write() {
    let scene = scene();
    let lake = scene.path().join("lake");
    scene.good(&["run", "d/p"]);
    let before = sight(&lake);
    let may_write = fs::metadata(&lake).unwrap().permissions();
    let mut may_not = may_write.clone();
    may_not.set_readonly(true);
    fs::set_permissions(&lake, may_not).unwrap();
    let runs = scene.run(&["runs"]);
    let plan = scene.run(&["plan", "--all"]);
    let rows = scene.run(&["query", "--format", "csv", "SELECT count(*) FROM d.t"]);
    fs::set_permissions(&lake, may_write).unwrap();
    for output in [&runs, &plan, &rows] {
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
    assert!(String::from_utf8_lossy(&runs.stdout).contains("d/p"));
    assert!(String::from_utf8_lossy(&rows.stdout).contains('2'));
    assert_eq!(sight(&lake), before);
    scene.readers_agree();
}

#[test]
fn files_that_are_no_stores_of_ours_are_empty_ones() {
    let scene = scene();
    scene.write("lake/state.db", "");
    scene.write("lake/catalog.db", "");
    let before = sight(&scene.path().join("lake"));
    assert_eq!(scene.good(&["runs"]), "");
    assert!(scene.good(&["plan", "d/p"]).contains("is created"));
    assert_eq!(sight(&scene.path().join("lake")), before);
    scene.good(&["run", "d/p"]);
    assert_eq!(count(&scene), ["2"]);
    scene.readers_agree();
}

#[test]
fn what_cannot_run_cannot_be_planned() {
    let layout = "mode: append, partition_by: [\"year(nope)\"]";
    let (rule, findings) = ("expect: count(*) > 0", 3);
    for (right, wrong, told) in [
        ("mode: append", layout, "nope"),
        ("mode: append", "mode: append, sort_by: [nope]", "nope"),
        (rule, "expect: count(*)", "true or false"),
        (rule, "expect: amount", "true or false"),
    ] {
        let scene = scene();
        scene.write("pipelines/p.yaml", &PIPELINE.replace(right, wrong));
        let error = scene.bad(findings, &["plan", "d/p"]);
        assert!(error.contains(told), "{wrong}: {error}");
    }
}
