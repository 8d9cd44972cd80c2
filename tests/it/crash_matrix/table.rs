//! The matrix as people read it: printed by the tests, published in `docs/crash-matrix.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use run::failpoint::{Point, Side};

use super::case::{COLUMNS, Case, cases, column};
use super::kind::KINDS;
use super::store::{FAULTS, REQUESTS};

/// The fewest cases that are worth publishing.
const AT_LEAST: usize = 120;

type Cells = BTreeMap<(Point, Side), [usize; COLUMNS.len()]>;

fn cells<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Cells {
    let mut cells = Cells::new();
    for case in cases {
        let row = cells
            .entry((case.fault.point, case.fault.side))
            .or_default();
        row[column(case.fault.action)] += 1;
    }
    cells
}

/// A table: a row for each point, a column for each action, and in each cell how many cases there are.
pub(super) fn table<'a>(cases: impl IntoIterator<Item = &'a Case>) -> String {
    let mut text = format!(
        "| point | {} |\n|---|{}\n",
        COLUMNS.join(" | "),
        "---|".repeat(COLUMNS.len())
    );
    for ((point, side), row) in cells(cases) {
        let _ = write!(text, "| `{point}.{side}` |");
        for count in row {
            let _ = match count {
                0 => write!(text, " – |"),
                count => write!(text, " {count} |"),
            };
        }
        text.push('\n');
    }
    text
}

fn published() -> String {
    let all: Vec<Case> = KINDS.iter().flat_map(cases).collect();
    let of_store = FAULTS.len() * REQUESTS.len();
    let count = all.len() + of_store;
    assert!(count >= AT_LEAST, "only {count} cases");
    let mut kinds = String::new();
    for kind in &KINDS {
        let _ = writeln!(
            kinds,
            "| `{}` | {} | {} |",
            kind.name,
            kind.what,
            cases(kind).len()
        );
    }
    let mut store = String::new();
    for (name, _) in FAULTS {
        let _ = writeln!(store, "| {name} | {} |", REQUESTS.len());
    }
    TEXT.replace("{count}", &count.to_string())
        .replace("{kinds}", &kinds)
        .replace("{points}", &table(&all))
        .replace("{of_store}", &of_store.to_string())
        .replace("{store}", &store)
}

const TEXT: &str = include_str!("published.md");

/// Every point of the engine is in the matrix, with a kill on both sides.
#[test]
fn no_point_is_left_out() {
    let all: Vec<Case> = KINDS.iter().flat_map(cases).collect();
    let cells = cells(&all);
    for point in Point::ALL {
        for side in Side::BOTH {
            let kills = cells.get(&(point, side)).map_or(0, |row| row[0]);
            assert!(kills > 0, "no process is killed at `{point}.{side}`");
        }
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "tests are told how to run by variables"
)]
fn the_published_matrix_is_the_one_that_runs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/crash-matrix.md");
    let text = published();
    print!("{text}");
    if std::env::var_os("LAKEWRIGHT_BLESS").is_some() {
        return std::fs::write(file, text).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        there == text,
        "docs/crash-matrix.md is not what this test prints: LAKEWRIGHT_BLESS=1 writes it"
    );
}
