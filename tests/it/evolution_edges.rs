//! Changes of tables at their edges: what is refused, files cut in two ways, and other writers in between.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use connectors::ErrorKind;
use run::lake::{Lake, OnSchemaChange, Reaction, StageRequest, Staged, TableId, WriteMode};
use serde_json::json;

use crate::database::Database;
use crate::evolution::{BY_ID, Case, WRITES, stamp};
use crate::scene::Scene;

/// What a command ends with where the specs are wrong.
const FINDINGS: i32 = 3;

#[test]
fn a_rename_that_is_not_clear_is_refused_by_plan_and_run() {
    let case = Case::embedded();
    case.load("id: long, a: long, b: long", "mode: append", "1,2,3");
    let cases = [
        (
            "id: long, b: long",
            "{ b: a }",
            "the table has both `b` and `a`",
        ),
        (
            "id: long, a: long, c: long",
            "{ c: a }",
            "the rows have both `c` and `a`",
        ),
        ("id: long", "{ nmae: name }", "names column `nmae`"),
    ];
    for (columns, renames, expected) in cases {
        let row = vec!["9"; columns.split(',').count()].join(",");
        let how = format!("mode: append, renamed_from: {renames}");
        let told = case.ends_with(FINDINGS, columns, &how, &row);
        assert!(told.contains(expected), "{expected}: {told}");
        let told = case.scene.bad(FINDINGS, &["plan", "d/p"]);
        assert!(
            told.contains(expected) && told.contains("p.yaml:"),
            "{expected}: {told}"
        );
    }
    // Another type under another name is another type.
    let how = "mode: append, renamed_from: { c: a }";
    let told = case.refused("id: long, c: string, b: long", how, "1,x,3");
    assert!(told.contains("column `c` is `long` in the table"), "{told}");
    case.holds("1,2,3");
}

#[test]
fn parts_of_columns_are_not_renamed() {
    let case = Case::embedded();
    case.says(
        "id: long",
        "mode: append, renamed_from: { 'place.new': place.x }",
        "",
    );
    let spec = fs::read_to_string(case.scene.path().join("p.yaml")).unwrap();
    let spec = spec.replace("rows.csv, options: { schema: { id: long } }", "rows.ndjson");
    case.scene
        .write("data/rows.ndjson", "{\"id\":1,\"place\":{\"x\":1}}\n");
    case.scene.write(
        "p.yaml",
        &spec.replace(", renamed_from: { 'place.new': place.x }", ""),
    );
    case.scene.good(&["run", "d/p"]);
    case.scene.write("p.yaml", &spec);
    let told = case.scene.bad(FINDINGS, &["run", "d/p"]);
    assert!(told.contains("`place.x` is a part of a column"), "{told}");
}

#[test]
fn columns_are_told_apart_by_their_identifiers_alone() {
    for write in WRITES {
        let case = Case::embedded();
        let how = |more: &str| format!("mode: {{ merge: {{ key: [id], write: {write} }} }}{more}");
        case.load("id: long, a: long", &how(""), "1,10 2,20");
        // As many columns of the same types as the older file has, and not those.
        case.load(
            "id: long, a: long, b: long, c: long",
            &how(""),
            "3,30,300,3000",
        );
        let rows = case.scene.query("SELECT b, c FROM d.t ORDER BY id");
        assert_eq!(rows, [",", ",", "300,3000"]);
        // Columns in another order, dropped and added again, renamed to what another one was called.
        let drop = ", on_schema_change: { drop: accept, reorder: accept }";
        case.load(
            "c: long, id: long, a: long",
            &how(drop),
            "4000,4,40 1000,1,10",
        );
        case.holds("1000,1,10 ,2,20 3000,3,30 4000,4,40");
        let rename = format!("{drop}, renamed_from: {{ b: a }}");
        case.load(
            "id: long, c: long, b: long",
            &how(&rename),
            "5,5000,50 2,,21",
        );
        case.load("b: long, a: long, id: long", &how(drop), "60,600,6 50,,5");
        case.holds("10,,1 21,,2 30,,3 40,,4 50,,5 60,600,6");
        let rows = case
            .scene
            .query("SELECT a, id FROM d.t WHERE b > 20 ORDER BY id");
        assert_eq!(rows, [",2", ",3", ",4", ",5", "600,6"]);
    }
}

#[test]
fn a_column_that_files_are_found_by_is_not_dropped() {
    let case = Case::embedded();
    let drop = "mode: append, on_schema_change: { drop: accept, partition: accept }";
    let columns = "id: long, region: string, at: date, n: long";
    let layout = "partition_by: [region], sort_by: [at]";
    case.load(
        columns,
        &format!("mode: append, {layout}"),
        "1,n,2026-01-01,5",
    );
    let told = case.refused("id: long, at: date, n: long", drop, "2,2026-01-01,5");
    assert!(
        told.contains("`region`") && told.contains("is partitioned by it"),
        "{told}"
    );
    assert!(case.scene.bad(1, &["plan", "d/p"]).contains("`region`"));
    let told = case.refused("id: long, region: string, n: long", drop, "2,n,5");
    assert!(
        told.contains("`at`") && told.contains("is sorted by it"),
        "{told}"
    );
    // By another order and other partitions it may go, but for what tells of older files.
    let now = format!("{drop}, sort_by: [id], partition_by: [n]");
    case.load("id: long, region: string, n: long", &now, "2,n,5");
    let told = case.refused("id: long, n: long", &now, "3,5");
    assert!(told.contains("was partitioned by it"), "{told}");
    case.holds("1,n,5 2,n,5");
    // A column of the key is among the rows, or nothing can be merged.
    let how = format!("{BY_ID}, on_schema_change: {{ drop: accept }}");
    let told = case.ends_with(FINDINGS, "n: long", &how, "5");
    assert!(told.contains("`id`"), "{told}");
}

#[test]
fn partitions_by_columns_with_any_letters_can_be_read() {
    for cut in [
        "größe",
        "'bucket(3, größe)'",
        "'truncate(10, größe)', größe",
    ] {
        let case = Case::embedded();
        let layout = format!("partition_by: [{cut}]");
        let columns = "id: long, größe: long";
        case.load(columns, &format!("mode: append, {layout}"), "1,10 2,20");
        case.load(columns, &format!("{BY_ID}, {layout}"), "2,30 3,10");
        case.holds("1,10 2,30 3,10");
    }
}

#[test]
fn a_column_does_not_get_the_name_of_partitions_of_another() {
    let case = Case::embedded();
    case.load(
        "id: long, a: long, b: long",
        "mode: append, partition_by: [a, 'bucket(3, id)']",
        "1,2,3",
    );
    case.load(
        "id: long, c: long, b: long",
        "mode: append, renamed_from: { c: a }",
        "2,3,4",
    );
    for (columns, how) in [
        (
            "id: long, c: long, a: long",
            "mode: append, renamed_from: { a: b }",
        ),
        ("id: long, c: long, b: long, a: long", "mode: append"),
        (
            "id: long, c: long, b: long, id_bucket_3: long",
            "mode: append",
        ),
    ] {
        let told = case.refused(columns, how, "");
        assert!(told.contains("have that name"), "{told}");
    }
    // It may be called so again.
    case.load(
        "id: long, a: long, b: long",
        "mode: append, renamed_from: { a: c }",
        "3,4,5",
    );
    case.holds("1,2,3 2,3,4 3,4,5");
}

#[test]
fn rows_at_the_edge_of_an_increment_are_known_under_their_new_names() {
    let setup = "CREATE TABLE t (id bigint, at timestamptz); INSERT INTO t VALUES (1, '2026-01-01Z'), (2, '2026-01-02Z')";
    let Some(mut database) = Database::new(setup) else {
        return;
    };
    let scene = Scene::with(&[]);
    database.connect(&scene, "source");
    let load = |key: &str, how: &str| {
        let extract = format!(
            "connection: source, table: public.t, mode: {{ incremental: {{ watermark: at, key: [{key}] }} }}"
        );
        let spec = format!(
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
             - {{ name: rows, extract: {{ {extract} }} }}\n  \
             - {{ name: publish, load: {{ from: rows, table: d.t, mode: append{how} }} }}\n"
        );
        scene.write("p.yaml", &spec);
        scene.good(&["run", "d/p"]);
    };
    load("id", "");
    database.execute("ALTER TABLE t RENAME id TO nr");
    database.execute("INSERT INTO t VALUES (3, '2026-01-02Z')");
    // The table has the second row, which is read again, as `id`.
    for _ in 0..2 {
        load("nr", ", renamed_from: { nr: id }");
        assert_eq!(
            scene.query("SELECT nr FROM d.t ORDER BY nr"),
            ["1", "2", "3"]
        );
    }
    scene.readers_agree();
}

/// Runs while nobody can read these files.
fn without<T>(files: &BTreeSet<std::path::PathBuf>, run: impl FnOnce() -> T) -> T {
    assert!(!files.is_empty());
    for file in files {
        fs::rename(file, file.with_extension("hidden")).unwrap();
    }
    let done = run();
    for file in files {
        fs::rename(file.with_extension("hidden"), file).unwrap();
    }
    done
}

/// Files that are not of the partition in which `new` were written.
fn others(case: &Case, before: &BTreeSet<std::path::PathBuf>) -> BTreeSet<std::path::PathBuf> {
    let mut all = case.files();
    let folder = (&all - before)
        .first()
        .unwrap()
        .parent()
        .map(ToOwned::to_owned);
    all.retain(|file| file.parent() != folder.as_deref());
    all
}

#[test]
fn files_cut_in_two_ways_are_each_found_by_their_own() {
    for write in WRITES {
        let case = Case::embedded();
        let columns = "id: long, name: string";
        let how = |cut: &str| {
            format!(
                "mode: {{ merge: {{ key: [id], write: {write} }} }}, partition_by: ['{cut}'], \
                 on_schema_change: {{ partition: accept }}"
            )
        };
        let mut lines: Vec<String> = (0..200).map(|id| format!("{id},n")).collect();
        case.load(columns, &how("bucket(4, id)"), &lines[..100].join(" "));
        // Nothing of what is there changes, and so nothing of it is written again.
        let first = case.files();
        case.load(columns, &how("bucket(3, id)"), &lines[100..].join(" "));
        assert_eq!(&case.files() & &first, first);
        case.is_seen("files", &json!({ "0": 4, "1": 3 }));
        case.holds(&lines.join(" "));

        // A row of a file of either way: where it is written to, and the bucket that it was in.
        let before = case.files();
        case.load(columns, &how("bucket(3, id)"), "7,old 150,new");
        lines[7] = "7,old".to_owned();
        lines[150] = "150,new".to_owned();
        case.holds(&lines.join(" "));
        assert!(before.len() < case.files().len());

        // To find 7 again only files are opened that may hold it, each by its own way.
        let before = case.files();
        case.load(columns, &how("bucket(3, id)"), "7,twice");
        let away = others(&case, &before);
        let old: BTreeSet<_> = away
            .iter()
            .filter(|file| !file.to_str().unwrap().contains("bucket_4"))
            .cloned()
            .collect();
        without(&old, || {
            case.load(columns, &how("bucket(3, id)"), "7,again")
        });
        lines[7] = "7,again".to_owned();
        case.holds(&lines.join(" "));
        // Back to the first way, which the table still knows.
        case.load(columns, &how("bucket(4, id)"), "8,back");
        lines[8] = "8,back".to_owned();
        case.holds(&lines.join(" "));
        case.is_seen("partitions", &json!(["bucket[4] id"]));
    }
}

#[test]
fn old_files_are_pruned_by_the_way_they_were_cut() {
    let case = Case::embedded();
    let columns = "id: long, name: string";
    let how = |cut: &str| {
        format!("{BY_ID}, partition_by: ['{cut}'], on_schema_change: {{ partition: accept }}")
    };
    let lines: Vec<String> = (0..100).map(|id| format!("{id},n")).collect();
    case.load(columns, &how("bucket(4, id)"), &lines.join(" "));
    let before = case.files();
    case.load(columns, &how("bucket(4, id)"), "7,mine");
    let away = others(&case, &before);
    assert_eq!(away.len(), 3);
    // The bounds of all files hold 7; that of its bucket alone is opened.
    without(&away, || {
        case.load(columns, &how("bucket(5, id)"), "7,again")
    });
    let mut lines = lines;
    lines[7] = "7,again".to_owned();
    case.holds(&lines.join(" "));
}

#[test]
fn a_table_cut_in_another_way_is_refused_where_that_is_not_said() {
    let case = Case::embedded();
    let columns = "id: long, region: string, day: date";
    case.load(
        columns,
        "mode: append, partition_by: [region]",
        "1,n,2026-01-01 2,s,2026-01-01",
    );
    let by_day = "partition_by: ['month(day)']";
    case.says(
        columns,
        &format!("mode: append, {by_day}"),
        "3,n,2026-02-01",
    );
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains("does not allow it") && plan.contains("region -> month(day)"),
        "{plan}"
    );
    let told = case.refused(
        columns,
        &format!("mode: append, {by_day}"),
        "3,n,2026-02-01",
    );
    assert!(
        told.contains("partitioned in another way") && told.contains("[region]"),
        "{told}"
    );

    let accept = "on_schema_change: { partition: accept }";
    case.load(
        columns,
        &format!("mode: append, {by_day}, {accept}"),
        "3,n,2026-02-01",
    );
    case.holds("1,n,2026-01-01 2,s,2026-01-01 3,n,2026-02-01");
    case.is_seen("files", &json!({ "0": 2, "1": 1 }));
    // Rows of a partition may be in files of the older way.
    let replace = format!("mode: replace_partitions, {by_day}");
    let told = case.refused(columns, &replace, "4,n,2026-02-01");
    assert!(
        told.contains("partitioned in another way than now"),
        "{told}"
    );
    case.load(
        columns,
        &format!("mode: replace, {by_day}"),
        "1,n,2026-01-01 3,n,2026-02-01",
    );
    case.load(columns, &replace, "4,n,2026-02-01");
    case.holds("1,n,2026-01-01 4,n,2026-02-01");
}

#[test]
fn a_partition_is_seen_in_every_type_and_with_no_value() {
    let case = Case::embedded();
    let columns = "id: long, region: string, at: timestamp, amount: int";
    let rows = "1,n,2026-01-01T10:00:00,1 2,,,";
    case.load(columns, "mode: append", rows);
    let accept = "on_schema_change: { partition: accept }";
    for (cut, rows) in [
        ("[region, 'day(at)']", "3,s,2026-01-02T10:00:00,2 4,,,"),
        ("['truncate(1, region)']", "5,s,2026-01-02T10:00:00,3 6,,,"),
        (
            "['bucket(2, amount)', 'hour(at)']",
            "7,s,2026-01-02T10:00:00,4 8,,,",
        ),
    ] {
        case.load(
            columns,
            &format!("{BY_ID}, partition_by: {cut}, {accept}"),
            rows,
        );
        case.scene.readers_agree();
    }
    let merge = "1,N,2026-01-01T10:00:00,1 2,x,, 4,y,, 6,z,, 8,w,,";
    case.load(columns, BY_ID, merge);
    let regions = case.scene.query("SELECT region FROM d.t ORDER BY id");
    assert_eq!(regions, ["N", "x", "s", "y", "s", "z", "s", "w"]);
    case.scene.readers_agree();
    let found = case
        .scene
        .query("SELECT id FROM d.t WHERE region = 's' AND at > TIMESTAMP '2026-01-02' ORDER BY id");
    assert_eq!(found, ["3", "5", "7"]);
}

/// Rows with these columns, staged and not committed.
async fn staged(lake: &Lake, columns: &[&str], change: impl Fn(&mut StageRequest)) -> Staged {
    let column = |name: &&str| {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        ((*name).to_owned(), values, true)
    };
    let rows = RecordBatch::try_from_iter_with_nullable(columns.iter().map(column)).unwrap();
    let mut request = StageRequest::new(TableId::new("d", "t"), WriteMode::Append, rows.schema());
    change(&mut request);
    let stage = lake.stage(request).await.unwrap();
    let mut writer = stage.writer().unwrap();
    writer.write(&rows).await.unwrap();
    let written = writer.finish().await.unwrap();
    stage.staged(vec![written])
}

fn rename(request: &mut StageRequest) {
    request.renamed_from = [("b".to_owned(), "a".to_owned())].into();
}

fn cut(by: &str) -> impl Fn(&mut StageRequest) {
    move |request: &mut StageRequest| {
        request.partition_by = vec![by.to_owned()];
        request.on_schema_change = OnSchemaChange {
            partition: Reaction::Accept,
            ..OnSchemaChange::default()
        };
    }
}

#[tokio::test]
async fn rows_go_on_top_of_a_rename_and_a_rename_on_top_of_rows() {
    let case = Case::embedded();
    let lake = case.lake();
    staged(&lake, &["id", "a"], |_| {})
        .await
        .commit(&stamp("1"))
        .await
        .unwrap();
    // Both are written for the table as it is: the one that comes second meets what the first made of it.
    let appended = staged(&lake, &["id", "a"], |_| {}).await;
    let renamed = staged(&lake, &["id", "b"], rename).await;
    renamed.commit(&stamp("2")).await.unwrap();
    appended.commit(&stamp("3")).await.unwrap();

    let renamed = staged(&lake, &["id", "c"], |request| {
        request.renamed_from = [("c".to_owned(), "b".to_owned())].into();
    })
    .await;
    let appended = staged(&lake, &["id", "b"], |_| {}).await;
    appended.commit(&stamp("4")).await.unwrap();
    renamed.commit(&stamp("5")).await.unwrap();
    lake.close().await;
    case.holds("1,1 1,1 1,1 1,1 1,1");
    case.is_seen(
        "columns",
        &json!([[1, "id", "long", false], [2, "c", "long", false]]),
    );
}

#[tokio::test]
async fn two_that_change_the_same_do_not_change_it_twice() {
    let case = Case::embedded();
    let lake = case.lake();
    staged(&lake, &["id", "a"], |_| {})
        .await
        .commit(&stamp("1"))
        .await
        .unwrap();
    let first = staged(&lake, &["id", "b"], rename).await;
    let second = staged(&lake, &["id", "a", "more"], |_| {}).await;
    first.commit(&stamp("2")).await.unwrap();
    let error = second.commit(&stamp("3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("columns"), "{error}");

    // Two new ways to cut the table have one number, and files of both.
    let first = staged(&lake, &["id", "b"], cut("bucket(2, id)")).await;
    let second = staged(&lake, &["id", "b"], cut("truncate(2, id)")).await;
    let plain = staged(&lake, &["id", "b"], |_| {}).await;
    first.commit(&stamp("4")).await.unwrap();
    let error = second.commit(&stamp("5")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.message().contains("cut"), "{error}");
    plain.commit(&stamp("6")).await.unwrap();

    let sort =
        |by: &'static str| move |request: &mut StageRequest| request.sort_by = vec![by.to_owned()];
    let first = staged(&lake, &["id", "b"], sort("id")).await;
    let second = staged(&lake, &["id", "b"], sort("b desc")).await;
    first.commit(&stamp("7")).await.unwrap();
    let error = second.commit(&stamp("8")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    lake.close().await;
    case.holds("1,1 1,1 1,1 1,1 1,1");
    case.is_seen("files", &json!({ "0": 3, "1": 2 }));
    case.is_seen("order", &json!(["id ASC"]));
}

/// Files older than a wider type have bounds and partitions of the narrower one.
#[test]
fn rows_from_before_a_wider_type_are_found_by_filters_and_replaced() {
    let wider = |mode: &str| {
        let case = Case::embedded();
        case.load("id: int, part: string", mode, "1,a 2,a 103,b");
        case.load("id: long, part: string", mode, "104,c");
        case
    };
    let case = wider("mode: append");
    for (filter, count) in [
        ("id < 50", "2"),
        ("id <= 1", "1"),
        ("id > 50", "2"),
        ("id >= 2", "3"),
        ("id IN (2, 104)", "2"),
        ("id = 103", "1"),
    ] {
        let sql = format!("SELECT count(*) FROM d.t WHERE {filter}");
        assert_eq!(case.scene.query(&sql), [count], "{filter}");
    }
    let part = "mode: { replace: { where: 'id >= 1 AND id < 50' } }";
    case.load("id: long, part: string", part, "2,new");
    assert_eq!(
        case.scene.query("SELECT count(*), sum(id) FROM d.t"),
        ["3,209"]
    );
    case.scene.readers_agree();
    for cut in ["id", "'truncate(100, id)'"] {
        let case = wider(&format!("mode: append, partition_by: [{cut}]"));
        let mode = format!("mode: replace_partitions, partition_by: [{cut}]");
        case.load("id: long, part: string", &mode, "1,new 104,new");
        let left = if cut == "id" { "1 2 103 104" } else { "1 104" };
        let ids = case.scene.query("SELECT id FROM d.t ORDER BY id").join(" ");
        assert_eq!(ids, left, "{cut}");
        case.scene.readers_agree();
    }
}
