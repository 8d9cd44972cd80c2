//! `history: scd2`: a row for every state of a key, whatever the order in which rows come.

use std::fmt::Write as _;

use crate::database::Database;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// A project whose pipeline `d/p` keeps the history of `data/rows.csv` in `NAMESPACE.t`.
struct Case {
    scene: Scene,
    place: Place,
    namespace: String,
}

impl Case {
    fn new(write: &str) -> Self {
        let how = format!("write: {write}, ");
        Self::at(Place::embedded(), "d".to_owned(), &how, "")
    }

    /// In this place; `how` is said of the merge and `layout` of the table.
    fn at(place: Place, namespace: String, how: &str, layout: &str) -> Self {
        let merge = format!(
            "{{ key: [id], latest_by: at, history: scd2, {how}\
             deletes: {{ flagged: {{ when: \"op = 'D'\", without: [op] }} }} }}"
        );
        let schema = "{ id: long, ward: string, at: timestamp, op: string }";
        let pipeline = format!(
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
             - name: rows\n    extract: {{ connection: files, table: rows.csv, options: {{ schema: {schema} }} }}\n  \
             - name: publish\n    load: {{ from: rows, table: {namespace}.t, {layout}mode: {{ merge: {merge} }} }}\n"
        );
        let scene = Scene::with(&[("files.yaml", FILES), ("p.yaml", &pipeline)]);
        let lake = place.spec(&scene);
        let state = "state: { sqlite: { path: lake/state.db } }";
        let project = format!("kind: Project\nname: scene\nversion: 1\nlake: {lake}\n{state}\n");
        scene.write("project.yaml", &project);
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("domain.yaml", &domain);
        Self {
            scene,
            place,
            namespace,
        }
    }

    /// Loads rows, `id,ward,day,op` each with spaces between.
    fn load(&self, rows: &str) {
        let mut file = "id,ward,at,op\n".to_owned();
        for row in rows.split_whitespace() {
            let [id, ward, day, op] = row.split(',').collect::<Vec<_>>()[..] else {
                panic!("{row} is no row");
            };
            let _ = writeln!(file, "{id},{ward},2026-01-{day}T00:00:00,{op}");
        }
        self.scene.write("data/rows.csv", &file);
        self.scene.good(&["run", "d/p"]);
    }

    /// The states: `id,ward,from-to`, with `*` for the current one.
    fn states(&self) -> String {
        let sql = format!(
            "SELECT id, ward, date_part('day', valid_from) AS f, date_part('day', valid_to) AS t, is_current \
             FROM {}.t ORDER BY id, valid_from",
            self.namespace
        );
        let state = |row: &String| {
            let [id, ward, from, to, current] = row.split(',').collect::<Vec<_>>()[..] else {
                panic!("{row} is no state");
            };
            assert_eq!(current == "true", to.is_empty(), "{row}");
            let to = if to.is_empty() { "*" } else { to };
            format!("{id},{ward},{from}-{to}")
        };
        let rows = self.scene.query(&sql);
        rows.iter().map(state).collect::<Vec<_>>().join(" ")
    }

    fn snapshots(&self) -> usize {
        let told = self.scene.good(&[
            "history",
            &format!("{}.t", self.namespace),
            "--format",
            "json",
        ]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told.as_array().unwrap().len()
    }
}

/// What comes, and the states after it.
const LIFE: &str = "
1,a,01,I 2,x,03,I                   => 1,a,1-* 2,x,3-*
1,b,05,U 3,q,06,I                   => 1,a,1-5 1,b,5-* 2,x,3-* 3,q,6-*
1,b,07,U 2,x,03,U                   => 1,a,1-5 1,b,5-* 2,x,3-* 3,q,6-*
1,c,03,U                            => 1,a,1-3 1,c,3-5 1,b,5-* 2,x,3-* 3,q,6-*
2,,10,D 4,,10,D                     => 1,a,1-3 1,c,3-5 1,b,5-* 2,x,3-10 3,q,6-*
2,y,08,U 2,z,12,I                   => 1,a,1-3 1,c,3-5 1,b,5-* 2,x,3-8 2,y,8-10 2,z,12-* 3,q,6-*
3,r,09,U 3,q,07,U 3,,08,D 3,s,11,U  => 1,a,1-3 1,c,3-5 1,b,5-* 2,x,3-8 2,y,8-10 2,z,12-* 3,q,6-8 3,r,9-11 3,s,11-*
1,a,03,U                            => 1,a,1-5 1,b,5-* 2,x,3-8 2,y,8-10 2,z,12-* 3,q,6-8 3,r,9-11 3,s,11-*
";

/// Loads a life, each part of it twice.
fn lives(case: &Case) {
    for step in LIFE.trim().lines() {
        let (rows, states) = step.split_once("=>").unwrap();
        case.load(rows);
        assert_eq!(case.states(), states.trim(), "{rows}");
        let before = case.snapshots();
        case.load(rows);
        assert_eq!(case.states(), states.trim(), "again: {rows}");
        assert_eq!(case.snapshots(), before, "{rows}");
    }
    let namespaces = [case.namespace.as_str()];
    case.scene.readers_agree_at(&case.place, &namespaces, &[]);
}

#[test]
fn every_state_is_kept_whatever_the_order_of_rows() {
    for write in ["copy_on_write", "merge_on_read"] {
        lives(&Case::new(write));
    }
}

#[test]
fn every_state_is_kept_on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        lives(&Case::at(place, services::fresh_schema(), "", ""));
    }
}

#[test]
fn every_state_is_kept_on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        let place = Place::postgres(catalog.url());
        lives(&Case::at(
            place,
            "d".to_owned(),
            "write: merge_on_read, ",
            "",
        ));
    }
}

#[test]
fn every_state_is_kept_in_parts_of_a_table() {
    let layout = "partition_by: [ward, is_current], ";
    lives(&Case::at(Place::embedded(), "d".to_owned(), "", layout));
}

#[test]
fn the_order_in_which_batches_come_makes_no_difference() {
    let batches = [
        "1,a,01,I 1,b,02,U",
        "1,,03,D 2,x,02,I",
        "1,c,05,I 2,y,01,I",
        "2,y,04,U 1,b,03,U",
    ];
    // The last batch takes the delete of day 3 back, so that it stays behind it.
    let orders = [[0, 1, 2, 3], [2, 1, 0, 3], [1, 2, 3, 0], [1, 0, 3, 2]];
    for order in orders {
        let case = Case::new("copy_on_write");
        for batch in order {
            case.load(batches[batch]);
        }
        assert_eq!(
            case.states(),
            "1,a,1-2 1,b,2-5 1,c,5-* 2,y,1-2 2,x,2-4 2,y,4-*",
            "{order:?}"
        );
    }
}

#[test]
fn a_row_without_a_time_ends_the_run() {
    let case = Case::new("copy_on_write");
    case.load("1,a,01,I");
    case.scene.write("data/rows.csv", "id,ward,at,op\n1,b,,U\n");
    let told = case.scene.bad(1, &["run", "d/p"]);
    assert!(told.contains("`at`"), "{told}");
    assert_eq!(case.states(), "1,a,1-*");
}
