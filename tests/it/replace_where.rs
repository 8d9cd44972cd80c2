//! `replace` with `where`: rows take the place of a part of the table, and the rest stays as it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::database::Database;
use crate::kills::Kills;
use crate::one_load::OneLoad;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

const SCHEMA: &str = "id: long, region: string, day: date";
const COLUMNS: &str = "id,region,day";
const NEW_OF_EU: &str = "region = 'eu' AND day >= date '2026-01-01'";

/// Loads tried until one has met an append.
const LOADS: u64 = 40;

fn part(condition: &str) -> String {
    format!("mode: {{ replace: {{ where: \"{condition}\" }} }}")
}

/// The part goes, what comes takes its place, and all else stays.
fn a_part_is_replaced(case: &OneLoad, partition_by: &str) {
    case.says(SCHEMA, &format!("{}{partition_by}", part(NEW_OF_EU)));
    let first = "1,eu,2026-01-01 2,eu,2026-02-01";
    case.load(COLUMNS, first);
    case.holds(first);
    let all = "3,eu,2025-12-31 4,us,2026-01-01 5,,2026-01-01 6,eu,";
    case.says(SCHEMA, &format!("mode: append{partition_by}"));
    case.load(COLUMNS, all);
    case.says(SCHEMA, &format!("{}{partition_by}", part(NEW_OF_EU)));
    for rows in [
        "2,eu,2026-03-01 7,eu,2026-01-01 8,eu,2026-02-01",
        "9,eu,2026-02-01",
        "",
    ] {
        case.load(COLUMNS, rows);
        case.holds(&format!("{all} {rows}"));
    }
    // Nothing is there, and nothing comes.
    let before = case.snapshots();
    case.load(COLUMNS, "");
    assert_eq!(case.snapshots(), before);
}

#[test]
fn on_the_embedded_catalog() {
    for partition_by in [
        "",
        ", partition_by: [region]",
        ", partition_by: ['bucket(2, id)', 'month(day)']",
    ] {
        let case = OneLoad::embedded();
        a_part_is_replaced(&case, partition_by);
        assert_eq!(case.changed(), [0, 0, 1]);
    }
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        let case = OneLoad::new(place, &services::fresh_schema());
        a_part_is_replaced(&case, ", partition_by: [region]");
    }
}

#[test]
fn on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        let case = OneLoad::new(Place::postgres(catalog.url()), "d");
        a_part_is_replaced(&case, "");
    }
}

#[test]
fn rows_outside_the_part_end_the_run_and_change_nothing() {
    let case = OneLoad::embedded();
    case.says(SCHEMA, &part(NEW_OF_EU));
    case.load(COLUMNS, "1,eu,2026-01-01");
    for (rows, shown) in [
        (
            "2,eu,2026-01-01 3,us,2026-01-02",
            "region = us, day = 2026-01-02",
        ),
        ("2,eu,2026-01-01 3,eu,", "region = eu, day is NULL"),
        ("2,eu,2025-12-31", "day = 2025-12-31"),
    ] {
        case.arrives(COLUMNS, rows);
        let told = case.scene.bad(1, &["run", "d/p"]);
        assert!(told.contains(shown), "{told}");
        assert!(told.contains("rows: 1"), "{told}");
    }
    case.holds("1,eu,2026-01-01");
    assert_eq!(case.snapshots(), 1);
}

#[test]
fn files_without_rows_of_the_part_are_neither_read_nor_written() {
    for partition_by in ["", ", partition_by: [region]"] {
        let case = OneLoad::embedded();
        let append = format!("mode: append{partition_by}");
        case.says(SCHEMA, &append);
        case.load(COLUMNS, "1,us,2026-01-01 2,us,2026-02-01");
        case.load(COLUMNS, "3,ap,2026-01-01 4,ap,2026-02-01");
        let others = case.files(".parquet");
        case.load(COLUMNS, "5,eu,2026-01-01 6,eu,2026-02-01");
        case.load(COLUMNS, "7,eu,2025-01-01 8,eu,2026-02-01");
        let before = case.files(".parquet");
        case.says(SCHEMA, &format!("{}{partition_by}", part(NEW_OF_EU)));
        case.load_without(&others, COLUMNS, "9,eu,2026-05-01");
        assert_eq!(case.changed(), [1, 0, 3]);
        // One for what comes, one for what stays of the last: of the one before all rows went.
        let new = &case.files(".parquet") - &before;
        assert_eq!(new.len(), 2, "{new:?}");
        case.holds(
            "1,us,2026-01-01 2,us,2026-02-01 3,ap,2026-01-01 4,ap,2026-02-01 7,eu,2025-01-01 9,eu,2026-05-01",
        );
        // Of a value between the bounds of no file nothing is read at all.
        case.says(SCHEMA, &format!("{}{partition_by}", part("region = 'zz'")));
        case.load_without(&case.files(".parquet"), COLUMNS, "10,zz,");
        assert_eq!(case.changed(), [1, 0, 0]);
    }
}

#[test]
fn rows_that_position_deletes_took_do_not_come_back() {
    let case = OneLoad::embedded();
    let merge = "mode: { merge: { key: [id], write: merge_on_read } }";
    case.says(SCHEMA, merge);
    case.load(
        COLUMNS,
        "1,eu,2026-01-01 2,eu,2026-01-01 3,us,2026-01-01 4,us,2026-01-01",
    );
    case.load(COLUMNS, "1,us,2026-01-01 3,eu,2026-01-01");
    case.says(SCHEMA, &part("region = 'eu'"));
    case.load(COLUMNS, "5,eu,2026-01-01");
    assert_eq!(case.changed(), [1, 0, 2]);
    case.holds("1,us,2026-01-01 4,us,2026-01-01 5,eu,2026-01-01");
    case.says(SCHEMA, merge);
    case.load(COLUMNS, "4,eu,2026-01-01");
    case.says(SCHEMA, &part("region = 'eu'"));
    case.load(COLUMNS, "");
    case.holds("1,us,2026-01-01");
}

#[test]
fn columns_may_be_missing_new_and_wider() {
    let case = OneLoad::embedded();
    case.says("id: int, region: string", "mode: append");
    case.load("id,region", "1,eu 2,us");
    // A new column, in the condition too: rows that are there have no value in it.
    let both = "region = 'eu' AND (w = 'x' OR w IS NULL)";
    case.says("id: long, region: string, w: string", &part(both));
    case.load("id,region,w", "9000000000,eu,x 3,eu,");
    case.holds("2,us, 9000000000,eu,x 3,eu,");
    // A column that is missing is NULL.
    case.says("id: long, region: string", &part(both));
    case.load("id,region", "4,eu");
    case.holds("2,us, 4,eu,");
    case.says("id: long, region: string", &part("w = 'x'"));
    case.arrives("id,region", "5,eu");
    let told = case.scene.bad(1, &["run", "d/p"]);
    assert!(told.contains("w is NULL"), "{told}");
    case.says("id: long, region: string", &part("id >= 4 -- and no other"));
    case.load("id,region", "5,eu 6,us");
    case.holds("2,us, 5,eu, 6,us,");
}

#[test]
fn a_condition_that_means_nothing_is_refused_by_the_plan() {
    let case = OneLoad::embedded();
    case.says("id: long, region: string", "mode: append");
    case.load("id,region", "1,eu");
    let plain = "id: long, region: string";
    case.refused(plain, &part("regon = 'eu'"), 3, "p.yaml:7:");
    case.refused(plain, &part("regon = 'eu'"), 3, "did you mean `region`?");
    case.refused(plain, &part("id + 1"), 3, "p.yaml:7:");
    case.refused(
        plain,
        &part("id > 0 AND now() > timestamp '2026-01-01'"),
        3,
        "`now`",
    );
    case.refused(plain, &part("random() > id"), 3, "`random`");
    case.refused(plain, &part("row_number() over () = 1"), 3, "p.yaml:");
    case.refused(
        "id: long, __lakewright_file: string",
        &part("id = 1"),
        1,
        "`__lakewright_file`",
    );
    case.says(plain, &part("region = 'eu'"));
    let told = case.scene.good(&["plan", "d/p"]);
    assert!(
        told.contains("replace rows for which region = 'eu'"),
        "{told}"
    );
}

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    const ROWS: u64 = 20_000;
    let case = OneLoad::embedded();
    case.says("id: long, v: long", "mode: append");
    let rows = |round: u64| {
        let rows = (0..ROWS).map(|id| format!("{id},{round}"));
        rows.collect::<Vec<_>>().join(" ")
    };
    case.load("id,v", &rows(0));
    case.says("id: long, v: long", &part("id % 2 = 1"));
    let odd = |round: u64| {
        let rows = (0..ROWS / 2).map(|id| format!("{},{round}", 2 * id + 1));
        rows.collect::<Vec<_>>().join(" ")
    };
    case.arrives("id,v", &odd(1));
    let run = || case.scene.good(&["run", "d/p"]);
    let mut kills = Kills::new(8, run);
    while let Some(kill) = kills.another() {
        case.arrives("id,v", &odd(kill + 1));
        kills.strike(case.scene.start(&["run", "d/p"]));
        kills.spare(run);
        let sums = "SELECT count(*), count(DISTINCT id), sum(v) FROM d.t";
        let sum = ROWS / 2 * (kill + 1);
        assert_eq!(
            case.scene.query(sums),
            [format!("{ROWS},{ROWS},{sum}")],
            "after kill {kill}"
        );
    }
    case.scene.readers_agree();
}

/// A project on the lake of another.
fn beside(case: &OneLoad) -> OneLoad {
    let other = OneLoad::embedded();
    let lake = case.scene.path().join("lake");
    let lake = lake.display();
    other.scene.write(
        "project.yaml",
        &format!(
            "kind: Project\nname: scene\nversion: 1\nlake:\n  \
             catalog: {{ sqlite: {{ path: \"{lake}/catalog.db\" }} }}\n  \
             warehouse: {{ local: {{ path: \"{lake}/warehouse\" }} }}\n\
             state: {{ sqlite: {{ path: lake/state.db }} }}\n"
        ),
    );
    other
}

/// Appends rows until it is done; how often.
fn appends(other: &Scene, append: impl Fn(u64), pause: Duration, done: &AtomicBool) -> u64 {
    let mut appends = 0;
    while !done.load(Ordering::Relaxed) {
        append(appends);
        other.good(&["run", "d/p"]);
        appends += 1;
        std::thread::sleep(pause);
    }
    appends
}

/// Says that it is done when it goes, also where a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Replaces a part while another project appends, until `enough` is said of a load that the log tells of; then all rows
/// are there that were appended beside the part, and of the part those that came last.
fn both_write(appended: fn(u64) -> String, pause: Duration, enough: fn(u64, &str) -> bool) {
    let case = OneLoad::embedded();
    let other = beside(&case);
    let schema = "id: long, v: long";
    case.says(schema, &part("id >= 1000000"));
    other.says(schema, "mode: append");
    other.load("id,v", "0,0");
    let done = AtomicBool::new(false);
    let (count, loads) = std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let append = |n: u64| other.arrives("id,v", &appended(n + 1));
            appends(&other.scene, append, pause, &done)
        });
        let _ends = Ends(&done);
        let loads = (1..=LOADS).find(|load| {
            let rows: Vec<String> = (0..5_000)
                .map(|n| format!("{},{load}", 1_000_000 + n))
                .collect();
            case.arrives("id,v", &rows.join(" "));
            let output = services::lakewright()
                .args(["run", "d/p"])
                .env("LAKEWRIGHT_LOG", "run=info")
                .current_dir(case.scene.path())
                .output()
                .expect("the binary ends");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{told}");
            enough(*load, &told)
        });
        done.store(true, Ordering::Relaxed);
        (appending.join().unwrap(), loads.expect("enough"))
    });
    println!("{count} appends, {loads} loads");
    let sql = "SELECT count(*), count(DISTINCT id), min(v), max(v) FROM d.t WHERE id ";
    let rest = case.scene.query(&format!("{sql} < 1000000"));
    assert_eq!(rest, [format!("{0},{0},0,0", count + 1)]);
    let loaded = case
        .scene
        .query(&format!("{sql} BETWEEN 1000000 AND 1999999"));
    assert_eq!(loaded, [format!("5000,5000,{loads},{loads}")]);
    case.scene.readers_agree();
}

#[test]
fn a_part_that_others_append_to_is_replaced_again() {
    // Between two appends there is time for a load.
    let pause = Duration::from_millis(700);
    both_write(
        |n| format!("{n},0 {},0", 2_000_000 + n),
        pause,
        |_, told| told.contains("merging again"),
    );
}

#[test]
fn appends_beside_the_part_do_not_hold_a_load_up() {
    both_write(
        |n| format!("{n},0"),
        Duration::from_millis(250),
        |load, told| {
            assert!(!told.contains("merging again"), "{told}");
            load == 5
        },
    );
}

#[test]
fn rows_computed_from_the_table_replace_no_others() {
    let case = OneLoad::embedded();
    let other = beside(&case);
    other.says("id: long, v: long", "mode: append");
    other.load("id,v", "0,0");
    case.steps(
        "  - { name: rows, transform: { sql: 'SELECT id, v + 1 AS v FROM d.t WHERE id >= 0' } }
  - { name: publish, load: { from: rows, table: d.t, mode: { replace: { where: id >= 0 } } } }\n",
    );
    let done = AtomicBool::new(false);
    let (count, succeeded) = std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let append = |n: u64| other.arrives("id,v", &format!("{},0", n + 1));
            appends(&other.scene, append, Duration::from_millis(500), &done)
        });
        let _ends = Ends(&done);
        let mut succeeded = 0;
        for _ in 0..12 {
            let output = case.scene.run(&["run", "d/p"]);
            succeeded += u64::from(output.status.success());
        }
        done.store(true, Ordering::Relaxed);
        (appending.join().unwrap(), succeeded)
    });
    println!("{count} appends, {succeeded} of 12 loads");
    assert!(succeeded > 0);
    // Whether or not a load succeeded, no row is lost, and the first counts the loads.
    let rows = case
        .scene
        .query("SELECT count(*), count(DISTINCT id), max(v) FROM d.t");
    assert_eq!(rows, [format!("{0},{0},{succeeded}", count + 1)]);
}
