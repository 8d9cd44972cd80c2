//! Values that cannot become what SQL makes of them: a run says which value, of which column and step, and what to do.

use crate::scene::Scene;

const FAILED: i32 = 1;
const FINDINGS: i32 = 3;

fn scene(sql: &str) -> Scene {
    let pipeline = format!(
        "kind: Pipeline
name: p
domain: d
steps:
  - name: orders
    extract: {{ connection: files, table: orders.csv }}
  - name: typed
    transform: {{ sql: \"{sql}\" }}
  - name: total
    transform: {{ sql: 'select count(*) as n, max(amount) as amount from typed' }}
  - name: publish
    load: {{ from: total, table: d.t, mode: append }}
"
    );
    Scene::with(&[
        (
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        ),
        ("p.yaml", &pipeline),
        (
            "data/orders.csv",
            "id,amount,day,of\n1,12,2026-01-01,1\n2,12 EUR,2026-13-01,0\n",
        ),
    ])
}

#[test]
fn a_value_that_is_none_of_its_type_is_told_with_its_column() {
    for (sql, said, column) in [
        (
            "select id, cast(amount as bigint) as amount from orders",
            "`12 EUR` is no `long`",
            "column: `amount` of `typed`",
        ),
        (
            "select id, cast(day as date) as amount from orders",
            "`2026-13-01` is no `date`",
            "column: `day` of `typed`",
        ),
        (
            "select id, cast(day as timestamp) as amount from orders",
            "`2026-13-01` is no `timestamp`",
            "column: `day` of `typed`",
        ),
        (
            "select id, cast(amount as decimal(10, 2)) as amount from orders",
            "`12 EUR` is no `decimal`",
            "column: `amount` of `typed`",
        ),
    ] {
        let scene = scene(sql);
        let told = scene.bad(FAILED, &["run", "d/p"]);
        for expected in [said, column, "step: publish", "TRY_CAST", "check it"] {
            assert!(told.contains(expected), "{expected}\n{told}");
        }
        assert!(!told.contains("Arrow"), "{told}");
    }
}

#[test]
fn a_division_by_zero_says_what_to_write() {
    let told = scene("select id, id / of as amount from orders").bad(FAILED, &["run", "d/p"]);
    assert!(
        told.contains("divided by zero") && told.contains("nullif"),
        "{told}"
    );
    assert!(!told.contains("Arrow"), "{told}");
}

#[test]
fn a_value_in_the_text_itself_has_its_place() {
    let told = scene("select id, cast('x' as bigint) as amount from orders")
        .bad(FINDINGS, &["plan", "d/p"]);
    assert!(
        told.contains("error[sql-types]: `x` is no `long`") && told.contains("p.yaml:8:40"),
        "{told}"
    );
}

#[test]
fn a_query_says_it_too() {
    let scene = scene("select id, amount from orders");
    scene.good(&["run", "d/p"]);
    let told = scene.bad(FAILED, &["query", "select cast(amount as bigint) from d.t"]);
    assert!(told.contains("`12 EUR` is no `long`"), "{told}");
    assert!(!told.contains("Arrow"), "{told}");
}

#[test]
fn dates_are_cut_to_dates_whatever_the_year() {
    let scene = scene("select 1 as amount");
    let cut = |part| format!("cast(date_trunc('{part}', day) as date) as {part}");
    let columns = ["week", "month", "quarter", "YEAR"].map(cut).join(", ");
    let days = "(date '9999-12-31'), (date '2024-02-29'), (date '1969-12-31'), (date '0001-05-01'), (null)";
    assert_eq!(
        scene.query(&format!("select {columns} from (values {days}) as t (day)")),
        [
            "9999-12-27,9999-12-01,9999-10-01,9999-01-01",
            "2024-02-26,2024-02-01,2024-01-01,2024-01-01",
            "1969-12-29,1969-12-01,1969-10-01,1969-01-01",
            "0001-04-30,0001-05-01,0001-04-01,0001-01-01",
            ",,,",
        ]
    );
}
