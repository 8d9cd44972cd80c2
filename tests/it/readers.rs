//! The comparison of readers itself: it finds a difference where there is one.

use crate::place::Place;
use crate::scene::Scene;
use crate::services;

#[test]
fn a_reader_that_leaves_out_or_changes_a_row_is_found() {
    let scene = Scene::with(&[
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
        ("data/rows.csv", "id,text\n1,one\n2,two\n3,three\n"),
    ]);
    scene.good(&["run", "d/p"]);
    if scene.readers_agree().is_none() {
        return;
    }
    let lakewright = services::lakewright();
    let lakewright = lakewright.get_program().to_str().unwrap();
    for (wrong, told) in [
        ("$1 WHERE id > 1", "has 1 of 3 rows that lakewright has not"),
        (
            "SELECT id, CASE id WHEN 2 THEN 'zwei' ELSE text END AS text FROM d.rows",
            "lakewright has 1 of 3 rows that duckdb has not",
        ),
        ("SELECT id FROM d.rows", "lakewright has the columns"),
    ] {
        let script = format!("exec {lakewright} query \"{wrong}\" --out \"$3\"");
        let command = ["sh", "-c", &script, "sh"].map(AsRef::as_ref);
        let output = scene.compare(&Place::embedded(), &[], &command).unwrap();
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(told), "{wrong}: {said}");
    }
}
