//! Audits of several tables at once, beside others who write, and of runs that die on the way.

use std::process::{Command, Stdio};

use crate::audit::{Case, load};
use crate::place::Place;
use crate::services;

const CHECK_FAILED: i32 = 5;
const MERGE: &str = "{ merge: { key: [id] } }";
/// Rounds of something that should happen in the first.
const ROUNDS: u32 = 8;

/// Two tables: one that gets every row, and one that has each id once.
fn two(place: Place, publish: &str) -> Case {
    let audit = "[{ name: small, expect: sum(v) < 1000, otherwise: fail }]";
    let none = "[{ name: any, expect: count(*) > 0, otherwise: fail }]";
    let loads = load("t", "append", none) + &load("u", MERGE, audit);
    let to_file = "  - { name: file, load: { from: rows, connection: files, table: out/all.csv, mode: replace } }\n";
    Case::new(place, publish, &(loads + to_file))
}

fn both(case: &Case) -> [String; 2] {
    ["t", "u"].map(|table| case.sum(table, &[]))
}

fn one_that_fails_stops_all(place: Place, publish: &str) {
    let case = two(place, publish);
    case.rows(0..10, 1);
    case.run();
    assert_eq!(both(&case), ["10,10", "10,10"]);
    case.rows(5..15, 200);
    let out = case.scene.path().join("data/out/all.csv");
    let written = std::fs::read_to_string(&out).unwrap();
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert_eq!(both(&case), ["10,10", "10,10"]);
    let branch = case.only_branch("t");
    assert_eq!(case.only_branch("u"), branch);
    assert_eq!(case.sum("t", &["--at", &branch]), "20,2010");
    assert_eq!(case.sum("u", &["--at", &branch]), "15,2005");
    let now = std::fs::read_to_string(&out).unwrap();
    assert_eq!(now, written, "nothing else is written before the audit");
    case.readers_agree();
    case.rows(5..15, 2);
    case.run();
    assert_eq!(both(&case), ["20,30", "15,25"]);
    assert!(case.branches("t").is_empty() && case.branches("u").is_empty());
    let now = std::fs::read_to_string(&out).unwrap();
    assert_ne!(now, written);
    case.readers_agree();
}

#[test]
fn one_that_fails_stops_all_in_one_step() {
    one_that_fails_stops_all(Place::embedded(), "{ mode: audit }");
}

#[test]
fn one_that_fails_stops_all_one_by_one() {
    one_that_fails_stops_all(Place::embedded(), "{ mode: audit, tables: one_by_one }");
}

#[test]
fn one_that_fails_stops_all_behind_rest() {
    if let Some(place) = Place::rest() {
        one_that_fails_stops_all(place, "{ mode: audit }");
    }
}

#[test]
fn rows_that_were_set_aside_wait_with_the_others() {
    let audit = "[{ name: small, expect: sum(v) < 100, otherwise: fail }]";
    let loads = format!(
        "  - name: sane\n    check: {{ on: rows, rules: [{{ name: odd, expect: id % 2 = 1, otherwise: quarantine }}] }}\n{}",
        load("t", "append", audit)
    );
    let case = Case::new(Place::embedded(), "{ mode: audit }", &loads);
    case.rows(0..10, 1);
    case.run();
    case.rows(0..10, 50);
    case.scene.bad(CHECK_FAILED, &["run", "d/p"]);
    assert_eq!(case.sum("t", &[]), "5,5");
    assert_eq!(case.sum("t_quarantine", &[]), "5,5");
    case.rows(0..10, 2);
    case.run();
    assert_eq!(case.sum("t", &[]), "10,15");
    assert_eq!(case.sum("t_quarantine", &[]), "10,15");
    case.readers_agree();
}

/// Kills a run on both sides of each transition of an audit, and gives it again.
#[cfg(debug_assertions)]
fn killed_anywhere(place: Place) {
    let case = two(place, "{ mode: audit }");
    case.rows(0..10, 1);
    case.run();
    let points = [
        "audit.branch",
        "audit.verdict",
        "audit.forward",
        "commit.swap",
    ];
    let (mut rows, mut sum, mut v) = (10, 10, 1);
    for point in points {
        for (side, time) in [("before", 1), ("after", 1), ("before", 2), ("after", 2)] {
            if time > 1 && matches!(point, "audit.verdict" | "audit.forward") {
                continue;
            }
            let fault = format!("{point}.{side}=kill@{time}");
            v += 1;
            (rows, sum) = (rows + 10, sum + 10 * v);
            case.rows(0..10, v);
            let before = both(&case);
            let (ended, told) = case.run_with(&fault);
            assert!(!ended && told.contains("failpoint:"), "{fault}\n{told}");
            if fault != "audit.forward.after=kill@1" {
                assert_eq!(both(&case), before, "{fault}: nothing is visible");
            }
            case.run();
            let expected = [format!("{rows},{sum}"), format!("10,{}", 10 * v)];
            assert_eq!(both(&case), expected, "{fault}");
            assert!(case.branches("t").is_empty() && case.branches("u").is_empty());
        }
    }
    case.readers_agree();
}

#[cfg(debug_assertions)]
#[test]
fn killed_anywhere_behind_rest() {
    if let Some(place) = Place::rest() {
        killed_anywhere(place);
    }
}

#[cfg(debug_assertions)]
#[test]
fn killed_anywhere_in_sqlite() {
    killed_anywhere(Place::embedded());
}

#[cfg(debug_assertions)]
#[test]
fn a_run_that_has_published_one_of_two_is_finished() {
    let case = two(Place::embedded(), "{ mode: audit, tables: one_by_one }");
    case.rows(0..10, 1);
    case.run();
    case.rows(0..10, 2);
    // After both branches, the first table goes forward.
    let (ended, told) = case.run_with("commit.swap.after=kill@3");
    assert!(!ended && told.contains("failpoint:"), "{told}");
    assert_eq!(both(&case), ["20,30", "10,10"]);
    assert!(case.branches("t").is_empty());
    assert_eq!(case.branches("u").len(), 1);
    case.run();
    assert_eq!(
        both(&case),
        ["20,30", "10,20"],
        "the first is not loaded again"
    );
    assert!(case.branches("u").is_empty());
    case.readers_agree();
}

#[cfg(debug_assertions)]
#[test]
fn an_audit_can_be_interrupted() {
    let case = two(Place::embedded(), "{ mode: audit }");
    case.rows(0..10, 1);
    case.run();
    case.rows(0..10, 2);
    let mut slow = services::lakewright();
    slow.args(["run", "d/p"])
        .env("LAKEWRIGHT_FAILPOINTS", "audit.verdict.before=delay:600s")
        .current_dir(case.scene.path());
    let slow = slow.stdin(Stdio::null()).stderr(Stdio::piped());
    let slow = slow.stdout(Stdio::null()).spawn().unwrap();
    while case.branches("u").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let signal = Command::new("kill")
        .args(["-INT", &slow.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    let output = slow.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert_eq!(both(&case), ["10,10", "10,10"]);
    case.run();
    assert_eq!(both(&case), ["20,30", "10,20"]);
    assert!(case.branches("t").is_empty() && case.branches("u").is_empty());
}

/// Whoever writes while an audit goes on is neither lost nor in the way: the audit is made again.
#[cfg(debug_assertions)]
fn others_write_meanwhile(mode: &str, adds_columns: bool) {
    let audit = "[{ name: any, expect: count(*) >= previous(count(*)), otherwise: fail }]";
    let case = Case::new(
        Place::embedded(),
        "{ mode: audit }",
        &load("t", mode, audit),
    );
    case.rows(0..10, 1);
    case.run();
    let other = case.beside(
        "{ mode: direct }",
        "  - { name: t, load: { from: rows, table: NS.t, mode: append } }\n",
    );
    let mut rows = 10;
    for round in 1..=ROUNDS {
        // Rows of one key are only brought by one of the two.
        let first = 1000 * u64::from(round);
        case.rows(first..first + 10, 1);
        if adds_columns {
            let rows: Vec<String> = (first..first + 10)
                .map(|id| format!("{id},1,1\n"))
                .collect();
            let file = format!("id,v,w{round}\n{}", rows.concat());
            case.scene.write("data/rows.csv", &file);
        }
        other.rows(first + 100..first + 110, 1);
        let script = format!("audit.verdict.after=delay:{}s,trace", 2 * round);
        let mut slow = services::lakewright();
        slow.args(["run", "d/p"])
            .env("LAKEWRIGHT_FAILPOINTS", script)
            .current_dir(case.scene.path());
        let slow = slow.stdin(Stdio::null()).stderr(Stdio::piped());
        let slow = slow.stdout(Stdio::null()).spawn().unwrap();
        while case.branches("t").is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        other.run();
        let output = slow.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        rows += 20;
        assert_eq!(case.sum("t", &[]), format!("{rows},{rows}"), "{told}");
        assert!(case.branches("t").is_empty());
        if told.matches("audit.verdict.before").count() == 2 {
            case.readers_agree();
            return;
        }
    }
    panic!("the other was too slow {ROUNDS} times");
}

#[cfg(debug_assertions)]
#[test]
fn others_append_while_an_append_is_audited() {
    others_write_meanwhile("append", false);
}

#[cfg(debug_assertions)]
#[test]
fn others_append_while_a_new_column_is_audited() {
    others_write_meanwhile("append", true);
}

#[cfg(debug_assertions)]
#[test]
fn others_append_while_a_merge_is_audited() {
    others_write_meanwhile(MERGE, false);
}

#[cfg(debug_assertions)]
#[test]
fn a_reply_that_is_lost_is_found_again() {
    let audit = "[{ name: any, expect: count(*) > 0, otherwise: fail }]";
    let case = Case::new(
        Place::embedded(),
        "{ mode: audit }",
        &load("t", "append", audit),
    );
    for (round, time) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
        case.rows(0..10, 1);
        let (ended, told) = case.run_with(&format!("commit.swap.after=lost_reply@{time}"));
        assert!(ended && told.contains("failpoint:"), "{told}");
        assert_eq!(case.sum("t", &[]), format!("{0},{0}", 10 * round));
        assert!(case.branches("t").is_empty());
    }
    case.readers_agree();
}
