//! `replace_partitions`: rows become the whole content of the partitions that they fall into.

use crate::database::Database;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

/// A project whose pipeline `d/p` loads `data/rows.csv` into `NAMESPACE.t`.
struct Case {
    scene: Scene,
    place: Place,
    namespace: String,
}

impl Case {
    fn new(place: Place, namespace: &str) -> Self {
        let scene = Scene::with(&[(
            "files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        )]);
        let lake = place.spec(&scene);
        let state = "state: { sqlite: { path: lake/state.db } }";
        scene.write(
            "project.yaml",
            &format!("kind: Project\nname: scene\nversion: 1\nlake: {lake}\n{state}\n"),
        );
        scene.write(
            "domain.yaml",
            &format!("kind: Domain\nname: d\nnamespace: {namespace}\n"),
        );
        let case = Self {
            scene,
            place,
            namespace: namespace.to_owned(),
        };
        case.loads("mode: replace_partitions, partition_by: [region, \"month(day)\"]");
        case
    }

    fn loads(&self, how: &str) {
        let schema = "{ id: long, region: string, day: date }";
        self.scene.write(
            "p.yaml",
            &format!(
                "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
                 - name: rows\n    extract: {{ connection: files, table: rows.csv, options: {{ schema: {schema} }} }}\n  \
                 - name: publish\n    load: {{ from: rows, table: {}.t, {how} }}\n",
                self.namespace
            ),
        );
    }

    fn run(&self, rows: &[&str]) -> String {
        let rows = rows.join("\n");
        self.scene
            .write("data/rows.csv", &format!("id,region,day\n{rows}\n"));
        self.scene.good(&["run", "d/p"])
    }

    /// The table's ids and regions, for every reader.
    fn holds(&self, rows: &[&str]) {
        let sql = format!("SELECT id, region FROM {}.t ORDER BY id", self.namespace);
        assert_eq!(self.scene.query(&sql), rows);
        self.scene
            .readers_agree_at(&self.place, &[&self.namespace], &[]);
    }

    fn snapshots(&self) -> usize {
        let table = format!("{}.t", self.namespace);
        let told = self.scene.good(&["history", &table, "--format", "json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told.as_array().unwrap().len()
    }
}

/// Partitions are replaced, emptied of what was there, added; those that no row names stay.
fn partitions_are_replaced(case: &Case) {
    let first = [
        "1,n,2026-01-01",
        "2,n,2026-01-31",
        "3,n,2026-02-01",
        "4,s,2026-01-01",
        "5,,2026-01-01",
    ];
    case.run(&first);
    case.holds(&["1,n", "2,n", "3,n", "4,s", "5,"]);
    case.run(&["6,n,2026-01-15", "7,,2026-01-02", "8,w,2026-01-01"]);
    case.holds(&["3,n", "4,s", "6,n", "7,", "8,w"]);
    // A second time the same rows take the place of themselves.
    case.run(&["6,n,2026-01-15", "7,,2026-01-02", "8,w,2026-01-01"]);
    case.holds(&["3,n", "4,s", "6,n", "7,", "8,w"]);
    let before = case.snapshots();
    case.run(&[]);
    assert_eq!(case.snapshots(), before);
    case.holds(&["3,n", "4,s", "6,n", "7,", "8,w"]);
}

#[test]
fn on_the_embedded_catalog() {
    partitions_are_replaced(&Case::new(Place::embedded(), "d"));
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        partitions_are_replaced(&Case::new(place, &services::fresh_schema()));
    }
}

#[test]
fn on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        partitions_are_replaced(&Case::new(Place::postgres(catalog.url()), "d"));
    }
}

#[test]
fn rows_that_position_deletes_took_do_not_come_back() {
    let case = Case::new(Place::embedded(), "d");
    let merge = "mode: { merge: { key: [id], write: merge_on_read } }, partition_by: [region]";
    case.loads(merge);
    case.run(&[
        "1,n,2026-01-01",
        "2,n,2026-01-01",
        "3,s,2026-01-01",
        "4,s,2026-01-01",
    ]);
    case.run(&["1,n,2026-01-02", "3,s,2026-01-02"]);
    case.loads("mode: replace_partitions, partition_by: [region]");
    case.run(&["5,n,2026-01-01"]);
    case.holds(&["3,s", "4,s", "5,n"]);
    case.loads(merge);
    case.run(&["4,n,2026-01-01", "5,n,2026-01-02"]);
    case.holds(&["3,s", "4,n", "5,n"]);
}
