//! The history of tables: what was can be read, compared, named, and gone back to; and whoever goes back loses and
//! doubles nothing.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use run::ErrorKind;
use run::lake::{Lake, StageRequest, Stamp, TableId, WriteMode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::place::Place;
use crate::scene::Scene;
use crate::services;

/// A project whose pipeline `d/p` appends each new CSV file to `NAMESPACE.t`.
struct Case {
    scene: Scene,
    place: Place,
    table: String,
}

impl Case {
    fn new(place: Place, namespace: &str, loads: &str) -> Self {
        let scene = Scene::empty();
        let lake = place.spec(&scene);
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {{ sqlite: {{ path: lake/state.db }} }}\n"
            ),
        );
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("domain.yaml", &domain);
        scene.write(
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        );
        let head = "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  - name: rows\n    \
                    extract: { connection: files, table: '*.csv', mode: incremental }\n";
        scene.write("pipelines/p.yaml", &format!("{head}{loads}"));
        Self {
            scene,
            place,
            table: format!("{namespace}.t"),
        }
    }

    fn embedded() -> Self {
        let load = "  - name: publish\n    load: { from: rows, table: d.t, mode: append }\n";
        Self::new(Place::embedded(), "d", load)
    }

    fn rest() -> Option<Self> {
        let namespace = services::fresh_schema();
        let load = format!(
            "  - name: publish\n    load: {{ from: rows, table: {namespace}.t, mode: append }}\n"
        );
        Some(Self::new(Place::rest()?, &namespace, &load))
    }

    /// A file with these rows arrives and is loaded.
    fn load(&self, file: &str, rows: &str) {
        self.scene.write(&format!("data/{file}.csv"), rows);
        self.run();
    }

    fn run(&self) {
        self.scene.good(&["run", "d/p"]);
    }

    fn history(&self) -> Vec<Value> {
        let text = self
            .scene
            .good(&["history", &self.table, "--format", "json"]);
        let Value::Array(snapshots) = serde_json::from_str(&text).unwrap() else {
            panic!("{text}")
        };
        snapshots
    }

    fn ids(&self, at: &[&str]) -> String {
        let sql = format!("SELECT id FROM {} ORDER BY id", self.table);
        let arguments = [&["query", "--format", "csv", &sql], at].concat();
        let rows = self.scene.good(&arguments);
        rows.lines().skip(1).collect::<Vec<_>>().join(" ")
    }

    /// The lines of a difference, in order: `added,4,d`.
    fn diff(&self, arguments: &[&str]) -> Vec<String> {
        let command = [&["diff", &self.table, "--format", "csv"], arguments].concat();
        let text = self.scene.good(&command);
        text.lines().skip(1).map(str::to_owned).collect()
    }

    fn rollback(&self, to: &str) -> String {
        self.scene.good(&["rollback", &self.table, "--to", to])
    }

    /// What PyIceberg sees of the references.
    fn references(&self) -> Option<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/references.py");
        let output = Command::new(services::python()?)
            .arg("-B")
            .arg(script)
            .args(self.place.reader(self.scene.path()))
            .arg(&self.table)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }
}

/// Read, compare, name, go back, go on.
fn lives(case: &Case) {
    case.load("a", "id,name\n1,a\n2,b\n3,c\n");
    case.load("b", "id,name\n4,d\n");
    let history = case.history();
    assert_eq!(history.len(), 2);
    let (newest, first) = (&history[0], &history[1]);
    let counts = |snapshot: &Value| (snapshot["added"].as_u64(), snapshot["rows"].as_u64());
    assert_eq!(counts(newest), (Some(1), Some(4)));
    assert_eq!(counts(first), (Some(3), Some(3)));
    assert_eq!(newest["pipeline"], "d/p");
    assert_eq!(newest["refs"][0]["name"], "main");
    let id = first["snapshot"].to_string();
    let committed = first["committed"].as_str().unwrap();

    let tag = ["tag", &case.table, "begin", "--at", &id, "--keep", "30d"];
    assert!(case.scene.good(&tag).contains(&id));
    case.scene.good(&tag);
    for at in [id.as_str(), "begin", committed] {
        assert_eq!(case.ids(&["--at", at]), "1 2 3", "{at}");
    }
    let one = format!("{}=begin", case.table);
    assert_eq!(case.ids(&["--at", &one]), "1 2 3");
    assert_eq!(case.ids(&[]), "1 2 3 4");
    assert_eq!(case.diff(&["begin", "main"]), ["added,4,d"]);
    assert_eq!(
        case.diff(&["main", "begin", "--key", "id"]),
        ["removed,4,d"]
    );
    assert!(case.diff(&["begin", &id]).is_empty());
    if let Some(seen) = case.references() {
        assert_eq!(seen["begin"]["kind"], "tag");
        assert_eq!(seen["begin"]["keep_ms"], 30 * 86_400_000_u64);
        assert_eq!(
            (&seen["begin"]["rows"], &seen["main"]["rows"]),
            (&3.into(), &4.into())
        );
    }

    let dry = ["rollback", &case.table, "--to", "begin", "--dry-run"];
    let told = case.scene.good(&dry);
    assert!(told.contains("would go back"), "{told}");
    assert!(
        told.contains("the next run of d/p reads rows from 1 file; it had read to 2 files"),
        "{told}"
    );
    assert_eq!(case.ids(&[]), "1 2 3 4");
    case.rollback("begin");
    assert!(case.rollback("begin").contains("already"));
    assert_eq!(case.ids(&[]), "1 2 3");
    let left = newest["snapshot"].to_string();
    assert_eq!(
        case.ids(&["--at", &left]),
        "1 2 3 4",
        "what was left can be read"
    );
    if let Some(seen) = case.references() {
        assert_eq!(seen["main"]["snapshot"].to_string(), id);
    }
    case.run();
    assert_eq!(case.ids(&[]), "1 2 3 4");
    case.run();
    case.load("c", "id,name\n5,e\n");
    assert_eq!(case.ids(&[]), "1 2 3 4 5");
    let lineage = case
        .history()
        .into_iter()
        .map(|snapshot| snapshot["in_lineage"] == true);
    assert_eq!(lineage.collect::<Vec<_>>(), [true, true, false, true]);

    case.scene.good(&["tag", &case.table, "--delete", "begin"]);
    if let Some(seen) = case.references() {
        assert_eq!(seen.as_object().unwrap().len(), 1, "{seen}");
        assert_eq!(seen["main"]["rows"], 5);
    }
}

#[test]
fn on_the_embedded_catalog() {
    lives(&Case::embedded());
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    let Some(case) = Case::rest() else { return };
    lives(&case);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let case = Case::embedded();
    case.load("a", "id,name\n1,a\n");
    let scene = &case.scene;
    scene.good(&["tag", "d.t", "begin"]);
    case.load("b", "id,name\n2,b\n");
    let told = |code, arguments: &[&str], wanted: &str| {
        let told = scene.bad(code, arguments);
        assert!(told.contains(wanted), "{told}");
    };
    told(1, &["history", "d.tt"], "did you mean `d.t`?");
    told(2, &["history", "t"], "write `namespace.table`");
    let sql = "SELECT * FROM d.t";
    told(1, &["query", sql, "--at", "begn"], "it has `begin`, `main`");
    told(1, &["query", sql, "--at", "77"], "no snapshot 77");
    told(
        1,
        &["query", sql, "--at", "2001-01-01"],
        "begins later, at 20",
    );
    told(
        1,
        &["query", sql, "--at", "d.x=main"],
        "reads no table `d.x`",
    );
    told(
        1,
        &["query", sql, "--at", "main", "--at", "begin"],
        "two moments",
    );
    told(
        1,
        &["diff", "d.t", "begin", "main", "--key", "idd"],
        "they have id, name",
    );
    told(
        1,
        &["rollback", "d.t", "--to", "nowhere"],
        "it has `begin`, `main`",
    );
    told(2, &["tag", "d.t", "main"], "`main` is the table itself");
    told(2, &["tag", "d.t", "2026-01-01"], "starts with a letter");
    told(4, &["tag", "d.t", "begin"], "`--replace` moves it");
    scene.good(&["tag", "d.t", "begin", "--replace"]);
    assert_eq!(case.ids(&["--at", "begin"]), "1 2");
    told(1, &["tag", "d.t", "--delete", "end"], "it has `begin`");
    let list = scene.good(&["tag", "d.t", "--list"]);
    assert!(list.contains("begin") && list.contains("branch"), "{list}");
    let history = scene.good(&["history", "d.t"]);
    let widths: Vec<usize> = history
        .lines()
        .map(|line| line.find("d/p").unwrap_or(0))
        .collect();
    assert_eq!(widths[1], widths[2], "columns line up\n{history}");
}

#[test]
fn changed_rows_are_known_by_their_key_and_equal_rows_are_counted() {
    let load = "  - name: publish\n    load: { from: rows, table: d.t, mode: replace }\n";
    let case = Case::new(Place::embedded(), "d", load);
    let full = "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  - name: rows\n    extract: { connection: files, table: '*.csv' }\n";
    case.scene
        .write("pipelines/p.yaml", &format!("{full}{load}"));
    case.load("a", "id,name\n1,a\n2,b\n3,\n4,d\n5,e\n5,e\n5,e\n");
    case.load("a", "id,name,more\n1,a,\n2,B,x\n3,,\n5,e,\n6,f,\n,g,\n");
    let first = case.history()[1]["snapshot"].to_string();
    let by_key = case.diff(&[&first, "main", "--key", "id"]);
    assert_eq!(
        by_key,
        [
            "before,2,b,",
            "after,2,B,x",
            "removed,4,d,",
            "removed,5,e,",
            "removed,5,e,",
            "added,6,f,",
            "added,,g,"
        ]
    );
    let mut whole = case.diff(&[&first, "main"]);
    whole.sort();
    assert_eq!(
        whole,
        [
            "added,,g,",
            "added,2,B,x",
            "added,6,f,",
            "removed,2,b,",
            "removed,4,d,",
            "removed,5,e,",
            "removed,5,e,"
        ]
    );
    let told = case
        .scene
        .good(&["diff", "d.t", &first, "main", "--key", "id", "--limit", "2"]);
    assert!(
        told.contains("2 rows added, 3 rows removed, 1 row changed"),
        "{told}"
    );
    assert!(told.contains("new: more"), "{told}");
    let out = case.scene.path().join("changes.parquet");
    case.scene.good(&[
        "diff",
        "d.t",
        &first,
        "main",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(fs::metadata(out).unwrap().len() > 0);

    // The columns stay when the rows go back; who reads them sees both.
    let told = case.rollback(&first);
    assert!(told.contains("newer ones are NULL"), "{told}");
    let sql = "SELECT count(*), count(more), sum(id) FROM d.t WHERE more IS NULL";
    assert_eq!(case.scene.query(sql), ["7,0,25"]);
    case.scene.readers_agree();
}

#[test]
fn files_of_both_snapshots_are_not_read() {
    let case = Case::embedded();
    case.load("a", "id,name\n1,a\n2,b\n");
    let shared = parquet_files(&case.scene.path().join("lake/warehouse"));
    case.load("b", "id,name\n3,c\n");
    let first = case.history()[1]["snapshot"].to_string();
    for file in shared {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(case.diff(&[&first, "main"]), ["added,3,c"]);
    let told = case.scene.good(&["diff", "d.t", &first, "main"]);
    assert!(told.contains("1 read, 1 in both not read"), "{told}");
    case.scene.bad(1, &["query", "SELECT * FROM d.t"]);
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|end| end == "parquet") {
            found.push(path);
        }
    }
    found
}

#[test]
fn tables_of_one_pipeline_go_back_together() {
    let loads = "  - name: one\n    load: { from: rows, table: d.t, mode: append }\n  \
                 - name: other\n    load: { from: rows, table: d.u, mode: append }\n";
    let case = Case::new(Place::embedded(), "d", loads);
    case.load("a", "id,name\n1,a\n");
    case.load("b", "id,name\n2,b\n");
    let first = case.history()[1]["snapshot"].to_string();
    let told = case.rollback(&first);
    let help = "help: to forget them there too: lakewright rollback d.u --to ";
    let (_, snapshot) = told.split_once(help).unwrap_or_else(|| panic!("{told}"));
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(plan.contains("it has what the others get now"), "{plan}");
    let snapshot = snapshot.lines().next().unwrap();
    let told = case.scene.good(&["rollback", "d.u", "--to", snapshot]);
    assert!(!told.contains("ahead"), "{told}");
    case.run();
    let both_have_all = || {
        for table in ["d.t", "d.u"] {
            let sql = format!("SELECT id FROM {table} ORDER BY id");
            assert_eq!(case.scene.query(&sql), ["1", "2"], "{table}");
        }
    };
    both_have_all();
    // One that goes back alone gets its rows again, and the other does not.
    case.rollback(&first);
    case.run();
    both_have_all();
    case.run();
    both_have_all();
}

/// A project of eight tables whose third run was killed when some of them were committed, and not all.
fn half_committed() -> Case {
    const TRIES: usize = 10;
    let mut loads = String::new();
    for load in 0..8 {
        let _ = writeln!(
            loads,
            "  - name: l{load}\n    load: {{ from: rows, table: d.t{load}, mode: append }}"
        );
    }
    loads.push_str("publish: { tables: one_by_one }\n");
    for _ in 0..TRIES {
        let case = Case::new(Place::embedded(), "d", &loads);
        case.load("a", "id,name\n1,a\n");
        case.load("b", "id,name\n2,b\n");
        case.scene.write("data/c.csv", "id,name\n3,c\n");
        let mut child = case.scene.start(&["run", "d/p"]);
        let told = BufReader::new(child.stderr.take().unwrap());
        let begun = told.lines().any(|line| line.unwrap().contains("committed"));
        assert!(begun, "nothing was committed");
        child.kill().unwrap();
        child.wait().unwrap();
        let counts =
            (0..8).map(|load| case.scene.query(&format!("SELECT count(*) FROM d.t{load}")));
        if counts.flatten().any(|count| count == "2") {
            return case;
        }
    }
    panic!("the kill came too late {TRIES} times");
}

#[test]
fn a_run_to_be_finished_goes_on_from_where_the_table_went_back_to_or_the_table_stays() {
    let mut case = half_committed();
    let committed = (0..8).map(|load| format!("d.t{load}")).find(|table| {
        case.table.clone_from(table);
        case.history().len() == 3
    });
    case.table = committed.unwrap();
    let history = case.history();
    let (before, first) = (&history[1]["snapshot"], &history[2]["snapshot"]);
    let too_far = ["rollback", &case.table, "--to", &first.to_string()];
    let told = case.scene.bad(4, &too_far);
    assert!(
        told.contains("was interrupted") && told.contains("runs abandon"),
        "{told}"
    );
    case.rollback(&before.to_string());
    case.run();
    for load in 0..8 {
        let sql = format!("SELECT id FROM d.t{load} ORDER BY id");
        assert_eq!(case.scene.query(&sql), ["1", "2", "3"], "d.t{load}");
    }
}

fn ids(range: std::ops::Range<i64>) -> RecordBatch {
    let ids: Int64Array = range.map(Some).collect();
    RecordBatch::try_from_iter([("id", Arc::new(ids) as ArrayRef)]).unwrap()
}

async fn append(lake: &Lake, id: &TableId, run: &str, rows: RecordBatch) -> i64 {
    let request = StageRequest::new(id.clone(), WriteMode::Append, rows.schema());
    let stage = lake.stage(request).await.unwrap();
    let mut writer = stage.writer().unwrap();
    writer.write(&rows).await.unwrap();
    let written = writer.finish().await.unwrap();
    let stamp = Stamp {
        run: run.to_owned(),
        pipeline: "d/p".to_owned(),
        fingerprint: "f00d".to_owned(),
        watermarks: std::collections::BTreeMap::new(),
        now_ms: 1_750_000_000_000,
        fence: None,
    };
    let committed = stage.staged(vec![written]).commit(&stamp).await.unwrap();
    committed.snapshot_id
}

/// Whoever is first has it: a rollback that succeeds was before every append, one that does not changed nothing.
async fn race(lake: Lake, namespace: &str) {
    let id = TableId::new(namespace, "raced");
    let to = append(&lake, &id, "one", ids(0..10)).await;
    let from = append(&lake, &id, "two", ids(10..20)).await;
    let mut tasks = JoinSet::new();
    for writer in 0..4 {
        let (lake, id) = (lake.clone(), id.clone());
        tasks.spawn(async move {
            append(&lake, &id, &format!("writer-{writer}"), ids(100..110)).await;
        });
    }
    let went_back = lake.roll_back(&id, from, to, &[]).await;
    tasks.join_all().await;
    let rows = lake.table(&id).await.unwrap().unwrap().rows();
    match went_back {
        Ok(()) => assert_eq!(rows, Some(50)),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert_eq!(rows, Some(60));
        }
    }
    let now = lake.table(&id).await.unwrap().unwrap().snapshot_id();
    let again = lake.roll_back(&id, from, to, &[]).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(lake.table(&id).await.unwrap().unwrap().snapshot_id(), now);
}

#[tokio::test]
async fn a_rollback_and_commits_at_the_same_time_agree_on_who_was_first() {
    let folder = TempDir::new().unwrap();
    race(Place::embedded().open(folder.path()), "d").await;
    let Some(place) = Place::rest() else { return };
    race(place.open(folder.path()), &services::fresh_schema()).await;
}
