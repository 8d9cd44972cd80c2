//! Columns with parts: what changes inside of them is refused, and nothing of a row is ever left out for it.

use crate::evolution::Case;

/// Writes the pipeline and one row, as JSON.
fn says(case: &Case, how: &str, row: &str) {
    let spec = format!(
        "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
         - {{ name: rows, extract: {{ connection: files, table: rows.ndjson }} }}\n  \
         - {{ name: publish, load: {{ from: rows, table: d.t, {how} }} }}\n"
    );
    case.scene.write("p.yaml", &spec);
    case.scene.write("data/rows.ndjson", &format!("{row}\n"));
}

const ALL: &str = "SELECT id, place['x'], place['y'], tags[1], tags[2] FROM d.t";
const MERGE: &str = "mode: { merge: { key: [id] } }";
const FIRST: &str = r#"{"id":1,"place":{"x":1,"y":"a"},"tags":[1,2]}"#;

/// What comes later, and what the plan says of it: more parts, fewer, other types, another order, other names, in a
/// struct, a list, and a struct in a list.
const LATER: [(&str, &str); 6] = [
    (
        r#"{"id":1,"place":{"x":1,"y":"a","z":7}}"#,
        "-> struct<x:long,y:string,z:long>",
    ),
    (r#"{"id":1,"place":{"x":1}}"#, "-> struct<x:long>"),
    (
        r#"{"id":1,"place":{"x":1.5,"y":"a"}}"#,
        "-> struct<x:double,y:string>",
    ),
    (
        r#"{"id":1,"place":{"y":"a","x":1}}"#,
        "-> struct<y:string,x:long>",
    ),
    (
        r#"{"id":1,"place":{"x":1,"why":"a"}}"#,
        "-> struct<x:long,why:string>",
    ),
    (
        r#"{"id":1,"tags":[{"x":1}]}"#,
        "list<long> -> list<struct<x:long>>",
    ),
];

#[test]
fn a_part_that_comes_goes_or_changes_is_refused_and_nothing_is_lost() {
    let case = Case::embedded();
    let keep = ", on_schema_change: { narrow: keep, widen: keep }";
    for (mode, on) in [(MERGE, ""), (MERGE, keep), ("mode: append", keep)] {
        says(&case, "mode: replace", FIRST);
        case.scene.good(&["run", "d/p"]);
        let before = case.scene.query(ALL);
        for (row, change) in LATER {
            says(&case, &format!("{mode}{on}"), row);
            let plan = case.scene.good(&["plan", "d/p"]);
            assert!(plan.contains(change), "{row}: {plan}");
            assert!(plan.contains("the run will fail"), "{row}: {plan}");
            let told = case.scene.bad(1, &["run", "d/p"]);
            assert!(told.contains("in the table and"), "{row}: {told}");
        }
        assert_eq!(case.scene.query(ALL), before);
    }
    case.scene.readers_agree();
}

#[test]
fn a_part_is_not_renamed_and_the_plan_says_where_it_was_asked_for() {
    let case = Case::embedded();
    says(&case, MERGE, FIRST);
    case.scene.good(&["run", "d/p"]);
    let how = format!("{MERGE}, renamed_from: {{ place.why: place.y }}");
    says(&case, &how, r#"{"id":1,"place":{"x":1,"why":"a"}}"#);
    for command in ["plan", "run"] {
        let told = case.scene.run(&[command, "d/p"]);
        assert_eq!(told.status.code(), Some(3));
        let told = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
        assert!(told.contains("p.yaml:6:"), "{told}");
        let why = "`place.y` is a part of a column, and only whole columns can be renamed";
        assert!(told.contains(why), "{told}");
    }
}
