//! A run is killed between the commits of its loads: the next command makes it whole, in every mode, whatever became of
//! the spec meanwhile.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};

use crate::scene::Scene;

pub(crate) const LOADS: usize = 8;
const TRIES: usize = 10;

fn pipeline(extract: &str, mode: &str) -> String {
    let mut text = format!(
        "kind: Pipeline\nname: p\ndomain: d\npublish: {{ tables: one_by_one }}\nsteps:\n  \
         - name: rows\n    extract: {{ connection: files, table: '*.csv'{extract} }}\n"
    );
    for load in 0..LOADS {
        let _ = write!(
            text,
            "  - name: l{load}\n    load: {{ from: rows, table: d.t{load}, mode: {mode} }}\n"
        );
    }
    text
}

/// A project whose run was killed when some of its loads were committed, and not all.
pub(crate) fn half_committed(extract: &str, mode: &str) -> Scene {
    for _ in 0..TRIES {
        let scene = Scene::with(&[
            (
                "connections/files.yaml",
                "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
            ),
            ("pipelines/p.yaml", &pipeline(extract, mode)),
            ("data/a.csv", "id,name\n1,one\n2,two\n3,three\n"),
        ]);
        let mut child = scene.start(&["run", "d/p"]);
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
        if !scene.good(&["runs"]).contains("succeeded") {
            return scene;
        }
    }
    panic!("the kill came too late {TRIES} times");
}

pub(crate) fn assert_whole(scene: &Scene) {
    for load in 0..LOADS {
        let rows = scene.query(&format!("SELECT count(*), sum(id) FROM d.t{load}"));
        assert_eq!(rows, ["3,6"], "d.t{load}");
    }
}

#[test]
fn loads_of_one_incremental_extract_are_finished() {
    let scene = half_committed(", mode: incremental", "append");
    scene.good(&["run", "d/p"]);
    assert_whole(&scene);
    scene.good(&["run", "d/p"]);
    assert_whole(&scene);
    scene.readers_agree();
}

#[test]
fn replaced_tables_are_finished() {
    let scene = half_committed("", "replace");
    scene.good(&["run", "d/p"]);
    assert_whole(&scene);
    scene.readers_agree();
}

#[test]
fn a_changed_spec_does_not_double_what_was_committed() {
    let scene = half_committed("", "append");
    let changed = pipeline("", "append").replace("from: rows,", "from: rows, sort_by: [id],");
    scene.write("pipelines/p.yaml", &changed);
    let told = String::from_utf8(scene.run(&["run", "d/p"]).stderr).unwrap();
    assert!(told.contains("the spec has changed"), "{told}");
    assert_whole(&scene);
    scene.readers_agree();
}

#[test]
fn a_renamed_extract_does_not_read_everything_again() {
    let scene = Scene::with(&[
        (
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        ),
        (
            "pipelines/p.yaml",
            &pipeline(", mode: incremental", "append"),
        ),
        ("data/a.csv", "id,name\n1,one\n2,two\n3,three\n"),
    ]);
    scene.good(&["run", "d/p"]);
    let renamed = pipeline(", mode: incremental", "append").replace("rows", "lines");
    scene.write("pipelines/p.yaml", &renamed);
    let told = scene.bad(4, &["run", "d/p"]);
    assert!(told.contains("would read everything again"), "{told}");
    assert_whole(&scene);
    scene.readers_agree();
}
