//! The lake's tables of a run become visible in one step: all or none, whatever happens in between.

#![allow(
    clippy::unwrap_used,
    reason = "this is test code: failing is its way of telling"
)]

use std::fmt::Write as _;
use std::process::Stdio;

use crate::database::Database;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
const TABLES: usize = 4;

/// A project whose pipeline `d/p` loads `data/*.csv` into four tables, in this mode.
fn project(place: &Place, mode: &str, publish: &str) -> Scene {
    let mut pipeline = format!(
        "kind: Pipeline\nname: p\ndomain: d\n{publish}steps:\n  \
         - name: rows\n    extract: {{ connection: files, table: '*.csv', options: {{ schema: {{ id: long, v: long }} }} }}\n"
    );
    for table in 0..TABLES {
        let _ = write!(
            pipeline,
            "  - name: l{table}\n    load: {{ from: rows, table: d.t{table}, mode: {mode} }}\n"
        );
    }
    let scene = Scene::with(&[("files.yaml", FILES), ("p.yaml", &pipeline)]);
    let lake = place.spec(&scene);
    scene.write(
        "project.yaml",
        &format!(
            "kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {{ sqlite: {{ path: lake/state.db }} }}\n"
        ),
    );
    scene.write("data/a.csv", "id,v\n1,1\n2,1\n");
    scene
}

/// The sum of each table's values.
fn sums(scene: &Scene) -> Vec<String> {
    let of = |table| scene.query(&format!("SELECT count(*), sum(v) FROM d.t{table}"));
    (0..TABLES).flat_map(of).collect()
}

/// Runs the pipeline with something going wrong, and says whether it ended well.
fn run_with(scene: &Scene, fault: &str) -> bool {
    let mut command = services::lakewright();
    command
        .args(["run", "d/p"])
        .env("LAKEWRIGHT_FAILPOINTS", fault);
    let command = command.current_dir(scene.path());
    let ran = command.stderr(Stdio::null()).stdout(Stdio::null()).status();
    ran.unwrap().success()
}

fn all_or_none(place: &Place) {
    let scene = project(place, "replace", "");
    let plan = scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains("4 of the lake become visible in one step"),
        "{plan}"
    );
    scene.good(&["run", "d/p"]);
    assert_eq!(sums(&scene), ["2,2"; TABLES]);
    scene.write("data/a.csv", "id,v\n1,10\n2,10\n");
    assert!(!run_with(&scene, "commit.swap.before=kill"));
    assert_eq!(sums(&scene), ["2,2"; TABLES], "nothing is visible");
    assert!(!run_with(&scene, "commit.swap.after=kill"));
    assert_eq!(sums(&scene), ["2,20"; TABLES], "all is visible");
    scene.good(&["run", "d/p"]);
    assert_eq!(sums(&scene), ["2,20"; TABLES], "it is done already");
    scene.write("data/a.csv", "id,v\n1,30\n");
    assert!(
        run_with(&scene, "commit.swap.after=lost_reply"),
        "what was done is found in the tables"
    );
    assert_eq!(sums(&scene), ["1,30"; TABLES]);
    let history = scene.good(&["history", "d.t3", "--format", "json"]);
    assert_eq!(history.matches("\"operation\"").count(), 3, "{history}");
    scene.readers_agree_at(place, &["d"], &[]);
}

#[cfg(debug_assertions)]
#[test]
fn all_tables_or_none_in_sqlite() {
    all_or_none(&Place::embedded());
}

#[cfg(debug_assertions)]
#[test]
fn all_tables_or_none_in_postgres() {
    let Some(database) = Database::new("") else {
        return;
    };
    all_or_none(&Place::postgres(database.url()));
}

#[test]
fn tables_become_visible_one_by_one_where_that_is_asked() {
    let publish = "publish: { tables: one_by_one }\n";
    let scene = project(&Place::embedded(), "append", publish);
    let plan = scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains("4 of the lake become visible one after the other"),
        "{plan}"
    );
    scene.good(&["run", "d/p"]);
    assert_eq!(sums(&scene), ["2,2"; TABLES]);
}

#[test]
fn merges_into_several_tables_meet_those_of_another_project_again() {
    const ROUNDS: u64 = 6;
    let lake = Scene::with(&[]);
    let folder = lake.path().join("lake");
    let folder = folder.display();
    let one = || {
        let scene = project(&Place::embedded(), "{ merge: { key: [id] } }", "");
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake:\n  \
                 catalog: {{ sqlite: {{ path: \"{folder}/catalog.db\" }} }}\n  \
                 warehouse: {{ local: {{ path: \"{folder}/warehouse\" }} }}\n\
                 state: {{ sqlite: {{ path: lake/state.db }} }}\n"
            ),
        );
        scene
    };
    let (first, second) = (one(), one());
    first.good(&["run", "d/p"]);
    std::thread::scope(|scope| {
        for (number, scene) in [&first, &second].into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let id = 100 + 2 * round + number as u64;
                    scene.write("data/a.csv", &format!("id,v\n1,1\n{id},1\n"));
                    scene.good(&["run", "d/p"]);
                }
            });
        }
    });
    let rows = 2 + 2 * ROUNDS;
    assert_eq!(sums(&first), vec![format!("{rows},{rows}"); TABLES]);
    lake.readers_agree();
}
