//! The least memory that is taken: queries over more rows than it holds spill, and say the same as with plenty.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::scene::Scene;
use crate::services;

const LITTLE: &str = "32MiB";
const PLENTY: &str = "2GiB";

/// What must have been on disk at once for a query to have spilled, in bytes: more than a file without rows.
const SPILLED_BYTES: u64 = 1 << 20;

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Makes files of 400 000 ids with a text each, the half of which are in both.
const FILES: &str = "
  - name: l
    transform: { sql: 'SELECT value AS id, repeat(md5(cast(value AS varchar)), 3) AS name FROM generate_series(1, 400000)' }
  - name: r
    transform: { sql: 'SELECT value AS id, repeat(md5(cast(value AS varchar)), 3) AS word FROM generate_series(200001, 600000)' }
  - { name: file_l, load: { from: l, connection: files, table: l.parquet, mode: replace } }
  - { name: file_r, load: { from: r, connection: files, table: r.csv, mode: replace } }
";

/// Steps that read the files.
const ROWS: &str = "
  - { name: l, extract: { connection: files, table: l.parquet } }
  - { name: r, extract: { connection: files, table: r.csv, options: { schema: { id: long, word: string } } } }
";

/// A project whose connection `files` has the folder `data`.
fn project() -> Scene {
    let files = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
    Scene::with(&[("connections/files.yaml", files)])
}

/// Writes the pipeline `d/p`.
fn says(scene: &Scene, steps: &str) {
    let spec = format!("kind: Pipeline\nname: p\ndomain: d\nsteps:{steps}");
    scene.write("pipelines/p.yaml", &spec);
}

/// Runs `d/p` and looks at it until it ends: the most bytes that its queries had on disk.
fn run(scene: &Scene, memory: &str) -> u64 {
    let scratch = scene.path().join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let mut child = services::lakewright()
        // As many partitions as so little memory allows, wherever this runs.
        .args(["run", "d/p", "--parallel", "4", "--memory", memory])
        .current_dir(scene.path())
        .env("TMPDIR", &scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let (mut most_resident, mut most_spilled) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        most_resident = most_resident.max(resident(child.id()));
        most_spilled = most_spilled.max(spilled(&scratch));
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "with {memory}: {told}");
    let [resident, spilled] = [most_resident, most_spilled].map(|bytes| bytes >> 20);
    println!("{memory}: {resident} MiB resident, {spilled} MiB spilled");
    most_spilled
}

/// The most memory that a process has had, in bytes; 0 where the system does not say.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default() << 10
}

/// Bytes that queries have spilled into this folder; what steps keep there for each other is beside them.
fn spilled(scratch: &Path) -> u64 {
    let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let of_query = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("datafusion-");
    inside(scratch)
        .filter(|entry| of_query(&entry.file_name()))
        .flat_map(|folder| inside(&folder.path()).collect::<Vec<_>>())
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}

/// Runs `d/p` with this much memory, after which a query says this. It spills where memory is little.
fn says_with(memory: &str, scene: &Scene, check: &str, expected: &str) {
    let spilled = run(scene, memory);
    assert_eq!(scene.query(check), [expected], "with {memory}: {check}");
    let told = format!("{spilled} bytes with {memory}");
    assert_eq!(spilled >= SPILLED_BYTES, memory == LITTLE, "{told}");
}

/// A project with the files.
fn with_rows() -> Scene {
    let scene = project();
    says(&scene, FILES);
    scene.good(&["run", "d/p"]);
    scene
}

/// Steps that read the files, and a query over them, `q`.
fn query(sql: &str) -> String {
    format!("{ROWS}  - {{ name: q, transform: {{ sql: \"{sql}\" }} }}\n")
}

/// Queries over the rows, and what `check` says of the rows that each gives.
fn compute(check: &str, cases: &[(&str, &str)]) {
    let scene = with_rows();
    for (number, (sql, expected)) in cases.iter().enumerate() {
        println!("{sql}");
        let load = format!("{{ from: q, table: d.t{number}, mode: replace }}");
        let publish = format!("  - {{ name: publish, load: {load} }}\n");
        says(&scene, &(query(sql) + &publish));
        let check = format!("SELECT {check} FROM d.t{number}");
        for memory in [LITTLE, PLENTY] {
            says_with(memory, &scene, &check, expected);
        }
    }
}

const BOTH_SIDES: &str = "count(*), sum(id), sum(other), count(name), count(word)";

#[test]
fn joins_of_the_rows_that_meet_and_of_one_whole_side() {
    let sql = "SELECT l.id, name, r.id AS other, word FROM l JOIN r ON l.id = r.id";
    let left = sql.replace("JOIN", "LEFT JOIN");
    compute(
        BOTH_SIDES,
        &[
            (sql, "200000,60000100000,60000100000,200000,200000"),
            (&left, "400000,80000200000,60000100000,400000,200000"),
        ],
    );
}

#[test]
fn joins_of_the_other_and_of_both_whole_sides() {
    let sql = "SELECT l.id, name, r.id AS other, word FROM l RIGHT JOIN r ON l.id = r.id";
    let full = sql.replace("RIGHT", "FULL");
    compute(
        BOTH_SIDES,
        &[
            (sql, "400000,60000100000,160000200000,200000,400000"),
            (&full, "600000,80000200000,160000200000,400000,400000"),
        ],
    );
}

#[test]
fn joins_of_wide_rows_with_more_conditions() {
    let side = |table: &str, text: &str| {
        format!("(SELECT id, concat({text}, {text}, {text}) AS {text} FROM {table}) {table}")
    };
    let (l, r) = (side("l", "name"), side("r", "word"));
    let on = "l.id = r.id AND name <> concat(word, 'x')";
    let sql = format!("SELECT l.id, name, r.id AS other, word FROM {l} LEFT JOIN {r} ON {on}");
    let full = sql.replace("LEFT", "FULL");
    compute(
        BOTH_SIDES,
        &[
            (&sql, "400000,80000200000,60000100000,400000,200000"),
            (&full, "600000,80000200000,160000200000,400000,400000"),
        ],
    );
}

#[test]
fn semi_and_anti_joins() {
    let sql = "SELECT * FROM l WHERE EXISTS (SELECT 1 FROM r WHERE word = name)";
    let anti = sql.replace("EXISTS", "NOT EXISTS");
    compute(
        "count(*), sum(id), count(DISTINCT name)",
        &[
            (sql, "200000,60000100000,200000"),
            (&anti, "200000,20000100000,200000"),
        ],
    );
}

#[test]
fn a_join_with_one_key_that_many_rows_share() {
    let side = "CASE WHEN id % 800 = 0 THEN 0 ELSE id END AS key";
    let sql = format!(
        "SELECT a.key, name, word FROM (SELECT *, {side} FROM l) a \
         JOIN (SELECT *, {side} FROM r) b ON a.key = b.key"
    );
    let check = "count(*), count(*) FILTER (WHERE key = 0), sum(key)";
    compute(check, &[(&sql, "449750,250000,59925000000")]);
}

#[test]
fn aggregates_with_a_group_for_every_row() {
    compute(
        "count(*), sum(id), sum(n), max(n)",
        &[(
            "SELECT name, min(id) AS id, count(*) AS n, max(name) AS last FROM \
             (SELECT * FROM l UNION ALL SELECT id, word FROM r) GROUP BY name",
            "600000,180000300000,800000,2",
        )],
    );
}

#[test]
fn windows_over_sorted_rows() {
    let part = "PARTITION BY id % 1000 ORDER BY";
    let sql = format!(
        "SELECT id, name, row_number() OVER ({part} name, id) AS place, \
         lag(id) OVER ({part} id) AS before FROM l"
    );
    let check = "count(*), sum(place), count(DISTINCT place), sum(id - before)";
    compute(check, &[(&sql, "400000,80200000,400,399000000")]);
}

#[test]
fn distinct_rows() {
    let all = "SELECT * FROM l UNION ALL SELECT * FROM r UNION ALL SELECT * FROM l";
    let sql = format!("SELECT DISTINCT * FROM ({all})");
    compute("count(*), sum(id)", &[(&sql, "600000,180000300000")]);
}

#[test]
fn a_step_that_several_others_read() {
    let scene = with_rows();
    let sql = "SELECT l.id, name, word FROM l LEFT JOIN r ON l.id = r.id";
    let readers = "
  - name: sane
    check: { on: q, rules: [{ name: even, expect: id % 2 = 0, otherwise: drop }] }
  - { name: total, transform: { sql: 'SELECT count(*) AS n FROM q' } }
  - { name: twice, transform: { sql: 'SELECT a.id, b.name FROM q a JOIN q b ON a.name = b.name' } }
  - { name: publish, load: { from: q, table: d.t, mode: replace } }
  - { name: publish_total, load: { from: total, table: d.total, mode: replace } }
  - { name: publish_twice, load: { from: twice, table: d.twice, mode: replace } }
";
    says(&scene, &(query(sql) + readers));
    let check = "SELECT count(*), sum(id), count(word), (SELECT max(n) FROM d.total), \
                 (SELECT count(DISTINCT name) FROM d.twice) FROM d.t";
    for memory in [LITTLE, PLENTY] {
        let expected = "200000,40000200000,100000,200000,200000";
        says_with(memory, &scene, check, expected);
    }
}

/// A table of five parts is merged with three: one that stays as it was, one that changes and one that is new. What
/// the table has besides goes.
fn merges(write: &str) {
    const PART: u64 = 50_000;
    let (stays, new) = (PART * 4, PART * 5);
    for memory in [LITTLE, PLENTY] {
        let scene = project();
        let mut steps = String::new();
        for (file, sign, first, last) in [
            ("table", "", 1, PART * 5),
            ("changes", "-", PART * 3 + 1, PART * 6),
        ] {
            let _ = write!(
                steps,
                "
  - name: {file}
    transform:
      sql: >
        SELECT value AS id, CASE WHEN value > {stays} AND value <= {new} THEN {sign} value ELSE value END AS n,
        repeat(md5(cast(value AS varchar)), 3) AS name FROM generate_series({first}, {last})
  - {{ name: f_{file}, load: {{ from: {file}, connection: files, table: {file}.parquet, mode: replace }} }}"
            );
        }
        says(&scene, &steps);
        scene.good(&["run", "d/p"]);
        let merge = |file: &str| {
            let mode = format!("{{ merge: {{ key: [id], write: {write}, deletes: by_absence }} }}");
            let steps = format!(
                "
  - {{ name: rows, extract: {{ connection: files, table: {file}.parquet }} }}
  - {{ name: publish, load: {{ from: rows, table: d.t, mode: {mode} }} }}"
            );
            says(&scene, &steps);
        };
        merge("table");
        scene.good(&["run", "d/p"]);
        merge("changes");
        // The sums of the parts that stay and are new, less that of the one between them.
        let sum = PART * (PART * 9 + 1) / 2;
        let expected = format!("{},{},{},{sum}", PART * 3, PART * 3 + 1, PART * 6);
        let check = "SELECT count(*), min(id), max(id), sum(n) FROM d.t";
        says_with(memory, &scene, check, &expected);
    }
}

#[test]
fn a_merge_that_copies_on_write() {
    merges("copy_on_write");
}

#[test]
fn a_merge_that_is_made_on_read() {
    merges("merge_on_read");
}

#[test]
fn less_memory_is_refused() {
    let scene = project();
    for command in [&["run", "d/p"][..], &["query", "SELECT 1"]] {
        let told = scene.bad(2, &[command, &["--memory", "8MiB"]].concat());
        assert!(told.contains("`8MiB`: give them `32MiB` or more"), "{told}");
    }
}

#[test]
fn a_join_builds_on_the_smaller_side_wherever_it_is_named() {
    let scene = with_rows();
    let few = "
  - name: few
    transform: { sql: 'SELECT value AS id, value * 2 AS other FROM generate_series(1, 1000)' }
  - { name: file, load: { from: few, connection: files, table: few.parquet, mode: replace } }
";
    says(&scene, few);
    scene.good(&["run", "d/p"]);
    let steps = "
  - { name: l, extract: { connection: files, table: l.parquet } }
  - { name: few, extract: { connection: files, table: few.parquet } }
  - { name: q, transform: { sql: 'SELECT l.id, name, other FROM l JOIN few ON l.id = few.id' } }
  - { name: publish, load: { from: q, table: d.t, mode: replace } }
";
    says(&scene, steps);
    let spilled = run(&scene, LITTLE);
    assert_eq!(
        scene.query("SELECT count(*), sum(other) FROM d.t"),
        ["1000,1001000"]
    );
    assert_eq!(spilled, 0, "it was built on the larger side");
}
