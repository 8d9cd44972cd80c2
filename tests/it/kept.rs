//! A table that is kept in shape: a project that loads it, `maintain`, and what others see of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use run::lake::{TableId, TagName};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::place::Place;
use crate::scene::Scene;
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// Expires all that may expire.
pub(crate) const AT_ONCE: &str = "{ expire: { older_than: 1ms, keep: 1 } }";

/// A project with pipelines that load files of `data` into tables of one namespace.
pub(crate) struct Kept {
    pub(crate) scene: Scene,
    pub(crate) place: Place,
    pub(crate) namespace: String,
}

impl Kept {
    /// A project whose `maintenance` is this.
    pub(crate) fn new(place: Place, namespace: &str, maintenance: &str) -> Self {
        let scene = Scene::with(&[("files.yaml", FILES)]);
        let (lake, state) = (place.spec(&scene), "{ sqlite: { path: lake/state.db } }");
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {state}\nmaintenance: {maintenance}\n"
            ),
        );
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("domain.yaml", &domain);
        Self {
            scene,
            place,
            namespace: namespace.to_owned(),
        }
    }

    pub(crate) fn embedded(maintenance: &str) -> Self {
        Self::new(Place::embedded(), "d", maintenance)
    }

    /// The pipeline `d/PIPELINE` reads files as `extract` says and loads them as these say, each `TABLE, mode: …`.
    pub(crate) fn says(&self, pipeline: &str, extract: &str, loads: &[&str]) {
        let mut spec = format!(
            "kind: Pipeline\nname: {pipeline}\ndomain: d\nsteps:\n  \
             - {{ name: rows, extract: {{ connection: files, {extract} }} }}\n"
        );
        for (number, load) in loads.iter().enumerate() {
            let namespace = &self.namespace;
            let _ = writeln!(
                spec,
                "  - {{ name: l{number}, load: {{ from: rows, table: {namespace}.{load} }} }}"
            );
        }
        if loads.len() > 1 {
            // What is half done can be seen.
            spec += "publish: { tables: one_by_one }\n";
        }
        self.scene.write(&format!("{pipeline}.yaml"), &spec);
    }

    /// The pipeline `d/p` appends each new file, with columns `id` and `name`, to the table `t`, and `more` about the load.
    pub(crate) fn appends(&self, more: &str) {
        let load = format!("t, mode: append{more}");
        self.says("p", "table: '*.csv', mode: incremental", &[&load]);
    }

    /// A file of rows arrives and `d/p` runs: `1,a 2,b`.
    pub(crate) fn load(&self, file: &str, rows: &str) {
        let lines: Vec<&str> = ["id,name"].into_iter().chain(rows.split(' ')).collect();
        self.scene
            .write(&format!("data/{file}.csv"), &(lines.join("\n") + "\n"));
        self.scene.good(&["run", "d/p"]);
    }

    /// `load` for ids from `1` to `n`, each in a file of its own.
    pub(crate) fn load_each(&self, ids: std::ops::RangeInclusive<u32>) {
        for id in ids {
            self.load(&format!("f{id:03}"), &format!("{id},n{id}"));
        }
    }

    pub(crate) fn table(&self, name: &str) -> String {
        format!("{}.{name}", self.namespace)
    }

    /// Rows of a query in which `$` is the namespace.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        self.scene.query(&sql.replace('$', &self.namespace))
    }

    /// The ids of `t`, each as often as it is there.
    pub(crate) fn ids(&self) -> String {
        let ids = self.query("SELECT id FROM $.t ORDER BY id");
        ids.join(" ")
    }

    /// Names the newest snapshot of `t`, for a second.
    pub(crate) fn tag_for_a_second(&self, name: &str) {
        let lake = self.place.open(self.scene.path());
        let id = TableId::new(&self.namespace, "t");
        let name: TagName = name.parse().unwrap();
        let tagged = async {
            let snapshot = lake.table(&id).await?.unwrap().snapshot_id().unwrap();
            let keep = Some(Duration::from_secs(1));
            lake.set_tag(&id, &name, snapshot, keep, false).await
        };
        Runtime::new().unwrap().block_on(tagged).unwrap();
    }

    /// Maintains and expects that all ends well: what was done, by table and chore.
    pub(crate) fn maintain(&self, arguments: &[&str]) -> BTreeMap<String, Value> {
        let arguments = [&["maintain", "--format", "json"], arguments].concat();
        by_chore(&self.scene.good(&arguments))
    }

    pub(crate) fn history(&self, table: &str) -> Vec<Value> {
        let table = self.table(table);
        let text = self.scene.good(&["history", &table, "--format", "json"]);
        serde_json::from_str(&text).unwrap()
    }

    /// All readers see the same rows in all tables.
    pub(crate) fn readers_agree(&self) {
        let namespace = [self.namespace.as_str()];
        self.scene.readers_agree_at(&self.place, &namespace, &[]);
    }

    /// What PyIceberg says of the files of a table, and of the values of `id` in them.
    pub(crate) fn seen(&self, table: &str) -> Option<Seen> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/reach.py");
        let output = Command::new(services::python()?)
            .arg("-B")
            .arg(script)
            .args(self.place.reader(self.scene.path()))
            .args([&self.table(table), "--column", "id"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        Some(Seen(serde_json::from_slice(&output.stdout).unwrap()))
    }

    /// All files of the warehouse in the project's folder.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        walk(&self.scene.path().join("lake/warehouse"), &mut found);
        found
    }

    /// Files of the warehouse without which PyIceberg could do, relative to the table's folder.
    pub(crate) fn unreached(&self, table: &str) -> Option<Vec<String>> {
        let seen = self.seen(table)?;
        let home = PathBuf::from(seen.text("location").trim_start_matches("file://"));
        let reached: BTreeSet<PathBuf> = seen.0["reached"]
            .as_array()
            .unwrap()
            .iter()
            .map(path)
            .collect();
        let files = self.files();
        let missing: Vec<_> = reached.difference(&files).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let more = files
            .difference(&reached)
            .filter(|file| file.starts_with(&home));
        let short = |file: &PathBuf| file.strip_prefix(&home).unwrap().display().to_string();
        Some(more.map(short).collect())
    }
}

/// What was done, by `table chore`, where the table stands without its namespace.
pub(crate) fn by_chore(text: &str) -> BTreeMap<String, Value> {
    let outcomes: Vec<Value> = serde_json::from_str(text).unwrap();
    let key = |outcome: &Value| {
        let table = outcome["table"].as_str().unwrap();
        let table = table.rsplit('.').next().unwrap();
        format!("{table} {}", outcome["chore"].as_str().unwrap())
    };
    outcomes
        .into_iter()
        .map(|outcome| (key(&outcome), outcome))
        .collect()
}

fn path(address: &Value) -> PathBuf {
    PathBuf::from(address.as_str().unwrap().trim_start_matches("file://"))
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), found);
        } else {
            found.insert(entry.path());
        }
    }
}

/// A table's files as PyIceberg sees them.
pub(crate) struct Seen(pub(crate) Value);

impl Seen {
    /// The ids in each data file, in the order in which they stand there.
    pub(crate) fn data(&self) -> Vec<Vec<i64>> {
        let ids = |file: &Value| {
            let values = file["values"].as_array().unwrap().iter();
            values.map(|id| id.as_i64().unwrap()).collect()
        };
        self.0["data"].as_array().unwrap().iter().map(ids).collect()
    }

    pub(crate) fn deletes(&self) -> usize {
        self.0["deletes"].as_array().unwrap().len()
    }

    pub(crate) fn manifests(&self) -> u64 {
        self.0["manifests"].as_u64().unwrap()
    }

    /// A count of the summary.
    pub(crate) fn total(&self, key: &str) -> u64 {
        let text = self.0["summary"][key].as_str();
        text.unwrap_or("0").parse().unwrap()
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }
}
