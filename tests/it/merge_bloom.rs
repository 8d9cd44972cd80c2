//! Bloom filters of a merge's key: files in which no key is are not read, though keys are scattered over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::database::Database;
use crate::kills::Numbers;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

/// Rows of a file.
const ROWS: usize = 500;

/// A project whose pipeline `d/p` merges `data/rows.csv` into `NAMESPACE.t` by `id`.
struct Case {
    scene: Scene,
    place: Place,
    namespace: String,
    rows: BTreeMap<String, u64>,
}

impl Case {
    fn new(place: Place, namespace: String, r#type: &str, properties: &str) -> Self {
        let files = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
        let scene = Scene::with(&[("files.yaml", files)]);
        let lake = place.spec(&scene);
        let state = "state: { sqlite: { path: lake/state.db } }";
        let project = format!("kind: Project\nname: scene\nversion: 1\nlake: {lake}\n{state}\n");
        scene.write("project.yaml", &project);
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("domain.yaml", &domain);
        scene.write(
            "p.yaml",
            &format!(
                "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
                 - name: rows\n    extract: {{ connection: files, table: rows.csv, \
                 options: {{ schema: {{ id: {type}, v: long }} }} }}\n  \
                 - name: publish\n    load: {{ from: rows, table: {namespace}.t, \
                 mode: {{ merge: {{ key: [id] }} }}, properties: {{ {properties} }} }}\n"
            ),
        );
        Self {
            scene,
            place,
            namespace,
            rows: BTreeMap::new(),
        }
    }

    /// Merges rows by one thread, so that new ones are one file; how many files were said to hold a key, of how many.
    fn merge(&mut self, rows: &[(String, u64)]) -> String {
        let mut file = "id,v\n".to_owned();
        for (id, v) in rows {
            let _ = writeln!(file, "{id},{v}");
            self.rows.insert(id.clone(), *v);
        }
        self.scene.write("data/rows.csv", &file);
        let output = services::lakewright()
            .args(["run", "d/p", "--parallel", "1"])
            .env("LAKEWRIGHT_LOG", "run=debug")
            .current_dir(self.scene.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        let told = told
            .lines()
            .find(|line| line.contains("files that may hold a key"));
        told.unwrap().to_owned()
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let mut folders = vec![self.scene.path().join("lake/warehouse")];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_str().unwrap().ends_with(".parquet") {
                    found.insert(path);
                }
            }
        }
        found
    }

    fn holds(&self) {
        let sql = format!("SELECT id, v FROM {}.t ORDER BY v, id", self.namespace);
        let found: BTreeSet<String> = self.scene.query(&sql).into_iter().collect();
        let wanted = self.rows.iter().map(|(id, v)| format!("{id},{v}"));
        assert_eq!(found, wanted.collect());
        let namespaces = [self.namespace.as_str()];
        self.scene.readers_agree_at(&self.place, &namespaces, &[]);
    }
}

/// Three files whose keys are all over.
fn scattered(r#type: &str) -> [Vec<(String, u64)>; 3] {
    let mut numbers = Numbers(4711);
    let mut key = || {
        let (a, b) = (numbers.next(), numbers.next());
        match r#type {
            "long" => (a >> 1).to_string(),
            "uuid" => {
                let (a, b) = (format!("{a:016x}"), format!("{b:016x}"));
                let (a, b) = (a.split_at(8), b.split_at(4));
                let middle = a.1.split_at(4);
                format!("{}-{}-{}-{}-{}", a.0, middle.0, middle.1, b.0, b.1)
            }
            _ => format!("{a:016x}{b:016x}"),
        }
    };
    [0, 1, 2].map(|_| (0..ROWS).map(|_| (key(), 1)).collect())
}

const FILTERED: &str = "write.parquet.bloom-filter-enabled.column.id: \"true\"";

/// The pages of the first column can be read no more; the filter and what stands at the end of the file can.
fn spoil(file: &Path) -> Vec<u8> {
    let whole = fs::read(file).unwrap();
    let mut spoilt = whole.clone();
    spoilt[4..64].fill(0xff);
    fs::write(file, spoilt).unwrap();
    whole
}

#[test]
fn files_whose_filters_have_no_key_are_not_read() {
    for r#type in ["string", "uuid", "long"] {
        let mut case = Case::new(Place::embedded(), "d".to_owned(), r#type, FILTERED);
        let [first, second, third] = scattered(r#type);
        case.merge(&first);
        let before = case.files();
        case.merge(&second);
        let of_second = &case.files() - &before;
        case.merge(&third);
        let others = &case.files() - &of_second;
        assert_eq!((of_second.len(), others.len()), (1, 2), "{type}");
        let kept: Vec<Vec<u8>> = others.iter().map(|file| spoil(file)).collect();
        // One that is there, and one that is nowhere.
        let mut some = vec![(second[7].0.clone(), 2), (second[400].0.clone(), 2)];
        let told = case.merge(&some);
        assert!(told.contains("files=1 of=3"), "{type}: {told}");
        for (file, bytes) in others.iter().zip(kept) {
            fs::write(file, bytes).unwrap();
        }
        case.holds();
        // A key of each file: all are read, and all have their row.
        some = vec![
            (first[3].0.clone(), 3),
            (second[7].0.clone(), 3),
            (third[499].0.clone(), 3),
        ];
        let told = case.merge(&some);
        assert!(told.contains("files=3 of=3"), "{type}: {told}");
        case.holds();
    }
}

#[test]
fn without_the_property_all_files_are_read() {
    let mut case = Case::new(Place::embedded(), "d".to_owned(), "string", "");
    for rows in scattered("string") {
        case.merge(&rows);
    }
    let [first, ..] = scattered("string");
    let told = case.merge(&[(first[0].0.clone(), 2)]);
    assert!(told.contains("files=3 of=3"), "{told}");
    case.holds();
}

/// On any catalog.
fn filters_tell_files_apart(place: Place, namespace: String) {
    let mut case = Case::new(place, namespace, "uuid", FILTERED);
    let all = scattered("uuid");
    for rows in &all {
        case.merge(rows);
    }
    let told = case.merge(&[(all[1][0].0.clone(), 2)]);
    assert!(told.contains("files=1 of=3"), "{told}");
    case.holds();
}

#[test]
fn filters_on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        filters_tell_files_apart(place, services::fresh_schema());
    }
}

#[test]
fn filters_on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        filters_tell_files_apart(Place::postgres(catalog.url()), "d".to_owned());
    }
}

#[test]
fn other_engines_understand_the_filters_and_their_size_is_bounded() {
    let Some(python) = services::python() else {
        return;
    };
    let script = "
import duckdb, sys
file, there = sys.argv[1:]
probe = 'SELECT bool_and(bloom_filter_excludes) FROM parquet_bloom_probe(?, ?, ?)'
ask = lambda value: duckdb.execute(probe, [file, 'id', value]).fetchone()[0]
size = 'SELECT max(bloom_filter_length) FROM parquet_metadata(?)'
print(ask(there), ask('nowhere'), duckdb.execute(size, [file]).fetchone()[0] <= 320)
";
    // Filters of 256 bytes and their head.
    let small = format!("{FILTERED}, write.parquet.bloom-filter-max-bytes: \"256\"");
    for (properties, excluded) in [(FILTERED, "False True False"), (&small, "False")] {
        let mut case = Case::new(Place::embedded(), "d".to_owned(), "string", properties);
        let [first, ..] = scattered("string");
        case.merge(&first);
        let file = case.files().pop_first().unwrap();
        let output = Command::new(&python)
            .args(["-c", script])
            .args([file.as_os_str(), first[9].0.as_ref()])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let went_wrong = String::from_utf8_lossy(&output.stderr);
        assert!(told.starts_with(excluded), "{told}{went_wrong}");
        assert!(
            told.trim().ends_with(if properties == FILTERED {
                "False"
            } else {
                "True"
            }),
            "{told}"
        );
    }
}
