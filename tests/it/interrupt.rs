//! Ctrl-C in the middle of a run: it ends by itself, says so, and nothing of it can be seen.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command};

use crate::scene::Scene;

const ROWS: usize = 2_000_000;

/// A project, and a run of it that has read some rows and has many to go. What it says comes line by line.
pub(crate) fn reading() -> (Scene, Child, BufReader<ChildStderr>) {
    reading_in(Scene::with(&[]))
}

/// The same in a project that is there, beside what it has.
pub(crate) fn reading_in(scene: Scene) -> (Scene, Child, BufReader<ChildStderr>) {
    let files = [
        (
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        ),
        (
            "pipelines/p.yaml",
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
             - name: rows\n    extract: { connection: files, table: rows.csv }\n  \
             - name: publish\n    load: { from: rows, table: d.rows, mode: append }\n",
        ),
    ];
    for (path, text) in files {
        scene.write(path, text);
    }
    let row = "1,some text that takes a while to read\n";
    scene.write("data/rows.csv", &format!("id,text\n{}", row.repeat(ROWS)));
    let mut child = scene.start(&["run", "d/p"]);
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("publish: started") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended too soon");
    }
    (scene, child, told)
}

#[test]
fn an_interrupted_run_leaves_nothing_visible() {
    let (scene, mut child, mut told) = reading();
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("nothing of it is visible"), "{rest}");

    scene.bad(2, &["query", "SELECT * FROM d.rows"]);
    assert!(scene.good(&["runs"]).contains("cancelled"));
    // The next run is a new one, and whole.
    scene.write("data/rows.csv", "id,text\n1,one\n2,two\n");
    scene.good(&["run", "d/p"]);
    assert_eq!(scene.query("SELECT count(*), sum(id) FROM d.rows"), ["2,3"]);
    scene.readers_agree();
}
