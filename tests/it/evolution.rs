//! Tables that change with the rows that are loaded into them: columns renamed, dropped, relaxed and put in order; files
//! cut and sorted in another way. Every reader follows, and earlier snapshots stay what they were.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use run::lake::{Lake, StageRequest, Stamp, TableId, WriteMode};
use serde_json::{Value, json};

use crate::database::Database;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

pub(crate) const BY_ID: &str = "mode: { merge: { key: [id] } }";
pub(crate) const WRITES: [&str; 2] = ["copy_on_write", "merge_on_read"];

/// A project whose pipeline `d/p` loads `data/rows.csv` into `NAMESPACE.t`.
pub(crate) struct Case {
    pub(crate) scene: Scene,
    pub(crate) place: Place,
    pub(crate) namespace: String,
}

impl Case {
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
        }
    }

    pub(crate) fn embedded() -> Self {
        Self::new(Place::embedded(), "d")
    }

    /// Writes the pipeline, and rows with these columns, `id: long, name: string`; rows stand with spaces between.
    pub(crate) fn says(&self, columns: &str, how: &str, rows: &str) {
        let spec = format!(
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
             - name: rows\n    extract: {{ connection: files, table: rows.csv, options: {{ schema: {{ {columns} }} }} }}\n  \
             - name: publish\n    load: {{ from: rows, table: {}.t, {how} }}\n",
            self.namespace
        );
        self.scene.write("p.yaml", &spec);
        let names = columns
            .split(',')
            .filter_map(|column| column.split(':').next());
        let header = names.map(str::trim).collect::<Vec<_>>().join(",");
        let lines = std::iter::once(header.as_str()).chain(rows.split_whitespace());
        let file = lines.collect::<Vec<_>>().join("\n") + "\n";
        self.scene.write("data/rows.csv", &file);
    }

    pub(crate) fn load(&self, columns: &str, how: &str, rows: &str) -> String {
        self.says(columns, how, rows);
        self.scene.good(&["run", "d/p"])
    }

    /// What `plan` says becomes of the table.
    pub(crate) fn plan(&self) -> Value {
        let plan = self.scene.good(&["plan", "d/p", "--format", "json"]);
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let steps = plan["steps"].as_array().unwrap();
        steps[1]["action"]["load"]["change"].clone()
    }

    /// A load that is refused: by `plan` already where it can be under no circumstances. What it said.
    pub(crate) fn refused(&self, columns: &str, how: &str, rows: &str) -> String {
        self.ends_with(1, columns, how, rows)
    }

    /// What a run says that ends with this code, and has committed nothing.
    pub(crate) fn ends_with(&self, code: i32, columns: &str, how: &str, rows: &str) -> String {
        self.says(columns, how, rows);
        let before = self.snapshots();
        let told = self.scene.bad(code, &["run", "d/p"]);
        assert_eq!(self.snapshots(), before, "nothing was committed");
        told
    }

    pub(crate) fn rows(&self) -> Vec<String> {
        let sql = format!("SELECT * FROM {}.t ORDER BY id", self.namespace);
        self.scene.query(&sql)
    }

    /// The table has these rows, for every reader.
    pub(crate) fn holds(&self, rows: &str) {
        assert_eq!(self.rows(), rows.split_whitespace().collect::<Vec<_>>());
        self.scene
            .readers_agree_at(&self.place, &[&self.namespace], &[]);
    }

    /// The rows of a snapshot, and its columns first.
    pub(crate) fn at(&self, snapshot: &str) -> String {
        let sql = format!("SELECT * FROM {}.t ORDER BY id", self.namespace);
        let command = ["query", "--format", "csv", &sql, "--at", snapshot];
        self.scene.good(&command).trim().replace('\n', " ")
    }

    /// The snapshots, the newest first.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let table = format!("{}.t", self.namespace);
        let told = self.scene.good(&["history", &table, "--format", "json"]);
        let told: Vec<Value> = serde_json::from_str(&told).unwrap();
        told.iter().map(|one| one["snapshot"].to_string()).collect()
    }

    /// What the newest snapshot changed.
    pub(crate) fn diff(&self) -> String {
        let (table, snapshots) = (format!("{}.t", self.namespace), self.snapshots());
        let command = ["diff", &table, &snapshots[1], "main", "--format", "csv"];
        self.scene.good(&command).trim().replace('\n', " ")
    }

    /// What `PyIceberg` sees of the table besides its rows.
    pub(crate) fn layout(&self) -> Option<Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/layout.py");
        let output = Command::new(services::python()?)
            .arg("-B")
            .arg(script)
            .args(self.place.reader(self.scene.path()))
            .arg(format!("{}.t", self.namespace))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }

    /// `PyIceberg` sees this part of the layout.
    pub(crate) fn is_seen(&self, part: &str, expected: &Value) {
        if let Some(layout) = self.layout() {
            assert_eq!(layout[part], *expected, "{part}");
        }
    }

    pub(crate) fn lake(&self) -> Lake {
        self.place.open(self.scene.path())
    }

    /// The data files in the folder of the project.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let mut folders = vec![self.scene.path().join("lake/warehouse")];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "parquet") {
                    found.insert(path);
                }
            }
        }
        found
    }
}

pub(crate) fn stamp(run: &str) -> Stamp {
    Stamp {
        run: run.to_owned(),
        pipeline: "d/other".to_owned(),
        fingerprint: String::new(),
        watermarks: [].into(),
        now_ms: 1_750_000_000_000,
        fence: None,
    }
}

/// A table that another pipeline made, whose columns `id` and `name` are never NULL.
async fn required(case: &Case) {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8, false),
    ]);
    let (schema, names) = (Arc::new(schema), StringArray::from(vec!["a"]));
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1])), Arc::new(names)];
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let request = StageRequest::new(TableId::new("d", "t"), WriteMode::Append, schema);
    let lake = case.lake();
    let stage = lake.stage(request).await.unwrap();
    let mut writer = stage.writer().unwrap();
    writer.write(&rows).await.unwrap();
    let written = writer.finish().await.unwrap();
    let staged = stage.staged(vec![written]);
    staged.commit(&stamp("made")).await.unwrap();
    lake.close().await;
}

const RENAMED: &str = "renamed_from: { ward_code: ward_id, label: name }";

/// The life of a table: what it was partitioned by is renamed and widened, dropped and added again under its old name, and
/// its files are cut and sorted in another way, each with rows that come, change and go.
fn lives(case: &Case) {
    let by = |write: &str, more: &str| {
        format!("mode: {{ merge: {{ key: [id], write: {write} }} }}, {more}")
    };
    let old = "id: long, ward_id: int, name: string";
    case.load(old, "mode: append, partition_by: [ward_id]", "1,7,a 2,8,b");
    case.is_seen("partitions", &json!(["identity ward_id"]));

    let new = "id: long, ward_code: long, label: string";
    let how = by("merge_on_read", RENAMED) + ", partition_by: [ward_code]";
    case.says(new, &how, "1,7,A 3,9,c");
    let change = case.plan();
    assert_eq!(change["evolve"].as_array().unwrap().len(), 3, "{change}");
    case.load(new, &how, "1,7,A 3,9,c");
    case.holds("1,7,A 2,8,b 3,9,c");
    case.is_seen(
        "columns",
        &json!([
            [1, "id", "long", false],
            [2, "ward_code", "long", false],
            [3, "label", "string", false]
        ]),
    );
    case.is_seen("partitions", &json!(["identity ward_code"]));
    assert_eq!(
        case.diff(),
        "_change,id,ward_code,label before,1,7,a after,1,7,A added,3,9,c"
    );

    let cut = "on_schema_change: { drop: accept, partition: accept }";
    let how = format!("{cut}, partition_by: ['bucket(4, id)'], sort_by: [id]");
    case.load(
        "id: long, ward_code: long",
        &by("copy_on_write", &how),
        "2,80 4,10",
    );
    case.holds("1,7 2,80 3,9 4,10");
    case.is_seen("partitions", &json!(["bucket[4] id"]));
    case.is_seen("order", &json!(["id ASC"]));

    // Another column of the old name; what the first one held stays gone.
    let how = by("merge_on_read", "partition_by: ['bucket(4, id)']");
    case.load(new, &how, "1,70,new 2,80,");
    case.holds("1,70,new 2,80, 3,9, 4,10,");
    case.is_seen(
        "columns",
        &json!([
            [1, "id", "long", false],
            [2, "ward_code", "long", false],
            [4, "label", "string", false]
        ]),
    );

    let first = case.snapshots().pop().unwrap();
    assert_eq!(case.at(&first), "id,ward_id,name 1,7,a 2,8,b");
    case.load(new, "mode: replace", "5,5,e");
    case.holds("5,5,e");
    assert_eq!(case.at(&first), "id,ward_id,name 1,7,a 2,8,b");
}

#[test]
fn on_the_embedded_catalog() {
    lives(&Case::embedded());
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        lives(&Case::new(place, &services::fresh_schema()));
    }
}

#[test]
fn on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        lives(&Case::new(Place::postgres(catalog.url()), "d"));
    }
}

#[test]
fn a_rename_that_was_done_may_stay_written() {
    let case = Case::embedded();
    let how = "mode: append, renamed_from: { b: a }";
    // Neither is there: the column is new. Then the rows still have the old name: there is nothing to do yet.
    case.load("id: long, b: long", how, "1,1");
    case.holds("1,1");
    let case = Case::embedded();
    for (columns, rows) in [
        ("id: long, a: long", "1,1"),
        ("id: long, a: long", "2,2"),
        ("id: long, b: long", "3,3"),
        ("id: long, b: long", "4,4"),
    ] {
        case.load(columns, how, rows);
    }
    case.holds("1,1 2,2 3,3 4,4");
    assert_eq!(case.plan(), json!("unchanged"));
    let columns = json!([[1, "id", "long", false], [2, "b", "long", false]]);
    case.is_seen("columns", &columns);
    // And back again, to columns that the table had before.
    case.load(
        "id: long, a: long",
        "mode: append, renamed_from: { a: b }",
        "5,5",
    );
    case.holds("1,1 2,2 3,3 4,4 5,5");
    let snapshots = case.snapshots();
    assert_eq!(case.at(&snapshots[1]), "id,b 1,1 2,2 3,3 4,4");
}

#[test]
fn a_plan_shows_what_becomes_of_the_table() {
    let case = Case::embedded();
    case.load(
        "id: long, ward_id: int, name: string, more: long",
        "mode: append, partition_by: [ward_id], sort_by: [id]",
        "1,7,a,1",
    );
    let accept = "on_schema_change: { drop: accept, reorder: accept, partition: accept }";
    let layout = "partition_by: ['bucket(2, id)'], sort_by: ['ward_code desc', id]";
    let how = format!("{BY_ID}, renamed_from: {{ ward_code: ward_id }}, {accept}, {layout}");
    case.says("ward_code: int, id: long, name: string", &how, "7,1,a");
    let plan = case.scene.good(&["plan", "d/p"]);
    for line in [
        "~ ward_id -> ward_code  int",
        "- more  long",
        "~ order of columns  ward_code, id, name",
        "~ partitions  ward_id -> bucket(2, id)",
        "~ order  id -> ward_code desc, id",
        "tables: 1 to change",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let change = case.plan();
    let names: Vec<&String> = change["evolve"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|one| one.as_object().unwrap().keys())
        .collect();
    assert_eq!(names, ["rename", "drop", "reorder", "partition", "sort"]);
    assert_eq!(
        change["evolve"][3]["partition"],
        json!({ "from": ["ward_id"], "to": ["bucket(2, id)"] })
    );
    // A merge that changes no row changes the table all the same, once.
    case.scene.good(&["run", "d/p"]);
    assert_eq!(case.plan(), json!("unchanged"));
    case.scene.good(&["run", "d/p"]);
    assert_eq!(case.snapshots().len(), 2);
    case.holds("7,1,a");
    case.is_seen("order", &json!(["ward_code DESC", "id ASC"]));
}

#[test]
fn columns_are_relaxed_where_rows_may_hold_null() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let columns = "id: int, name: string";
    let reacts = |relax: &str| format!("mode: append, on_schema_change: {{ relax: {relax} }}");
    let case = Case::embedded();
    runtime.block_on(required(&case));

    case.says(columns, &reacts("reject"), "2,");
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(plan.contains("does not allow it"), "{plan}");
    let told = case.refused(columns, &reacts("reject"), "2,b");
    assert!(told.contains("`id` of the table takes no NULL"), "{told}");
    // Kept, it takes rows that have a value each.
    case.load(columns, &reacts("keep"), "2,b");
    let told = case.refused(columns, &reacts("keep"), "3,c 4,");
    assert!(told.contains("`name`") || told.contains("'name'"), "{told}");
    // Rows without the column cannot have a value each.
    let told = case.refused("id: int", &reacts("keep"), "3");
    assert!(told.contains("`name` of the table takes no NULL"), "{told}");
    let columns_now =
        |required: bool| json!([[1, "id", "int", required], [2, "name", "string", required]]);
    case.is_seen("columns", &columns_now(true));

    case.says(columns, "mode: append", "3,");
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains("~ name  string required -> optional"),
        "{plan}"
    );
    case.load(columns, "mode: append", "3,");
    case.holds("1,a 2,b 3,");
    case.is_seen("columns", &columns_now(false));
}

#[test]
fn columns_come_in_the_order_of_the_rows_where_that_is_said() {
    let case = Case::embedded();
    case.load("id: long, a: long, gone: long", "mode: append", "1,10,100");
    let reacts =
        |reorder: &str| format!("mode: append, on_schema_change: {{ reorder: {reorder} }}");
    let columns = "b: long, a: long, id: long";
    case.load(columns, "mode: append", "2000,20,2");
    case.holds("1,10,100, 2,20,,2000");
    let told = case.refused(columns, &reacts("reject"), "3000,30,3");
    assert!(told.contains("another order: `b`"), "{told}");
    case.load(columns, &reacts("accept"), "3000,30,3");
    case.holds(",10,1,100 2000,20,2, 3000,30,3,");
    // Nothing more to do, and the rows may come in any order again.
    case.says(columns, &reacts("accept"), "4000,40,4");
    assert_eq!(case.plan(), json!("unchanged"));
    case.load("id: long, a: long", "mode: append", "4,40");
    case.holds(",10,1,100 2000,20,2, 3000,30,3, ,40,4,");
}

#[test]
fn histories_and_increments_go_on_under_new_names() {
    for write in WRITES {
        let case = Case::embedded();
        let merge = |key: &str, at: &str| {
            format!(
                "mode: {{ merge: {{ key: [{key}], latest_by: {at}, history: scd2, write: {write} }} }}"
            )
        };
        case.load(
            "id: long, ward: string, at: date",
            &merge("id", "at"),
            "1,a,2026-01-01 2,b,2026-01-01",
        );
        let how = merge("nr", "changed") + ", renamed_from: { nr: id, station: ward, changed: at }";
        let new = "nr: long, station: string, changed: date";
        case.load(new, &how, "1,c,2026-01-05 2,b,2026-01-05 3,d,2026-01-05");
        let sql = "SELECT nr, station, valid_from, valid_to FROM d.t ORDER BY nr, valid_from";
        let rows = case.scene.query(sql);
        let states = [
            "1,a,2026-01-01,2026-01-05",
            "1,c,2026-01-05,",
            "2,b,2026-01-01,",
            "3,d,2026-01-05,",
        ];
        assert_eq!(rows, states, "{write}");
        case.scene.readers_agree();
    }
}
