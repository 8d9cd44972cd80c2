//! `maintain` changes no row, and leaves nothing to do: compaction, what pipelines do after it, and the command itself.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::database::Database;
use crate::kept::{AT_ONCE, Kept, by_chore};
use crate::place::Place;
use crate::services;

/// Values that make a folder's name difficult.
const NAMES: [&str; 6] = ["a b", "ä", "50%", "x/y", "a=b", "#?+&"];

/// Six runs, each with rows for every partition; rows of one id come in several.
fn six_runs(case: &Kept) {
    for run in 0..6 {
        let rows = (0..12).map(|n| (n * 6 + (run * 5) % 6, NAMES[n % 6]));
        let rows: Vec<String> = rows.map(|(id, name)| format!("{id},{name}")).collect();
        let text = format!("id,name\n{}\n", rows.join("\n"));
        case.scene.write(&format!("data/f{run}.csv"), &text);
        case.scene.good(&["run", "d/p"]);
    }
}

fn compacts(place: Place, namespace: &str) {
    let case = Kept::new(place, namespace, "{ compact: { min_files: 5 } }");
    let loads = [
        "t, mode: append, sort_by: [id desc]",
        "parts, mode: append, partition_by: [name]",
        "plain, mode: append",
    ];
    case.says("p", "table: '*.csv', mode: incremental", &loads);
    six_runs(&case);
    let content = "SELECT 't' AS t, count(*), count(DISTINCT id), sum(id), min(name), max(name) FROM $.t UNION ALL \
        SELECT 'parts', count(*), count(DISTINCT id), sum(id), min(name), max(name) FROM $.parts UNION ALL \
        SELECT 'plain', count(*), count(DISTINCT id), sum(id), min(name), max(name) FROM $.plain ORDER BY t";
    let before = case.query(content);
    assert!(before[0].starts_with("parts,72,72,2556,"), "{before:?}");

    let done = case.maintain(&["--only", "compact"]);
    for (table, (files, into)) in [("t", (6, 1)), ("parts", (36, 6)), ("plain", (6, 1))] {
        let told = &done[&format!("{table} compact")];
        assert_eq!(
            (&told["files"], &told["into_files"]),
            (&json!(files), &json!(into)),
            "{told}"
        );
        let history = case.history(table);
        assert_eq!(history[0]["operation"], "replace");
        assert_eq!(history[0]["rows"], 72);
        assert_eq!(history[0]["run"], Value::Null);
        let before = history[1]["snapshot"].to_string();
        let diff = case.scene.good(&[
            "diff",
            &case.table(table),
            &before,
            "main",
            "--format",
            "csv",
        ]);
        assert_eq!(diff.lines().count(), 1, "{diff}");
        if let Some(seen) = case.seen(table) {
            assert_eq!(seen.data().len(), into, "{table}");
            assert_eq!(seen.total("total-data-files"), into as u64);
            assert_eq!(seen.total("total-records"), 72);
            let descending = |ids: &Vec<i64>| ids.is_sorted_by(|one, next| one >= next);
            assert!(table != "t" || seen.data().iter().all(descending));
        }
    }
    assert_eq!(case.query(content), before);
    case.readers_agree();
    for (name, told) in case.maintain(&["--only", "compact"]) {
        assert_eq!(
            (&told["files"], &told["manifests"]),
            (&json!(0), &json!(0)),
            "{name}"
        );
    }
    assert_eq!(case.history("t").len(), 7);
    // What was compacted is read on from where it was.
    case.scene.good(&["run", "d/p"]);
    assert_eq!(case.query(content), before);
}

#[test]
fn small_files_become_few_on_the_embedded_catalog() {
    compacts(Place::embedded(), "d");
}

#[test]
fn small_files_become_few_on_a_rest_catalog_with_the_files_in_s3() {
    let Some(place) = Place::rest() else { return };
    compacts(place, &services::fresh_schema());
}

#[test]
fn small_files_become_few_on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        compacts(Place::postgres(catalog.url()), "d");
    }
}

/// Files as large as asked for are left alone the next time, however the size was guessed.
#[test]
fn what_fills_many_files_is_written_again_once() {
    let case = Kept::embedded("{}");
    let load = "t, mode: append, target_file_size: 1MiB, sort_by: [id]";
    case.says("p", "table: '*.csv', mode: incremental", &[load]);
    for file in 0..6_u64 {
        let mut text = "id,name\n".to_owned();
        for row in 0..60_000 {
            let id = row * 6 + file;
            let _ = writeln!(text, "{id},{:x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        case.scene.write(&format!("data/f{file}.csv"), &text);
        case.scene.good(&["run", "d/p"]);
    }
    let content = "SELECT count(*), count(DISTINCT id), sum(id), sum(length(name)) FROM $.t";
    let before = case.query(content);
    let mut rounds = 0;
    while case.maintain(&["--only", "compact"])["t compact"]["files"] != json!(0) {
        rounds += 1;
        assert!(rounds < 3, "there is always something to do");
    }
    assert_eq!(case.query(content), before);
    case.readers_agree();
}

#[test]
fn rows_that_a_merge_on_read_deleted_are_left_out_and_so_are_the_delete_files() {
    let case = Kept::embedded("{ compact: { deleted_percent: 20 } }");
    let merge = "t, mode: { merge: { key: [id], write: merge_on_read } }";
    case.says("p", "table: rows.csv", &[merge]);
    let rows = |ids: std::ops::Range<u32>, name: &str| {
        let rows: Vec<String> = ids.map(|id| format!("{id},{name}")).collect();
        rows.join(" ")
    };
    case.load("rows", &rows(0..100, "a"));
    case.load("rows", &rows(0..10, "b"));
    let told = &case.maintain(&["--only", "compact"])["t compact"];
    assert_eq!(told["files"], 0, "10 of 100 rows are too few: {told}");
    case.load("rows", &rows(10..25, "b"));
    if let Some(seen) = case.seen("t") {
        assert!(seen.deletes() > 0);
    }
    let content = "SELECT name, count(*), sum(id) FROM $.t GROUP BY name ORDER BY name";
    let before = case.query(content);
    let told = &case.maintain(&["--only", "compact"])["t compact"];
    assert_eq!(told["deleted_rows"], 25, "{told}");
    assert_eq!(case.query(content), before);
    if let Some(seen) = case.seen("t") {
        assert_eq!(seen.deletes(), 0);
        let totals = ["total-delete-files", "total-position-deletes"].map(|key| seen.total(key));
        assert_eq!(totals, [0, 0]);
        assert_eq!(seen.total("total-records"), 100);
    }
    assert_eq!(
        case.maintain(&["--only", "compact"])["t compact"]["files"],
        0
    );
    case.load("rows", &rows(95..105, "c"));
    assert_eq!(
        case.query("SELECT count(*), count(DISTINCT id) FROM $.t"),
        ["105,105"]
    );
    case.readers_agree();
}

#[test]
fn an_increment_goes_on_where_all_snapshots_of_its_runs_have_expired() {
    let case = Kept::embedded(AT_ONCE);
    case.appends("");
    case.load_each(1..=6);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let done = case.maintain(&[]);
    assert_eq!(done["t expire"]["snapshots"], 6, "{done:?}");
    assert_eq!(case.history("t").len(), 1);
    assert!(case.history("t")[0]["run"].is_null());
    for _ in 0..2 {
        case.scene.good(&["run", "d/p"]);
        assert_eq!(case.ids(), "1 2 3 4 5 6");
    }
    // Again, so that what is remembered is written over, and by another pipeline, too.
    case.says(
        "q",
        "table: 'more/*.csv', mode: incremental",
        &["u, mode: append"],
    );
    case.load_each(7..=7);
    case.load_each(8..=8);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    case.maintain(&["--only", "expire"]);
    case.load_each(9..=9);
    assert_eq!(case.ids(), "1 2 3 4 5 6 7 8 9");
    case.readers_agree();
}

#[test]
fn every_mode_goes_on_after_compaction() {
    let case =
        Kept::embedded("{ compact: { min_files: 2 }, expire: { older_than: 1ms, keep: 1 } }");
    let schema = "options: { schema: { id: long, name: string, at: timestamptz } }";
    let loads = [
        "t, mode: { merge: { key: [id] } }, partition_by: ['bucket(2, id)']",
        "mor, mode: { merge: { key: [id], write: merge_on_read } }",
        "states, mode: { merge: { key: [id], latest_by: at, history: scd2 } }",
        "parts, mode: replace_partitions, partition_by: [name]",
        "whole, mode: replace",
    ];
    case.says("p", &format!("table: rows.csv, {schema}"), &loads);
    let run = |rows: &str, day: u32| {
        let mut text = "id,name,at\n".to_owned();
        for row in rows.split(' ') {
            let _ = writeln!(text, "{row},2026-01-{day:02}T00:00:00Z");
        }
        case.scene.write("data/rows.csv", &text);
        case.scene.good(&["run", "d/p"]);
    };
    for (day, rows) in [
        "1,a 2,a 3,b",
        "2,A 4,a",
        "3,c 5,b 6,b",
        "1,z 7,d",
        "8,a 4,e",
    ]
    .iter()
    .enumerate()
    {
        run(rows, u32::try_from(day).unwrap() + 1);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let done = case.maintain(&[]);
        assert!(
            done.values().all(|told| told["status"] == "done"),
            "{done:?}"
        );
    }
    let all = |table: &str, columns: &str| {
        let rows = case.query(&format!(
            "SELECT {columns} FROM $.{table} ORDER BY name, id"
        ));
        rows.join(" ")
    };
    let now = "2,A 8,a 5,b 6,b 3,c 7,d 4,e 1,z";
    assert_eq!(all("t", "id, name"), now);
    assert_eq!(all("mor", "id, name"), now);
    assert_eq!(all("states", "id, name").split(' ').count(), 12);
    assert_eq!(
        case.query("SELECT count(*) FROM $.states WHERE is_current"),
        ["8"]
    );
    assert_eq!(all("parts", "id, name"), now);
    assert_eq!(all("whole", "id, name"), "8,a 4,e");
    case.readers_agree();
}

/// `maintain --dry-run` says what there is to do, and nothing else happens.
#[test]
fn a_dry_run_changes_nothing_and_says_what_would_be_done() {
    let case = Kept::embedded(AT_ONCE);
    case.appends("");
    case.load_each(1..=6);
    case.tag_for_a_second("begin");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let before = contents(&case);
    let would = case.maintain(&["--dry-run"]);
    assert_eq!(contents(&case), before);
    assert_eq!(would["t compact"]["files"], 6);
    assert_eq!(would["t compact"]["into_files"], Value::Null);
    assert_eq!(would["t expire"]["snapshots"], 5);
    assert_eq!(would["t expire"]["references"], json!(["begin"]));
    let text = case.scene.good(&["maintain", "--dry-run"]);
    assert!(text.contains("would do: 6 files"), "{text}");
    let only = case.maintain(&["--only", "expire", "d.t"]);
    assert_eq!(only.keys().collect::<Vec<_>>(), ["t expire"]);
    for key in ["snapshots", "files", "bytes"] {
        assert_eq!(only["t expire"][key], would["t expire"][key], "{key}");
    }
    let done = case.maintain(&["--only", "compact,orphans"]);
    assert_eq!(done.keys().collect::<Vec<_>>(), ["t compact", "t orphans"]);
    assert_eq!(done["t compact"]["bytes"], would["t compact"]["bytes"]);
    assert_eq!(case.ids(), "1 2 3 4 5 6");
}

/// Every file of the lake, the catalog's among them, and how it is.
fn contents(case: &Kept) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = case.files();
    files.insert(case.scene.path().join("lake/catalog.db"));
    let read = |file| (std::fs::read(&file).unwrap(), file);
    let all = files.into_iter().map(read);
    all.map(|(bytes, file)| (file, bytes)).collect()
}

#[test]
fn the_command_knows_its_tables_and_does_what_it_can() {
    let case = Kept::embedded("{ compact: { min_files: 2 } }");
    let loads = [
        "t, mode: append",
        "fixed, mode: append, properties: { gc.enabled: 'false' }",
        "off, mode: append, maintenance: { compact: { enabled: false }, expire: { enabled: false }, orphans: { enabled: false } }",
    ];
    case.says("p", "table: '*.csv', mode: incremental", &loads);
    let text = case.scene.good(&["maintain"]);
    assert_eq!(text.matches("no table yet").count(), 9, "{text}");
    case.load_each(1..=3);
    let told = case.scene.bad(1, &["maintain", "d.tt"]);
    assert!(told.contains("did you mean `d.t`?"), "{told}");
    let told = case.scene.bad(1, &["maintain", "other.thing"]);
    assert!(
        told.contains("no pipeline of the project writes `other.thing`"),
        "{told}"
    );
    case.scene.bad(2, &["maintain", "--only", "everything"]);

    let output = case.scene.run(&["maintain", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let done = by_chore(&String::from_utf8(output.stdout).unwrap());
    let failed = done.iter().filter(|(_, told)| told["status"] == "failed");
    let failed: Vec<_> = failed
        .map(|(name, told)| (name.as_str(), told["error"].as_str().unwrap()))
        .collect();
    assert_eq!(
        failed,
        [(
            "fixed orphans",
            "the table says that its files are not to be removed"
        )]
    );
    assert_eq!(done["t compact"]["files"], 3);
    assert_eq!(done["fixed compact"]["files"], 3, "no file goes: {done:?}");
    assert!(
        ["compact", "expire", "orphans"]
            .iter()
            .all(|chore| done[&format!("off {chore}")]["status"] == "off")
    );
    assert_eq!(
        case.query("SELECT count(*) FROM $.fixed UNION ALL SELECT count(*) FROM $.off"),
        ["3", "3"]
    );
    let output = case.scene.run(&["maintain", "d.fixed"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("gc.enabled=false") && text.contains("enabled: false"),
        "{text}"
    );
}

#[test]
fn what_a_load_says_goes_before_its_domain_and_that_before_the_project() {
    let case =
        Kept::embedded("{ compact: { min_files: 4 }, expire: { keep: 3, older_than: 1ms } }");
    case.scene.write(
        "domain.yaml",
        "kind: Domain\nname: d\nnamespace: d\nmaintenance: { expire: { keep: 2 } }\n",
    );
    let loads = [
        "t, mode: append",
        "own, mode: append, maintenance: { compact: { min_files: 3 }, expire: { keep: 1 } }",
        "old, mode: append, maintenance: { expire: { older_than: 7d } }",
    ];
    case.says("p", "table: '*.csv', mode: incremental", &loads);
    case.load_each(1..=3);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let would = case.maintain(&["--dry-run"]);
    let files = |name: &str| would[&format!("{name} compact")]["files"].clone();
    assert_eq!(
        [files("t"), files("own"), files("old")],
        [0, 3, 0].map(Value::from)
    );
    let snapshots = |name: &str| would[&format!("{name} expire")]["snapshots"].clone();
    assert_eq!(
        [snapshots("t"), snapshots("own"), snapshots("old")],
        [1, 2, 0].map(Value::from)
    );
}

#[test]
fn manifests_are_merged_as_the_tables_properties_say() {
    let case = Kept::embedded("{}");
    let property = "properties: { commit.manifest.min-count-to-merge: '3' }";
    case.appends(&format!(", {property}"));
    case.load_each(1..=10);
    let few = |most: u64| {
        if let Some(seen) = case.seen("t") {
            assert!(seen.manifests() <= most, "{}", seen.manifests());
            assert_eq!(
                seen.total("total-data-files"),
                u64::try_from(seen.data().len()).unwrap()
            );
        }
        case.readers_agree();
    };
    few(3);
    assert_eq!(case.ids(), "1 2 3 4 5 6 7 8 9 10");
    let of_rows = "table: rows.csv";
    for write in ["copy_on_write", "merge_on_read"] {
        let merge = format!(
            "t, mode: {{ merge: {{ key: [id], write: {write}, deletes: {{ flagged: {{ when: \"name = 'gone'\" }} }} }} }}"
        );
        case.says("p", of_rows, &[&merge]);
        for id in 2..=6 {
            case.load(
                "rows",
                &format!("{id},{write} {},gone 20,{write}{id}", id + 20),
            );
        }
        few(8);
    }
    case.load("rows", "7,gone 8,gone");
    assert_eq!(case.ids(), "1 2 3 4 5 6 9 10 20");
    case.says("p", of_rows, &["t, mode: replace"]);
    case.load("rows", "1,z");
    few(8);
    assert_eq!(case.ids(), "1");

    let parts = format!("parts, mode: replace_partitions, partition_by: [name], {property}");
    case.says("q", of_rows, &[&parts]);
    for id in 1..=8 {
        case.scene.write(
            "data/rows.csv",
            &format!("id,name\n{id},n{}\n{id},m\n", id % 5),
        );
        case.scene.good(&["run", "d/q"]);
    }
    assert_eq!(
        case.query("SELECT id, name FROM $.parts ORDER BY id, name")
            .join(" "),
        "4,n4 5,n0 6,n1 7,n2 8,m 8,n3"
    );
    case.readers_agree();
}

/// Manifests of different columns are not merged into one: there must be an end to trying.
#[test]
fn columns_that_came_one_after_the_other_leave_nothing_to_do() {
    let case = Kept::embedded("{ compact: { enabled: true, min_files: 100 } }");
    case.appends("");
    for run in 1..=7 {
        let columns: Vec<String> = (1..=run).map(|n| format!("c{n}")).collect();
        let values: Vec<String> = (1..=run).map(|n| n.to_string()).collect();
        let text = format!(
            "id,name,{}\n{run},n,{}\n",
            columns.join(","),
            values.join(",")
        );
        case.scene.write(&format!("data/f{run}.csv"), &text);
        case.scene.good(&["run", "d/p"]);
    }
    case.maintain(&["--only", "compact"]);
    let before = case.history("t").len();
    let again = case.maintain(&["--only", "compact"]);
    assert_eq!(again["t compact"]["manifests"], 0);
    assert_eq!(case.history("t").len(), before);
    assert_eq!(case.ids(), "1 2 3 4 5 6 7");
    case.readers_agree();
}
