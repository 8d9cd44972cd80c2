//! SQL that can be parsed and has no meaning: what `plan`, `run` and `query` say of it, word for word.

use crate::scene::Scene;

const WRONG_COMMAND: i32 = 2;
const FINDINGS: i32 = 3;

const HEAD: &str = "kind: Pipeline
name: p
domain: d
steps:
  - name: orders
    extract: { connection: files, table: orders.csv }
  - name: shops
    extract: { connection: files, table: shops.csv }
";

const TAIL: &str = "  - name: publish
    load: { from: answer, table: d.t, mode: replace }
  - name: publish_shops
    load: { from: shops, table: d.shops, mode: replace }
";

fn scene(steps: &str) -> Scene {
    Scene::with(&[
        (
            "connections/files.yaml",
            "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n",
        ),
        ("p.yaml", &format!("{HEAD}{steps}{TAIL}")),
        (
            "data/orders.csv",
            "id,shop_id,amount,ordered_at,note\n1,1,10,2026-01-01,a\n",
        ),
        ("data/shops.csv", "id,name\n1,north\n"),
    ])
}

/// What `plan` says of a query that stands in a block, without the summary of where it stands.
fn told(sql: &str) -> String {
    let lines: Vec<String> = sql
        .lines()
        .map(|line| format!("        {line}\n"))
        .collect();
    let steps = format!(
        "  - name: answer\n    transform:\n      sql: |\n{}",
        lines.concat()
    );
    let scene = scene(&steps);
    let planned = scene.bad(FINDINGS, &["plan", "d/p"]);
    let ran = scene.bad(FINDINGS, &["run", "d/p"]);
    assert_eq!(planned, ran, "a run says what a plan says");
    assert!(!planned.contains("datafusion"), "{planned}");
    planned
}

#[track_caller]
fn says(sql: &str, expected: &str) {
    assert_eq!(told(sql).trim_end(), expected.trim_end());
}

#[test]
fn an_unknown_column_and_the_nearest_one() {
    says(
        "select id,\n       amont * 2 as twice\nfrom orders",
        "error[unknown-column]: there is no column `amont`
  --> p.yaml:13:16
   |
13 |                amont * 2 as twice
   |                ^^^^^
help: did you mean `amount`?
",
    );
    says(
        "select o.id, s.nme from orders o join shops s on s.id = o.shop_id",
        "error[unknown-column]: there is no column `nme` in `s`
  --> p.yaml:12:22
   |
12 |         select o.id, s.nme from orders o join shops s on s.id = o.shop_id
   |                      ^^^^^
help: did you mean `s.name`?
",
    );
    says(
        "select id from orders where Amount > 3",
        "error[unknown-column]: there is no column `Amount`
  --> p.yaml:12:37
   |
12 |         select id from orders where Amount > 3
   |                                     ^^^^^^
help: did you mean `amount`?
",
    );
    says(
        "select * from orders join shops using (shp)",
        "error[unknown-column]: there is no column `shp`
  --> p.yaml:12:48
   |
12 |         select * from orders join shops using (shp)
   |                                                ^^^
help: there are `amount`, `id`, `note`, `ordered_at` and `shop_id`
",
    );
}

#[test]
fn an_unknown_table_of_a_column() {
    says(
        "select o.id, orders.amount from orders o",
        "error[unknown-column]: nothing that is read here is named `orders`
  --> p.yaml:12:22
   |
12 |         select o.id, orders.amount from orders o
   |                      ^^^^^^^^^^^^^
help: read here: `o`
",
    );
}

#[test]
fn an_unknown_function() {
    says(
        "select summ(amount) as total from orders",
        "error[unknown-function]: there is no function `summ`
  --> p.yaml:12:16
   |
12 |         select summ(amount) as total from orders
   |                ^^^^
help: did you mean `sum`?
",
    );
}

#[test]
fn an_ambiguous_column() {
    says(
        "select id from orders join shops on shops.id = shop_id",
        "error[ambiguous-column]: `id` is ambiguous: several tables here have this column
  --> p.yaml:12:16
   |
12 |         select id from orders join shops on shops.id = shop_id
   |                ^^
help: write `orders.id` or `shops.id`
",
    );
}

#[test]
fn types_that_do_not_go_together() {
    says(
        "select id from orders\nwhere amount > 1 and ordered_at = true",
        "error[sql-types]: these types do not go together: `date = boolean`
  --> p.yaml:13:30
   |
13 |         where amount > 1 and ordered_at = true
   |                              ^^^^^^^^^^^^^^^^^
help: convert one side: `CAST(… AS …)`
",
    );
    says(
        "select id, sum(note) as notes from orders group by id",
        "error[sql-types]: `sum` cannot be called with (string)
  --> p.yaml:12:20
   |
12 |         select id, sum(note) as notes from orders group by id
   |                    ^^^^^^^^
help: convert what it is given: `CAST(… AS …)`
",
    );
    says(
        "select id from orders where amount + 1",
        "error[sql-types]: a condition must be true or false, and this is a `long`
  --> p.yaml:12:37
   |
12 |         select id from orders where amount + 1
   |                                     ^^^^^^^^^^
help: compare it with something: `amount > 0`
",
    );
}

#[test]
fn a_column_that_is_not_grouped_by() {
    says(
        "select shop_id, amount, count(*) as n from orders group by shop_id",
        "error[not-grouped]: `amount` is neither grouped by nor in an aggregate function
  --> p.yaml:12:25
   |
12 |         select shop_id, amount, count(*) as n from orders group by shop_id
   |                         ^^^^^^
help: add it to `GROUP BY`, or say which of its values is meant: `max(amount)`
",
    );
}

#[test]
fn two_columns_of_one_name() {
    let told = told("select orders.id, shops.id from orders join shops on shops.id = shop_id");
    assert!(
        told.contains("error[duplicate-column]: two columns of the answer are named `id`"),
        "{told}"
    );
    assert!(told.contains("p.yaml:12:"), "{told}");
}

#[test]
fn a_file_has_places_of_its_own() {
    let scene = scene("  - name: answer\n    transform: { file: answer.sql }\n");
    scene.write(
        "answer.sql",
        "-- what was ordered\nselect id, nota\nfrom orders\n",
    );
    let told = scene.bad(FINDINGS, &["plan", "d/p"]);
    let expected = "error[unknown-column]: there is no column `nota`
 --> answer.sql:2:12
  |
2 | select id, nota
  |            ^^^^
help: did you mean `note`?";
    assert_eq!(told.trim_end(), expected);
}

#[test]
fn rules_are_told_of_all_at_once_and_with_what_else_is_wrong() {
    let scene = scene(
        "  - name: sane
    check:
      on: orders
      rules:
        - { name: known, expect: amont > 0, otherwise: warn }
        - { name: typed, expect: amount, otherwise: warn }
        - name: all
          expect: |
            count(*) > 0
              and max(nte) is not null  -- a remark
          otherwise: fail
  - name: answer
    transform: { sql: select idd from orders }
  - name: further
    transform: { sql: select whatever from answer }
  - name: publish_further
    load: { from: further, table: d.further, mode: replace }
",
    );
    let told = scene.bad(FINDINGS, &["plan", "--all"]);
    for expected in [
        "no column `amont`\n  --> p.yaml:13:34",
        "this is a `long`\n  --> p.yaml:14:34",
        "no column `nte`\n  --> p.yaml:18:23",
        "no column `idd`\n  --> p.yaml:21:30",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert_eq!(told.matches("error[").count(), 4, "{told}");
    assert!(!told.contains("whatever"), "{told}");
}

#[test]
fn a_bad_query_says_what_is_wrong_and_what_is_there() {
    let scene = scene("  - name: answer\n    transform: { sql: select * from orders }\n");
    let query = |sql: &str| {
        let told = scene.bad(WRONG_COMMAND, &["query", sql]);
        assert!(!told.contains("datafusion"), "{told}");
        told.trim_end().to_owned()
    };
    let early = query("select * from d.t");
    assert!(
        early.contains("table `d.t` has not been loaded yet")
            && early.contains("`lakewright run d/p`"),
        "{early}"
    );
    scene.good(&["run", "d/p"]);
    assert_eq!(
        query("select * from d.tt limit 3"),
        "error[unknown-table]: there is no table `d.tt`
 --> query:1:15
  |
1 | select * from d.tt limit 3
  |               ^^^^
help: did you mean `d.t`?"
    );
    let bare = query("select * from t");
    assert!(
        bare.contains("no table `t`") && bare.contains("did you mean `d.t`?"),
        "{bare}"
    );
    let other = query("select * from elsewhere.things");
    assert!(
        other.contains("the lake has `d.shops` and `d.t`"),
        "{other}"
    );
    assert_eq!(
        query("select id, amont from d.t"),
        "error[unknown-column]: there is no column `amont`
 --> query:1:12
  |
1 | select id, amont from d.t
  |            ^^^^^
help: did you mean `amount`?"
    );
    let syntax = query("select id from d.t x y");
    assert!(
        syntax.contains("error[sql-syntax]") && syntax.contains("query:1:"),
        "{syntax}"
    );
    let change = query("create table x as select 1");
    assert!(change.contains("error[sql-not-a-query]"), "{change}");
    assert_eq!(scene.query("select count(*) from d.t"), ["1"]);
}
