//! Write, audit, publish: rows wait on a branch of each table until what is expected of it holds there.

use std::path::Path;
use std::process::{Command, Stdio};

use run::lake::{ExpiryRules, TableId};
use serde_json::Value;

use crate::database::Database;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

const CHECK_FAILED: i32 = 5;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// The table shrinks by a fifth at most.
const NOT_SHRUNK: &str =
    "[{ name: not shrunk, expect: count(*) > 0.8 * previous(count(*)), otherwise: fail }]";

/// A project whose pipeline `d/p` loads `data/rows.csv`.
pub(crate) struct Case {
    pub(crate) scene: Scene,
    place: Place,
    pub(crate) namespace: String,
}

impl Case {
    /// `loads` read `rows`; `NS` in them stands for the namespace.
    pub(crate) fn new(place: Place, publish: &str, loads: &str) -> Self {
        let scene = Scene::empty();
        let namespace = services::fresh_schema();
        let lake = place.spec(&scene);
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {{ sqlite: {{ path: lake/state.db }} }}\n"
            ),
        );
        let case = Self {
            scene,
            place,
            namespace,
        };
        case.says(publish, loads);
        case
    }

    /// A project on the embedded lake of this one.
    pub(crate) fn beside(&self, publish: &str, loads: &str) -> Self {
        let scene = Scene::empty();
        let lake = self.scene.path().join("lake");
        let lake = lake.display();
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake:\n  \
                 catalog: {{ sqlite: {{ path: \"{lake}/catalog.db\" }} }}\n  \
                 warehouse: {{ local: {{ path: \"{lake}/warehouse\" }} }}\n\
                 state: {{ sqlite: {{ path: lake/state.db }} }}\n"
            ),
        );
        let case = Self {
            scene,
            place: Place::embedded(),
            namespace: self.namespace.clone(),
        };
        case.says(publish, loads);
        case
    }

    pub(crate) fn says(&self, publish: &str, loads: &str) {
        let namespace = &self.namespace;
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        self.scene.write("domain.yaml", &domain);
        self.scene.write("connections/files.yaml", FILES);
        let loads = loads.replace("NS", namespace);
        let pipeline = format!(
            "kind: Pipeline\nname: p\ndomain: d\nretry: {{ attempts: 1 }}\npublish: {publish}\nsteps:\n  \
             - {{ name: rows, extract: {{ connection: files, table: rows.csv }} }}\n{loads}"
        );
        self.scene.write("pipelines/p.yaml", &pipeline);
    }

    /// The rows with these ids come, each with the value `v`.
    pub(crate) fn rows(&self, ids: std::ops::Range<u64>, v: u64) {
        let rows: Vec<String> = ids.map(|id| format!("{id},{v}\n")).collect();
        let file = format!("id,v\n{}", rows.concat());
        self.scene.write("data/rows.csv", &file);
    }

    pub(crate) fn run(&self) -> String {
        self.scene.good(&["run", "d/p"])
    }

    /// Runs with something going wrong, and says whether it ended well, and what it told.
    pub(crate) fn run_with(&self, script: &str) -> (bool, String) {
        let output = services::lakewright()
            .args(["run", "d/p"])
            .env("LAKEWRIGHT_FAILPOINTS", script)
            .current_dir(self.scene.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), told)
    }

    /// How many rows a table has, and the sum of their values.
    pub(crate) fn sum(&self, table: &str, at: &[&str]) -> String {
        let sql = format!("SELECT count(*), sum(v) FROM {}.{table}", self.namespace);
        let arguments = [&["query", "--format", "csv", &sql], at].concat();
        let told = self.scene.good(&arguments);
        told.lines().nth(1).unwrap().to_owned()
    }

    /// The names of the branches of a table that wait for an audit, or have failed one.
    pub(crate) fn branches(&self, table: &str) -> Vec<String> {
        let table = format!("{}.{table}", self.namespace);
        let history = self.scene.good(&["history", &table, "--format", "json"]);
        let snapshots: Value = serde_json::from_str(&history).unwrap();
        let snapshots = snapshots.as_array().unwrap().iter();
        let names = snapshots.flat_map(|snapshot| snapshot["refs"].as_array().unwrap());
        let names = names.map(|name| name["name"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("audit-")).collect()
    }

    pub(crate) fn only_branch(&self, table: &str) -> String {
        let mut branches = self.branches(table);
        assert_eq!(branches.len(), 1, "{branches:?}");
        branches.remove(0)
    }

    /// What `PyIceberg` sees of the references of a table.
    pub(crate) fn references(&self, table: &str) -> Option<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/references.py");
        let output = Command::new(services::python()?)
            .arg("-B")
            .arg(script)
            .args(self.place.reader(self.scene.path()))
            .arg(format!("{}.{table}", self.namespace))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }

    pub(crate) fn readers_agree(&self) {
        self.scene
            .readers_agree_at(&self.place, &[&self.namespace], &[]);
    }
}

/// A load of `rows` into a table, in this mode and with these expectations.
pub(crate) fn load(table: &str, mode: &str, audit: &str) -> String {
    format!(
        "  - {{ name: {table}, load: {{ from: rows, table: NS.{table}, mode: {mode}, audit: {audit} }} }}\n"
    )
}

/// Bad rows come to a table that is there: no reader sees them, until somebody asks for the branch.
fn bad_rows_stay_on_their_branch(place: Place) {
    let case = Case::new(place, "{ mode: audit }", &load("t", "replace", NOT_SHRUNK));
    case.rows(0..10, 1);
    case.run();
    assert_eq!(
        case.sum("t", &[]),
        "10,10",
        "the first load has nothing to compare with"
    );
    assert!(case.branches("t").is_empty());
    case.rows(0..9, 2);
    case.run();
    assert_eq!(case.sum("t", &[]), "9,18");
    assert!(case.branches("t").is_empty());

    case.rows(0..5, 3);
    let told = case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    let branch = case.only_branch("t");
    let command = format!(
        "lakewright query 'SELECT * FROM {}.t' --at {branch}",
        case.namespace
    );
    for part in ["`not shrunk`", "previous(count(*))", &command] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert_eq!(case.sum("t", &[]), "9,18");
    assert_eq!(case.sum("t", &["--at", &branch]), "5,15");
    let table = format!("{}.t", case.namespace);
    let diff = ["diff", &table, "main", &branch, "--format", "csv"];
    let diff = case.scene.good(&diff);
    assert_eq!(diff.matches("removed").count(), 9, "{diff}");
    assert_eq!(diff.matches("added").count(), 5, "{diff}");
    if let Some(seen) = case.references("t") {
        assert_eq!(seen["main"]["rows"], 9, "{seen}");
        assert_eq!(seen[&branch]["rows"], 5, "{seen}");
        assert_eq!(seen[&branch]["kind"], "branch", "{seen}");
        assert_eq!(seen[&branch]["keep_ms"], 7 * DAY_MS, "{seen}");
    }
    case.readers_agree();

    // The next run takes the place of the one that failed, whether it fails or not.
    case.rows(0..6, 4);
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    let next = case.only_branch("t");
    assert_ne!(next, branch);
    assert_eq!(case.sum("t", &["--at", &next]), "6,24");
    assert_eq!(case.sum("t", &[]), "9,18");
    case.rows(0..20, 5);
    case.run();
    assert_eq!(case.sum("t", &[]), "20,100");
    assert!(case.branches("t").is_empty());
    if let Some(seen) = case.references("t") {
        assert_eq!(seen.as_object().unwrap().len(), 1, "{seen}");
    }
    case.readers_agree();
}

#[test]
fn bad_rows_stay_on_their_branch_in_sqlite() {
    bad_rows_stay_on_their_branch(Place::embedded());
}

#[test]
fn bad_rows_stay_on_their_branch_in_postgres() {
    if let Some(database) = Database::new("") {
        bad_rows_stay_on_their_branch(Place::postgres(database.url()));
    }
}

#[test]
fn bad_rows_stay_on_their_branch_behind_rest() {
    if let Some(place) = Place::rest() {
        bad_rows_stay_on_their_branch(place);
    }
}

/// A table that is not there is made without rows for readers.
fn a_first_load_is_audited(place: Place) {
    let audit = "[{ name: enough, expect: count(*) > 5, otherwise: fail }]";
    let case = Case::new(place, "{ mode: audit }", &load("t", "append", audit));
    case.rows(0..3, 1);
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    let branch = case.only_branch("t");
    assert_eq!(case.sum("t", &[]), "0,");
    assert_eq!(case.sum("t", &["--at", &branch]), "3,3");
    if let Some(seen) = case.references("t") {
        assert!(seen.get("main").is_none(), "{seen}");
        assert_eq!(seen[&branch]["rows"], 3, "{seen}");
    }
    case.rows(0..6, 1);
    case.run();
    assert_eq!(
        case.sum("t", &[]),
        "6,6",
        "no row of the run that failed is there"
    );
    assert!(case.branches("t").is_empty());
    case.readers_agree();
}

#[test]
fn a_first_load_is_audited_in_sqlite() {
    a_first_load_is_audited(Place::embedded());
}

#[test]
fn a_first_load_is_audited_behind_rest() {
    if let Some(place) = Place::rest() {
        a_first_load_is_audited(place);
    }
}

#[test]
fn a_warning_is_told_and_publishes() {
    let audit = "[{ name: grows, expect: count(*) > previous(count(*)), otherwise: warn }]";
    let case = Case::new(
        Place::embedded(),
        "{ mode: audit }",
        &load("t", "replace", audit),
    );
    case.rows(0..10, 1);
    let told = |case: &Case| {
        let output = case.scene.run(&["run", "d/p"]);
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(
        !told(&case).contains("grows"),
        "NULL holds on the first load"
    );
    case.rows(0..9, 1);
    let warned = told(&case);
    assert!(warned.contains("grows"), "{warned}");
    assert_eq!(case.sum("t", &[]), "9,9");
    let runs: Value =
        serde_json::from_str(&case.scene.good(&["runs", "--format", "json"])).unwrap();
    let checks = runs.to_string();
    assert!(checks.contains("grows"), "the log knows it, too: {checks}");
}

#[test]
fn null_is_not_as_expected_once_there_is_something_to_compare_with() {
    let audit = "[{ name: grows, expect: max(v) FILTER (WHERE v > 6) >= previous(max(v)), otherwise: fail }]";
    let case = Case::new(
        Place::embedded(),
        "{ mode: audit }",
        &load("t", "replace", audit),
    );
    case.rows(0..3, 5);
    case.run();
    case.rows(0..3, 7);
    case.run();
    case.rows(0..3, 6);
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert_eq!(case.sum("t", &[]), "3,21");
}

#[test]
fn columns_that_a_failed_audit_brought_are_not_seen() {
    let audit =
        "[{ name: known, expect: 'sum(w) > 10 and previous(sum(w)) is null', otherwise: fail }]";
    let renamed = load("t", "append", audit).replace("mode:", "renamed_from: { w: v }, mode:");
    let case = Case::new(
        Place::embedded(),
        "{ mode: direct }",
        "  - { name: t, load: { from: rows, table: NS.t, mode: append } }\n",
    );
    case.rows(0..3, 1);
    case.run();
    let columns = |case: &Case, at: &[&str]| {
        let sql = format!("SELECT * FROM {}.t ORDER BY id", case.namespace);
        let told = case
            .scene
            .good(&[&["query", "--format", "csv", &sql], at].concat());
        told.lines().next().unwrap().to_owned()
    };
    let added = load("t", "append", audit);
    case.says("{ mode: audit }", &added);
    case.scene.write("data/rows.csv", "id,v,w\n3,1,1\n");
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert_eq!(columns(&case, &[]), "id,v");
    let branch = case.only_branch("t");
    assert_eq!(columns(&case, &["--at", &branch]), "id,v,w");
    case.readers_agree();
    case.scene.write("data/rows.csv", "id,v,w\n3,1,11\n");
    case.run();
    assert_eq!(columns(&case, &[]), "id,v,w");
    assert_eq!(case.sum("t", &[]), "4,4");
    case.readers_agree();
    // What was before is known under the name that the column gets.
    let audit = "[{ name: known, expect: sum(x) = previous(sum(x)) + 5, otherwise: fail }]";
    let renamed = renamed.replace("{ w: v }", "{ x: v }");
    let at = renamed.find("audit:").unwrap();
    case.says(
        "{ mode: audit }",
        &format!("{}audit: {audit} }} }}\n", &renamed[..at]),
    );
    case.scene.write("data/rows.csv", "id,x,w\n5,6,1\n");
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert_eq!(columns(&case, &[]), "id,v,w");
    case.scene.write("data/rows.csv", "id,x,w\n5,5,1\n");
    case.run();
    assert_eq!(columns(&case, &[]), "id,x,w");
    case.readers_agree();
}

#[test]
fn sql_that_means_nothing_is_told_with_its_place_before_anything_is_read() {
    let audit = "[{ name: a, expect: count(*) > previous(sum(nope)), otherwise: fail }]";
    let case = Case::new(
        Place::embedded(),
        "{ mode: audit }",
        &load("t", "append", audit),
    );
    case.rows(0..3, 7);
    let told = case.scene.run(&["plan", "d/p"]);
    let told =
        String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    for part in ["unknown-column", "p.yaml:8:", "`nope`"] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let line = told.lines().find(|line| line.contains('^')).unwrap();
    let text = told
        .lines()
        .find(|line| line.contains("sum(nope)"))
        .unwrap();
    assert_eq!(line.find('^'), text.find("nope"), "{told}");
}

#[test]
fn the_plan_says_what_is_audited_and_where() {
    let case = Case::new(
        Place::embedded(),
        "{ mode: audit }",
        &load("t", "replace", NOT_SHRUNK),
    );
    case.rows(0..3, 7);
    let plan = case.scene.good(&["plan", "d/p"]);
    for part in [
        "count(*) > 0.8 * previous(count(*)), or fail  (not shrunk",
        "on branch audit-<run> first",
    ] {
        assert!(plan.contains(part), "{part}\n{plan}");
    }
}

#[test]
fn branches_that_failed_stay_while_they_are_young_and_then_expire() {
    let case = Case::new(
        Place::embedded(),
        "{ mode: audit }",
        &load("t", "replace", NOT_SHRUNK),
    );
    let project = std::fs::read_to_string(case.scene.path().join("project.yaml")).unwrap();
    let maintenance = "maintenance: { expire: { older_than: 1ms, keep: 1 } }\n";
    case.scene
        .write("project.yaml", &format!("{project}{maintenance}"));
    case.rows(0..10, 1);
    case.run();
    case.rows(0..2, 1);
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    case.scene.good(&["maintain"]);
    let branch = case.only_branch("t");
    assert_eq!(case.sum("t", &["--at", &branch]), "2,2");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let expire = async |days: i64| {
        let lake = case.place.open(case.scene.path());
        let table = TableId::new(&case.namespace, "t");
        let found = lake.table(&table).await.unwrap().unwrap();
        let of_branch = found.moment(&branch.parse().unwrap()).unwrap();
        let now_ms = of_branch.committed.timestamp_millis() + days * DAY_MS;
        let rules = ExpiryRules {
            before_ms: now_ms,
            keep: 1,
            now_ms,
        };
        lake.expire(&table, rules, false).await.unwrap()
    };
    assert!(runtime.block_on(expire(6)).references.is_empty());
    let gone = runtime.block_on(expire(8));
    assert_eq!((gone.references, gone.snapshots), (vec![branch.clone()], 1));
    assert_eq!(case.sum("t", &[]), "10,10");
    case.readers_agree();
}
