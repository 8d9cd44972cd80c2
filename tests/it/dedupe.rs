//! `append` with `dedupe`: rows that a table has are not added again, and no row is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::database::Database;
use crate::kills::{Kills, Numbers};
use crate::one_load::OneLoad;
use crate::place::Place;
use crate::services;

const SCHEMA: &str = "id: long, day: date, v: string";
const COLUMNS: &str = "id,day,v";

fn new(more: &str) -> String {
    format!("mode: {{ append: {{ dedupe: {{ key: [id]{more} }} }} }}")
}

/// Rows are new where none of their key lies within thirty days.
const WITHIN: &str = ", by: day, within: 30d";

/// Loads row after row, as `rows => how many are added => what the table holds then`.
fn follow(case: &OneLoad, steps: &str) {
    for step in steps.lines().map(str::trim).filter(|step| !step.is_empty()) {
        let parts: Vec<&str> = step.split("=>").map(str::trim).collect();
        let [rows, added, content] = *parts.first_chunk().unwrap();
        let told = case.load(COLUMNS, rows);
        let noun = if added == "1" { "row" } else { "rows" };
        assert!(told.contains(&format!(" {added} {noun}")), "{step}: {told}");
        case.holds(content);
    }
}

const NEW: &str = "
1,2026-01-01,a 2,2026-01-01,b                       => 2 => 1,2026-01-01,a 2,2026-01-01,b
2,2027-01-01,x 3,2026-01-01,c 1,2026-01-01,a        => 1 => 1,2026-01-01,a 2,2026-01-01,b 3,2026-01-01,c
3,2026-01-01,c 2,2026-01-01,y                       => 0 => 1,2026-01-01,a 2,2026-01-01,b 3,2026-01-01,c
4,2026-01-03,z 4,2026-01-02,d 4,,n 4,2026-01-02,e   => 1 => 1,2026-01-01,a 2,2026-01-01,b 3,2026-01-01,c 4,2026-01-02,d
";

/// The first row of each key that is not there is added, wherever the table lies.
fn new_rows_are_added(case: &OneLoad, partition_by: &str) {
    case.says(SCHEMA, &format!("{}{partition_by}", new(", by: day")));
    follow(case, NEW);
    // A load in which nothing is new makes no snapshot.
    assert_eq!(case.snapshots(), 3);
}

#[test]
fn on_the_embedded_catalog() {
    for partition_by in [
        "",
        ", partition_by: [v]",
        ", partition_by: ['bucket(4, id)']",
    ] {
        let case = OneLoad::embedded();
        new_rows_are_added(&case, partition_by);
        assert_eq!(case.changed(), [1, 0, 0]);
    }
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        let case = OneLoad::new(place, &services::fresh_schema());
        new_rows_are_added(&case, ", partition_by: ['month(day)']");
    }
}

#[test]
fn on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        let case = OneLoad::new(Place::postgres(catalog.url()), "d");
        new_rows_are_added(&case, "");
    }
}

#[test]
fn rows_further_apart_are_kept() {
    let case = OneLoad::embedded();
    case.says(SCHEMA, &new(WITHIN));
    // The second is near the first, the third only near the second, which is not added.
    follow(
        &case,
        "1,2026-02-15,c 1,2026-01-01,a 1,2026-01-20,b       => 2 => 1,2026-01-01,a 1,2026-02-15,c
         1,2026-01-31,x 1,2026-03-18,d 1,2025-12-01,z       => 2 => 1,2025-12-01,z 1,2026-01-01,a 1,2026-02-15,c 1,2026-03-18,d
         1,2026-01-01,a 1,2026-02-15,C                      => 0 => 1,2025-12-01,z 1,2026-01-01,a 1,2026-02-15,c 1,2026-03-18,d",
    );
    assert_eq!(case.snapshots(), 2);
    // A row that the table knows does not keep another from being added that it does not know.
    let case = OneLoad::embedded();
    case.says(SCHEMA, &new(WITHIN));
    follow(
        &case,
        "2,2026-01-01,a                                     => 1 => 2,2026-01-01,a
         2,2026-01-26,b 2,2026-02-15,c                      => 1 => 2,2026-01-01,a 2,2026-02-15,c",
    );
}

#[test]
fn times_are_compared_to_the_microsecond() {
    for r#type in ["timestamp", "timestamptz"] {
        let zone = if r#type == "timestamp" { "" } else { "Z" };
        let case = OneLoad::embedded();
        case.says(
            &format!("id: string, at: {type}"),
            &new(", by: at, within: 1h"),
        );
        let times = |times: &[&str]| {
            let rows = times.iter().map(|time| format!("k,{time}{zone}"));
            rows.collect::<Vec<_>>().join(" ")
        };
        let first = times(&["1969-12-31T23:59:59.999999", "1970-01-01T00:59:59.999999"]);
        assert!(case.load("id,at", &first).contains(" 1 row"));
        let second = times(&["1970-01-01T01:00:00", "1969-12-31T22:59:59.999998"]);
        assert!(case.load("id,at", &second).contains(" 2 rows"));
        assert!(case.load("id,at", &first).contains(" 0 rows"));
        case.scene.readers_agree();
    }
}

/// What a table holds by the rules: of each key the days.
#[derive(Default)]
struct Model(BTreeMap<u64, BTreeSet<u64>>);

impl Model {
    fn add(&mut self, rows: &[(u64, u64)], within: u64) {
        let there = self.0.clone();
        let sorted: BTreeSet<(u64, u64)> = rows.iter().copied().collect();
        for (key, day) in sorted {
            let near = |days: &BTreeSet<u64>| {
                let mut around = days.range(day.saturating_sub(within)..=day + within);
                around.next().is_some()
            };
            let known = there.get(&key).is_some_and(near);
            let days = self.0.entry(key).or_default();
            if !known && !near(days) {
                days.insert(day);
            }
        }
    }

    fn rows(&self) -> Vec<String> {
        let all = self.0.iter();
        let rows = all.flat_map(|(key, days)| days.iter().map(move |day| format!("{key},{day}")));
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        rows
    }
}

#[test]
fn what_is_kept_is_what_the_rules_say() {
    let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
    println!("LAKEWRIGHT_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let case = OneLoad::embedded();
    case.steps(&format!(
        "  - {{ name: rows, extract: {{ connection: files, table: rows.csv, options: {{ schema: {{ id: long, number: int }} }} }} }}
  - {{ name: dated, transform: {{ sql: \"SELECT id, arrow_cast(number + 20000, 'Date32') AS day FROM rows\" }} }}
  - {{ name: publish, load: {{ from: dated, table: d.t, {}, partition_by: ['month(day)'] }} }}\n",
        new(WITHIN)
    ));
    let mut model = Model::default();
    for _ in 0..6 {
        let rows: Vec<(u64, u64)> = (0..400)
            .map(|_| (numbers.next() % 40, numbers.next() % 1_500))
            .collect();
        model.add(&rows, 30);
        let lines: Vec<String> = rows
            .iter()
            .map(|(key, day)| format!("{key},{day}"))
            .collect();
        case.load("id,number", &lines.join(" "));
        let sql = "SELECT id, arrow_cast(day, 'Int32') - 20000 FROM d.t";
        let mut found = case.scene.query(sql);
        found.sort();
        assert!(found == model.rows(), "{found:?}\n{:?}", model.rows());
    }
    case.scene.readers_agree();
}

#[test]
fn which_of_several_rows_is_added_does_not_depend_on_their_order() {
    for (more, kept) in [
        ("", "1,2026-01-01,z 2,,b"),
        (", by: v", "1,2026-02-01,a 2,,b"),
    ] {
        for rows in [
            "1,2026-02-01,a 1,2026-01-01,z 2,,c 2,,b 1,,a",
            "1,,a 2,,b 2,,c 1,2026-01-01,z 1,2026-02-01,a",
        ] {
            let case = OneLoad::embedded();
            case.says(SCHEMA, &new(more));
            case.load(COLUMNS, rows);
            case.holds(kept);
        }
    }
}

#[test]
fn a_row_without_a_key_or_a_time_ends_the_run() {
    let case = OneLoad::embedded();
    case.says(SCHEMA, &new(WITHIN));
    case.load(COLUMNS, "1,2026-01-01,a");
    for (row, named) in [(",2026-01-01,b", "`id`"), ("2,,b", "`day`")] {
        case.arrives(COLUMNS, &format!("3,2026-01-01,c {row}"));
        let told = case.scene.bad(1, &["run", "d/p"]);
        assert!(told.contains(named), "{told}");
    }
    case.holds("1,2026-01-01,a");
    assert_eq!(case.snapshots(), 1);
}

#[test]
fn columns_may_be_missing_and_new() {
    let case = OneLoad::embedded();
    case.says("id: int, v: string", &new(""));
    case.load("id,v", "1,a 2,b");
    case.says("id: long, w: string", &new(""));
    case.load("id,w", "2,x 9000000000,y");
    case.holds("1,a, 2,b, 9000000000,,y");
}

#[test]
fn a_row_that_is_there_twice_is_known_and_one_that_was_deleted_is_new() {
    let case = OneLoad::embedded();
    case.says(SCHEMA, "mode: append");
    let rows = "1,2026-01-01,a 2,2026-01-01,b";
    case.load(COLUMNS, rows);
    case.load(COLUMNS, rows);
    let deletes = "deletes: { flagged: { when: \"v = 'D'\" } }, write: merge_on_read";
    case.says(
        SCHEMA,
        &format!("mode: {{ merge: {{ key: [id], {deletes} }} }}"),
    );
    case.load(COLUMNS, "2,,D");
    for more in ["", WITHIN] {
        case.says(SCHEMA, &new(more));
        case.load(COLUMNS, rows);
        case.holds("1,2026-01-01,a 1,2026-01-01,a 2,2026-01-01,b");
    }
}

#[test]
fn lists_and_structs_are_added_as_they_are() {
    let case = OneLoad::embedded();
    case.reads("table: rows.ndjson", &new(""));
    let row = |id: u32| format!("{{\"id\":{id},\"tags\":[\"a\",null],\"place\":{{\"x\":{id}}}}}\n");
    for ids in [&[1, 2, 2][..], &[2, 3]] {
        let rows: String = ids.iter().map(|id| row(*id)).collect();
        case.scene.write("data/rows.ndjson", &rows);
        case.scene.good(&["run", "d/p"]);
    }
    let values = "SELECT id, tags[1], place['x'] FROM d.t ORDER BY id";
    assert_eq!(case.scene.query(values), ["1,a,1", "2,a,2", "3,a,3"]);
    case.scene.readers_agree();
}

#[test]
fn files_that_cannot_hold_a_row_are_not_read() {
    let case = OneLoad::embedded();
    case.says(SCHEMA, &new(""));
    case.load(COLUMNS, "20,2026-01-01,n 29,2026-01-01,n");
    let twenties = case.files(".parquet");
    case.load(COLUMNS, "10,2026-01-01,n 19,2026-01-01,n");
    let tens = &case.files(".parquet") - &twenties;
    case.load_without(&tens, COLUMNS, "20,2026-01-01,x 25,2026-01-01,n");
    assert_eq!(case.changed(), [1, 0, 0]);
    case.load_without(&case.files(".parquet"), COLUMNS, "5,2026-01-01,n");
    // Of the same keys, those of another time.
    case.says(SCHEMA, &new(WITHIN));
    case.load_without(
        &case.files(".parquet"),
        COLUMNS,
        "20,2026-02-01,n 5,2025-12-01,n",
    );
    assert_eq!(case.changed(), [2, 0, 0]);
    assert_eq!(case.rows().len(), 8);
    case.scene.readers_agree();
}

#[test]
fn rows_that_are_read_again_are_known_by_the_key_of_the_load() {
    let case = OneLoad::embedded();
    // Without a key of the extract: the load's is enough.
    let extract = "table: '*.csv', mode: incremental, options: { schema: { id: long, v: string } }";
    case.reads(extract, &new(""));
    for (file, rows, all) in [
        ("a", "id,v\n1,a\n2,b\n", "1,a 2,b"),
        ("b", "id,v\n2,c\n3,d\n", "1,a 2,b 3,d"),
        ("c", "id,v\n3,e\n", "1,a 2,b 3,d"),
    ] {
        case.scene.write(&format!("data/{file}.csv"), rows);
        case.scene.good(&["run", "d/p"]);
        case.scene.good(&["run", "d/p"]);
        case.holds(all);
    }
    // That the third file was read is remembered too.
    assert_eq!(case.snapshots(), 3);
}

#[test]
fn more_rows_than_there_is_memory_for() {
    let case = OneLoad::embedded();
    let spec = |from: u64, to: u64, more: &str| {
        let sql = format!(
            "SELECT value % 300000 AS id, arrow_cast(20000 + value / 300000 * 31, 'Date32') AS day, \
             repeat(md5(cast(value AS varchar)), 3) AS v FROM generate_series({from}, {to})"
        );
        case.steps(&format!(
            "  - name: rows\n    transform: {{ sql: \"{sql}\" }}\n  \
             - name: publish\n    load: {{ from: rows, table: d.t, {} }}\n",
            new(more)
        ));
    };
    let little = ["run", "d/p", "--parallel", "4", "--memory", "32MiB"];
    spec(0, 399_999, WITHIN);
    case.scene.good(&little);
    let count = "SELECT count(*), count(DISTINCT id) FROM d.t";
    assert_eq!(case.scene.query(count), ["400000,300000"]);
    spec(100_000, 699_999, WITHIN);
    case.scene.good(&little);
    assert_eq!(case.scene.query(count), ["700000,300000"]);
    spec(500_000, 999_999, "");
    assert!(case.scene.good(&little).contains(" 0 rows"));
}

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    const ROWS: u64 = 20_000;
    let case = OneLoad::embedded();
    let extract = "table: '*.csv', mode: incremental, options: { schema: { id: long, v: long } }";
    case.reads(extract, &new(""));
    let mut round = 0;
    let mut arrive = || {
        // Every second row came in the round before.
        let mut file = "id,v\n".to_owned();
        for id in round * ROWS / 2..round * ROWS / 2 + ROWS {
            let _ = writeln!(file, "{id},{round}");
        }
        case.scene.write(&format!("data/{round:03}.csv"), &file);
        round += 1;
        (round + 1) * ROWS / 2
    };
    arrive();
    let run = || case.scene.good(&["run", "d/p"]);
    let mut kills = Kills::new(8, run);
    while let Some(kill) = kills.another() {
        let all = arrive();
        kills.strike(case.scene.start(&["run", "d/p"]));
        kills.spare(run);
        let count = case
            .scene
            .query("SELECT count(*), count(DISTINCT id) FROM d.t");
        assert_eq!(count, [format!("{all},{all}")], "after kill {kill}");
    }
    case.scene.readers_agree();
}

#[test]
fn what_can_never_be_known_again_is_refused_by_the_plan() {
    let case = OneLoad::embedded();
    case.says("ID: long, v: string", "mode: append");
    case.load("ID,v", "1,a");
    case.refused("id: long, v: string", &new(""), 3, "it has `ID`");
    case.refused("ID: long", &new(""), 3, "`key` names column `id`");
    case.refused("id: double", &new(""), 3, "floating point");
    case.refused("id: long", &new(WITHIN), 3, "`by` names column `day`");
    let text = new(", by: v, within: 1d");
    case.refused("id: long, v: string", &text, 3, "a time or a date");
    let anew = "mode: replace, on_schema_change: { drop: accept }";
    case.says("id: long, at: timestamp", anew);
    case.load("id,at", "1,2026-01-01T00:00:00");
    case.refused(
        "id: long, day: date",
        &new(WITHIN),
        3,
        "has no column `day`",
    );
    case.says("id: long, at: timestamp", &new(", by: at, within: 36h"));
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(plan.contains("append where id is new"), "{plan}");
    assert!(plan.contains("no further apart than 36h"), "{plan}");
}
