//! A project whose only pipeline loads one file into one table of the lake.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::place::Place;
use crate::scene::Scene;

/// A project whose pipeline `d/p` loads `data/rows.csv` into `NAMESPACE.t`.
pub(crate) struct OneLoad {
    pub(crate) scene: Scene,
    place: Place,
    pub(crate) namespace: String,
    pub(crate) table: String,
}

impl OneLoad {
    pub(crate) fn new(place: Place, namespace: &str) -> Self {
        let files = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
        let scene = Scene::with(&[("files.yaml", files)]);
        let lake = place.spec(&scene);
        let state = "state: { sqlite: { path: lake/state.db } }";
        let project = format!("kind: Project\nname: scene\nversion: 1\nlake: {lake}\n{state}\n");
        scene.write("project.yaml", &project);
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("domain.yaml", &domain);
        Self {
            scene,
            place,
            namespace: namespace.to_owned(),
            table: format!("{namespace}.t"),
        }
    }

    pub(crate) fn embedded() -> Self {
        Self::new(Place::embedded(), "d")
    }

    /// Writes the pipeline anew: how rows are loaded.
    pub(crate) fn says(&self, schema: &str, load: &str) {
        let extract = format!("table: rows.csv, options: {{ schema: {{ {schema} }} }}");
        self.reads(&extract, load);
    }

    /// Writes the pipeline anew: what it reads, and how that is loaded.
    pub(crate) fn reads(&self, extract: &str, load: &str) {
        self.steps(&format!(
            "  - {{ name: rows, extract: {{ connection: files, {extract} }} }}\n  \
             - name: publish\n    load: {{ from: rows, table: {}, {load} }}\n",
            self.table
        ));
    }

    /// Writes the pipeline anew: its steps.
    pub(crate) fn steps(&self, steps: &str) {
        let spec = format!("kind: Pipeline\nname: p\ndomain: d\nsteps:\n{steps}");
        self.scene.write("p.yaml", &spec);
    }

    /// The file has these rows, which stand with spaces between, and these columns.
    pub(crate) fn arrives(&self, columns: &str, rows: &str) {
        let lines = std::iter::once(columns).chain(rows.split_whitespace());
        let file = lines.collect::<Vec<_>>().join("\n") + "\n";
        self.scene.write("data/rows.csv", &file);
    }

    /// Loads rows; what was printed.
    pub(crate) fn load(&self, columns: &str, rows: &str) -> String {
        self.arrives(columns, rows);
        self.scene.good(&["run", "d/p"])
    }

    /// Loads rows while nobody can read these files.
    pub(crate) fn load_without(&self, files: &BTreeSet<PathBuf>, columns: &str, rows: &str) {
        assert!(!files.is_empty());
        for file in files {
            fs::rename(file, file.with_extension("hidden")).unwrap();
        }
        self.load(columns, rows);
        for file in files {
            fs::rename(file.with_extension("hidden"), file).unwrap();
        }
    }

    /// All rows of the table in order.
    pub(crate) fn rows(&self) -> Vec<String> {
        let mut rows = self.scene.query(&format!("SELECT * FROM {}", self.table));
        rows.sort();
        rows
    }

    /// The table's rows are these, for every reader.
    pub(crate) fn holds(&self, rows: &str) {
        let mut rows: Vec<&str> = rows.split_whitespace().collect();
        rows.sort_unstable();
        assert_eq!(self.rows(), rows);
        let namespaces = [self.namespace.as_str()];
        self.scene.readers_agree_at(&self.place, &namespaces, &[]);
    }

    /// How many snapshots the table has had.
    pub(crate) fn snapshots(&self) -> usize {
        let told = self
            .scene
            .good(&["history", &self.table, "--format", "json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        told.as_array().unwrap().len()
    }

    /// How many rows the newest snapshot says that it inserted, updated and deleted. The embedded catalog only.
    pub(crate) fn changed(&self) -> [u64; 3] {
        let newest = self.files(".metadata.json").pop_last().unwrap();
        let metadata: Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
        let mut snapshots = metadata["snapshots"].as_array().unwrap().iter();
        let newest = snapshots.find(|one| one["snapshot-id"] == metadata["current-snapshot-id"]);
        let summary = &newest.unwrap()["summary"];
        ["inserted", "updated", "deleted"].map(|what| {
            let count = summary[format!("lakewright.rows-{what}")].as_str();
            count.expect("a count").parse().unwrap()
        })
    }

    /// The files of the warehouse whose names end so. The embedded catalog only.
    pub(crate) fn files(&self, end: &str) -> BTreeSet<PathBuf> {
        let mut folders = vec![self.scene.path().join("lake/warehouse")];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_str().unwrap().ends_with(end) {
                    found.insert(path);
                }
            }
        }
        found
    }

    /// The plan is refused with this code, and says this.
    pub(crate) fn refused(&self, schema: &str, load: &str, code: i32, said: &str) {
        self.says(schema, load);
        let told = self.scene.bad(code, &["plan", "d/p"]);
        assert!(told.contains(said), "{told}");
    }
}
