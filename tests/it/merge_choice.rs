//! Merges that nobody told how to write: each file is written again, or gets a list of its rows that go.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::database::Database;
use crate::kills::Numbers;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

/// Rows of a part: with their random notes a file of more than 1 MiB.
const ROWS: u64 = 14_000;

/// By one thread, so that each part is one file.
const RUN: [&str; 4] = ["run", "d/p", "--parallel", "1"];

/// A project whose pipeline `d/p` merges `data/rows.csv` into `NAMESPACE.t`, which a column cuts that is no key.
struct Case {
    scene: Scene,
    place: Place,
    namespace: String,
    /// What the table has to hold: part and note, by key.
    rows: BTreeMap<u64, (char, String)>,
    numbers: Numbers,
}

impl Case {
    fn new(place: Place, namespace: String) -> Self {
        let files = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
        let scene = Scene::with(&[("files.yaml", files)]);
        let lake = place.spec(&scene);
        let project = format!(
            "kind: Project\nname: scene\nversion: 1\nlake: {lake}\n\
             state: {{ sqlite: {{ path: lake/state.db }} }}\n"
        );
        scene.write("project.yaml", &project);
        scene.write(
            "domain.yaml",
            &format!("kind: Domain\nname: d\nnamespace: {namespace}\n"),
        );
        let schema = "{ id: long, part: string, note: string }";
        let flagged = "{ flagged: { when: \"note = 'gone'\" } }";
        scene.write(
            "p.yaml",
            &format!(
                "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
                 - name: rows\n    extract: {{ connection: files, table: rows.csv, options: {{ schema: {schema} }} }}\n  \
                 - name: publish\n    load: {{ from: rows, table: {namespace}.t, partition_by: [part], \
                 mode: {{ merge: {{ key: [id], deletes: {flagged} }} }} }}\n"
            ),
        );
        Self {
            scene,
            place,
            namespace,
            rows: BTreeMap::new(),
            numbers: Numbers(7),
        }
    }

    /// The next note, which nothing packs well.
    fn note(&mut self) -> String {
        let next = |_| format!("{:016x}", self.numbers.next());
        (0..12).map(next).collect()
    }

    /// New values for rows of a part, and for every tenth of them its end.
    fn change(&mut self, part: char, ids: impl Iterator<Item = u64>) -> String {
        let mut file = String::new();
        for (number, id) in ids.enumerate() {
            let ends = number % 10 == 9;
            let note = if ends { "gone".to_owned() } else { self.note() };
            let _ = writeln!(file, "{id},{part},{note}");
            if ends {
                self.rows.remove(&id);
            } else {
                self.rows.insert(id, (part, note));
            }
        }
        file
    }

    /// Writes what comes next.
    fn arrives(&self, rows: &str) {
        self.scene
            .write("data/rows.csv", &format!("id,part,note\n{rows}"));
    }

    /// Merges rows; what was said of files.
    fn merge(&self, rows: &str) -> String {
        self.arrives(rows);
        let output = self.scene.run(&RUN);
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(output.status.success(), "{told}");
        let lines = told.lines().filter_map(|line| line.split_once("publish: "));
        let mut choices = lines
            .filter(|(_, told)| ["writes", "lists "].contains(&told.get(..6).unwrap_or_default()));
        choices
            .next()
            .map_or_else(String::new, |(_, told)| told.to_owned())
    }

    /// Every row is there once, for every reader.
    fn holds(&self) {
        let sql = format!(
            "SELECT id, part, note FROM {}.t ORDER BY id",
            self.namespace
        );
        let found = self.scene.query(&sql);
        let row = |(id, (part, note)): (&u64, &(char, String))| format!("{id},{part},{note}");
        let wanted: Vec<String> = self.rows.iter().map(row).collect();
        assert_eq!(found.len(), wanted.len());
        let differs = found
            .iter()
            .zip(&wanted)
            .find(|(found, wanted)| found != wanted);
        assert_eq!(differs, None);
        let namespaces = [self.namespace.as_str()];
        self.scene.readers_agree_at(&self.place, &namespaces, &[]);
    }

    /// How many files of the warehouse list rows that go.
    fn lists(&self) -> usize {
        let mut folders = vec![self.scene.path().join("lake/warehouse")];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                count += usize::from(path.to_str().unwrap().ends_with("-deletes.parquet"));
                folders.extend(Some(path).filter(|path| path.is_dir()));
            }
        }
        count
    }

    /// A table with two large parts, a and b, and a small one.
    fn begin(&mut self) {
        let mut rows = String::new();
        for (part, ids) in [
            ('a', 0..ROWS),
            ('b', ROWS..2 * ROWS),
            ('c', 900_000..900_010),
        ] {
            for id in ids {
                let note = self.note();
                let _ = writeln!(rows, "{id},{part},{note}");
                self.rows.insert(id, (part, note));
            }
        }
        assert_eq!(self.merge(&rows), "");
    }

    /// Few rows of a, many of b, and some of c.
    fn few_many_and_small(&mut self, from: u64) -> String {
        self.change('a', (from..ROWS).step_by(100))
            + &self.change('b', (ROWS..2 * ROWS).step_by(5))
            + &self.change('c', 900_000..900_003)
            + &self.change('a', 800_000..800_005)
    }
}

const MIXED: &str =
    "writes 2 files again, and lists the rows that go of 1 file, since fewer than 10 in 100 do";

fn each_file_is_written_as_suits_it(place: Place, namespace: String) {
    let mut case = Case::new(place, namespace);
    case.begin();
    let rows = case.few_many_and_small(0);
    assert_eq!(case.merge(&rows), MIXED);
    case.holds();
    // Rows that are there already change nothing.
    assert_eq!(case.merge(&rows), "");
    // Those of earlier merges count: with these a tenth of the file is gone. The small file with its changed rows goes, too.
    let rows = case.change('a', (0..ROWS).step_by(11));
    assert_eq!(case.merge(&rows), "writes 2 files again");
    case.holds();
    // What was written again begins anew.
    let rows = case.change('a', (2..ROWS).step_by(50));
    let lists = "lists the rows that go of 1 file, since fewer than 10 in 100 do";
    assert_eq!(case.merge(&rows), lists);
    case.holds();
}

#[test]
fn each_file_on_the_embedded_catalog() {
    each_file_is_written_as_suits_it(Place::embedded(), "d".to_owned());
}

#[test]
fn each_file_on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        each_file_is_written_as_suits_it(place, services::fresh_schema());
    }
}

#[test]
fn each_file_on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        each_file_is_written_as_suits_it(Place::postgres(catalog.url()), "d".to_owned());
    }
}

#[test]
fn the_plan_says_by_what_rule_a_file_is_written() {
    let case = Case::new(Place::embedded(), "d".to_owned());
    case.arrives("1,a,x\n");
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains("chosen by file: again where it is small"),
        "{plan}"
    );
}

#[cfg(debug_assertions)]
#[test]
fn a_run_that_dies_between_lists_and_files_is_gone_on_with() {
    let mut case = Case::new(Place::embedded(), "d".to_owned());
    case.begin();
    for (point, from) in [
        "merge.rewrite.before",
        "merge.rewrite.after",
        "commit.manifest.after",
        "commit.swap.before",
        "commit.swap.after",
    ]
    .into_iter()
    .zip(0..)
    {
        let rows = case.few_many_and_small(from);
        case.arrives(&rows);
        let lists = case.lists();
        let killed = services::lakewright()
            .args(RUN)
            .env("LAKEWRIGHT_FAILPOINTS", format!("{point}=kill"))
            .current_dir(case.scene.path())
            .output()
            .unwrap();
        assert_eq!(killed.status.code(), None, "{point} was not met");
        case.scene.good(&RUN);
        case.holds();
        assert!(case.lists() > lists, "{point}");
    }
}
