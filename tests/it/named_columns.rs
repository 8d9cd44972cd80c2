//! Columns that a spec names and that are not there, or are not what is made of them: each is told at its place.

use crate::database::Database;
use crate::scene::Scene;

const FINDINGS: i32 = 3;

const HEAD: &str = "kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract: { connection: files, table: rows.csv }
  - name: publish
    load:
      from: rows
      table: d.t
";

/// A project whose one load says this, of rows `id,at,amount,note`.
fn scene(load: &str) -> Scene {
    let lines: Vec<String> = load.lines().map(|line| format!("      {line}\n")).collect();
    Scene::with(&[
        (
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        ),
        ("p.yaml", &format!("{HEAD}{}", lines.concat())),
        (
            "data/rows.csv",
            "id,at,amount,note\n1,2026-01-01,1.5,a\n2,2026-01-02,2.5,b\n",
        ),
    ])
}

/// What `plan` says, and `run` too.
fn told(scene: &Scene) -> String {
    let planned = scene.bad(FINDINGS, &["plan", "d/p"]);
    let ran = scene.bad(FINDINGS, &["run", "d/p"]);
    assert_eq!(planned, ran, "a run says what a plan says");
    planned
}

#[test]
fn a_misspelled_column_is_told_where_it_stands() {
    let scene = scene(
        "mode: { merge: { key: [Id, at], latest_by: amuont } }
partition_by: [month(att)]
sort_by: [notes desc]",
    );
    let told = told(&scene);
    for expected in [
        "error[unknown-column]: `key` names column `Id`, which the rows do not have
  --> p.yaml:11:30
   |
11 |       mode: { merge: { key: [Id, at], latest_by: amuont } }
   |                              ^^
help: did you mean `id`?",
        "`latest_by` names column `amuont`, which the rows do not have
  --> p.yaml:11:50",
        "help: did you mean `amount`?",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn layouts_and_renames_have_their_places() {
    let scene = scene(
        "mode: append
partition_by:
  - month(att)
  - bucket(4, amount)
sort_by: [notes desc]
renamed_from: { nmae: note2 }",
    );
    let told = told(&scene);
    for expected in [
        "`partition_by` names column `att`, which the rows do not have\n  --> p.yaml:13:11",
        "did you mean `month(at)`?",
        "error[unfit-column]: `bucket(4, amount)` does not go with the column's type",
        "p.yaml:14:11",
        "`sort_by` names column `notes`, which the rows do not have\n  --> p.yaml:15:17",
        "did you mean `note desc`?",
        "`renamed_from` names column `nmae`, which the rows do not have",
        "p.yaml:16:23",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert_eq!(told.matches("error[").count(), 4, "{told}");
}

#[test]
fn what_makes_rows_known_again_has_its_place() {
    let scene = scene(
        "mode:
  append:
    dedupe:
      key: [amount, idd]
      by: note
      within: 3d",
    );
    let told = told(&scene);
    for expected in [
        "column `amount` of the key is floating point",
        "p.yaml:14:19",
        "`key` names column `idd`, which the rows do not have\n  --> p.yaml:14:27",
        "`within` needs a time or a date, and column `note` is",
        "p.yaml:15:17",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
}

#[test]
fn a_table_that_lacks_the_key_is_told_at_the_key() {
    let scene = scene("mode: replace");
    scene.good(&["run", "d/p"]);
    scene.write("data/rows.csv", "id,code\n1,x\n");
    let spec = format!("{HEAD}      mode: {{ merge: {{ key: [code] }} }}\n");
    scene.write("p.yaml", &spec);
    let told = told(&scene);
    assert!(
        told.contains("the table has no column `code`") && told.contains("p.yaml:11:30"),
        "{told}"
    );
}

#[test]
fn what_a_source_does_not_have_is_told_at_the_extract() {
    let Some(database) = Database::new("CREATE TABLE t AS SELECT 1::bigint AS id, now() AS at")
    else {
        return;
    };
    let spec = |extract: &str| {
        format!(
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  - name: rows\n    extract:\n      connection: source\n      \
             table: public.t\n      {extract}\n  - name: publish\n    load: {{ from: rows, table: d.t, mode: append }}\n"
        )
    };
    let scene = Scene::with(&[("p.yaml", &spec("columns: [id, att]"))]);
    database.connect(&scene, "source");
    let first = told(&scene);
    assert!(
        first
            .contains("`columns` names column `att`, which the rows do not have\n --> p.yaml:9:21")
            && first.contains("did you mean `at`?"),
        "{first}"
    );
    scene.write(
        "p.yaml",
        &spec("mode: { incremental: { watermark: id_, unique: true } }"),
    );
    let second = told(&scene);
    assert!(
        second.contains("`watermark` names column `id_`") && second.contains("p.yaml:9:41"),
        "{second}"
    );
    scene.write("p.yaml", &spec("splits: { by: ID }"));
    let third = told(&scene);
    assert!(
        third.contains("`splits.by` names column `ID`") && third.contains("p.yaml:9:21"),
        "{third}"
    );
}

#[test]
fn columns_that_differ_only_in_case_are_refused_before_anything_is_written() {
    let scene = scene("mode: append");
    scene.write("data/rows.csv", "Id,id,n\n1,2,3\n");
    let first = told(&scene);
    assert!(
        first.contains("the rows have columns `Id` and `id`, which differ only in case")
            && first.contains("p.yaml:7:11"),
        "{first}"
    );
    // A name of the table counts as well.
    scene.write("data/rows.csv", "Id,n\n1,3\n");
    scene.good(&["run", "d/p"]);
    scene.write("data/rows.csv", "id,n\n1,3\n");
    let second = told(&scene);
    assert!(second.contains("`id` and `Id`"), "{second}");
    scene.write("data/rows.csv", "Id,n\n2,3\n");
    scene.good(&["run", "d/p"]);
    scene.readers_agree();
}

#[test]
fn columns_of_a_database_that_differ_only_in_case_get_names_in_a_transform() {
    let Some(database) =
        Database::new("CREATE TABLE t AS SELECT 1::bigint AS \"Id\", 2::bigint AS id")
    else {
        return;
    };
    let direct = "kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract: { connection: source, table: public.t }
  - name: publish
    load: { from: rows, table: d.t, mode: append }
";
    let scene = Scene::with(&[("p.yaml", direct)]);
    database.connect(&scene, "source");
    let told = told(&scene);
    assert!(told.contains("`Id` and `id`"), "{told}");
    let renamed = direct.replace("from: rows", "from: named").replace(
        "  - name: publish",
        "  - name: named\n    transform: { sql: 'select \"Id\" as other, id from rows' }\n  - name: publish",
    );
    scene.write("p.yaml", &renamed);
    scene.good(&["run", "d/p"]);
    assert_eq!(scene.query("SELECT other, id FROM d.t"), ["1,2"]);
}
