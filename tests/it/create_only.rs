//! `create_only`: the first run makes and fills a table, and no other touches it. And `replace` without rows: it empties one.

use crate::database::Database;
use crate::one_load::OneLoad;
use crate::place::Place;
use crate::services;

const SCHEMA: &str = "id: long, v: string";
const ONCE: &str = "mode: create_only";
const THERE: &str = "unchanged: the table is there";

/// The first run fills the table; later ones do not even ask for the rows.
fn only_the_first_run_loads(case: &OneLoad) {
    case.says(SCHEMA, &format!("{ONCE}, partition_by: [v]"));
    assert!(!case.load("id,v", "1,a 2,b").contains(THERE));
    case.holds("1,a 2,b");
    let told = case.load("id,v", "3,c");
    assert!(told.contains(THERE), "{told}");
    std::fs::remove_file(case.scene.path().join("data/rows.csv")).unwrap();
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(
        plan.contains(THERE) && plan.contains("1 to leave as they are"),
        "{plan}"
    );
    assert!(case.scene.good(&["run", "d/p"]).contains(THERE));
    case.holds("1,a 2,b");
    assert_eq!(case.snapshots(), 1);
}

#[test]
fn on_the_embedded_catalog() {
    only_the_first_run_loads(&OneLoad::embedded());
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        only_the_first_run_loads(&OneLoad::new(place, &services::fresh_schema()));
    }
}

#[test]
fn on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        only_the_first_run_loads(&OneLoad::new(Place::postgres(catalog.url()), "d"));
    }
}

#[test]
fn other_loads_of_the_pipeline_go_on() {
    let case = OneLoad::embedded();
    case.steps(
        "  - { name: rows, extract: { connection: files, table: rows.csv } }
  - { name: gone, extract: { connection: files, table: gone.csv } }
  - { name: sane, check: { on: gone, rules: [{ name: some, expect: 'count(*) > 0', otherwise: fail }] } }
  - { name: both, transform: { sql: 'SELECT r.id, g.v FROM rows r JOIN gone g ON r.id = g.id' } }
  - { name: publish, load: { from: rows, table: d.t, mode: append } }
  - { name: first, after: [publish], load: { from: both, table: d.first, mode: create_only } }\n",
    );
    case.scene.write("data/gone.csv", "id,v\n1,x\n");
    case.load("id", "1 2");
    std::fs::remove_file(case.scene.path().join("data/gone.csv")).unwrap();
    let told = case.load("id", "1 3");
    assert!(told.contains(THERE) && told.contains(" 2 rows"), "{told}");
    assert_eq!(case.rows(), ["1", "1", "2", "3"]);
    assert_eq!(case.scene.query("SELECT * FROM d.first"), ["1,x"]);
    // A plan that was kept is run as it is.
    case.scene.good(&["plan", "d/p", "--out", "kept.plan"]);
    assert!(
        case.scene
            .good(&["run", "--plan", "kept.plan"])
            .contains(THERE)
    );
    assert_eq!(case.rows().len(), 6);
    case.scene.readers_agree();
}

#[test]
fn a_failed_run_leaves_the_table_to_the_next() {
    let case = OneLoad::embedded();
    case.says(SCHEMA, ONCE);
    case.arrives("id,v", "1,a x,b");
    case.scene.bad(1, &["run", "d/p"]);
    assert!(case.load("id,v", "1,a").contains(" 1 row"));
    case.holds("1,a");
    // A table without rows is there as well.
    let case = OneLoad::embedded();
    case.says(SCHEMA, ONCE);
    case.load("id,v", "");
    assert!(case.load("id,v", "1,a").contains(THERE));
    case.holds("");
}

#[test]
fn of_two_runs_one_makes_the_table() {
    for _ in 0..3 {
        let case = OneLoad::embedded();
        let other = OneLoad::embedded();
        let lake = case.scene.path().join("lake");
        let project = std::fs::read_to_string(case.scene.path().join("project.yaml")).unwrap();
        let project = project.replace(
            "path: lake/catalog.db",
            &format!("path: '{}/catalog.db'", lake.display()),
        );
        let project = project.replace(
            "path: lake/warehouse",
            &format!("path: '{}/warehouse'", lake.display()),
        );
        other.scene.write("project.yaml", &project);
        for (case, rows) in [(&case, "1,a 2,b"), (&other, "3,c 4,d")] {
            case.says(SCHEMA, ONCE);
            case.arrives("id,v", rows);
        }
        let children = [
            case.scene.start(&["run", "d/p"]),
            other.scene.start(&["run", "d/p"]),
        ];
        let ended = children.map(|child| child.wait_with_output().unwrap().status.success());
        assert!(ended.contains(&true));
        assert_eq!(case.snapshots(), 1);
        let rows = case.rows().join(" ");
        assert!(["1,a 2,b", "3,c 4,d"].contains(&rows.as_str()), "{rows}");
    }
}

#[test]
fn a_replace_without_rows_empties_a_postgres_table_and_keeps_what_hangs_on_it() {
    let setup = "CREATE SCHEMA mart; CREATE TABLE mart.t (id bigint PRIMARY KEY, v text DEFAULT 'd', more int); \
                 CREATE INDEX by_v ON mart.t (v); CREATE VIEW mart.seen AS SELECT v FROM mart.t; \
                 CREATE ROLE NAME_reader; GRANT SELECT ON mart.t TO NAME_reader; \
                 COMMENT ON TABLE mart.t IS 'mine'; INSERT INTO mart.t VALUES (9, 'old', 1)";
    let reader = services::fresh_schema();
    let Some(mut mart) = Database::new(&setup.replace("NAME_reader", &reader)) else {
        return;
    };
    let case = OneLoad::embedded();
    mart.connect(&case.scene, "mart");
    case.steps(&format!(
        "  - {{ name: rows, extract: {{ connection: files, table: rows.csv, options: {{ schema: {{ {SCHEMA} }} }} }} }}
  - {{ name: publish, load: {{ from: rows, connection: mart, table: mart.t, mode: replace }} }}\n"
    ));
    let hangs = "SELECT oid::int8, (SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY 1) FROM pg_index WHERE indrelid = c.oid), \
                 relacl::text, obj_description(oid) FROM pg_class c WHERE oid = 'mart.t'::regclass";
    let before = mart.query(hangs);
    for (rows, there) in [("1,a 2,b", "2"), ("", "0"), ("", "0"), ("3,c", "1")] {
        assert!(case.load("id,v", rows).contains(&format!(" {there} row")));
        assert_eq!(mart.query("SELECT count(*) FROM mart.t"), [there]);
        assert_eq!(mart.query("SELECT count(*) FROM mart.seen"), [there]);
    }
    assert_eq!(mart.query(hangs), before);
    let may = format!("SELECT has_table_privilege('{reader}', 'mart.t', 'SELECT')");
    assert_eq!(mart.query(&may), ["true"]);
    mart.execute(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}

#[test]
fn a_replace_without_rows_empties_a_table_and_keeps_the_rest() {
    let case = OneLoad::embedded();
    case.says(
        SCHEMA,
        "mode: replace, partition_by: [v], properties: { owner: me }",
    );
    case.load("id,v", "1,a 2,b");
    let before = case.scene.query(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 't'",
    );
    for _ in 0..2 {
        assert!(case.load("id,v", "").contains(" 0 rows"));
        case.holds("");
    }
    assert_eq!(case.snapshots(), 3);
    let after = case.scene.query(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 't'",
    );
    assert_eq!(after, before);
    let newest = case.files(".metadata.json").pop_last().unwrap();
    let metadata = std::fs::read_to_string(newest).unwrap();
    assert!(metadata.contains("\"owner\":\"me\""), "{metadata}");
    // What it held is still there to go back to.
    let snapshots = case.scene.good(&["history", "d.t", "--format", "json"]);
    let snapshots: serde_json::Value = serde_json::from_str(&snapshots).unwrap();
    let first = snapshots.as_array().unwrap().last().unwrap()["snapshot"].to_string();
    case.scene.good(&["rollback", "d.t", "--to", &first]);
    case.holds("1,a 2,b");
}
