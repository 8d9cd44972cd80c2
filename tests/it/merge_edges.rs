//! Merges at the edges of what tables are: long keys, wider types, old delete files, names that are taken.

use std::fmt::Write as _;

use crate::scene::Scene;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// A project whose pipeline `d/p` merges `data/rows.csv` into `d.t`.
struct Case(Scene);

impl Case {
    fn new() -> Self {
        Self(Scene::with(&[("files.yaml", FILES)]))
    }

    /// Loads rows of these columns in this way; what was printed.
    fn load(&self, schema: &str, load: &str, rows: &str) -> String {
        self.says(schema, load, rows);
        self.0.good(&["run", "d/p"])
    }

    fn says(&self, schema: &str, load: &str, rows: &str) {
        self.0.write(
            "p.yaml",
            &format!(
                "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
                 - name: rows\n    extract: {{ connection: files, table: rows.csv, options: {{ schema: {{ {schema} }} }} }}\n  \
                 - name: publish\n    load: {{ from: rows, table: d.t, {load} }}\n"
            ),
        );
        let columns = schema
            .split(", ")
            .map(|field| field.split(':').next().unwrap());
        let header = columns.collect::<Vec<_>>().join(",");
        self.0.write("data/rows.csv", &format!("{header}\n{rows}"));
    }

    /// The plan is refused with this code, and says this.
    fn refused(&self, schema: &str, load: &str, code: i32, said: &str) {
        self.says(schema, load, "");
        let told = self.0.bad(code, &["plan", "d/p"]);
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn long_text_that_statistics_cut_is_found_again() {
    let case = Case::new();
    let (schema, load) = ("id: string, v: long", "mode: { merge: { key: [id] } }");
    let long = |number: u32| format!("{}{number}", "z".repeat(300));
    // More rows than a row group has, so that long keys are in some of them only.
    let mut rows = String::new();
    for number in 0..300_000 {
        let _ = writeln!(rows, "a{number:07},1");
    }
    for number in 0..5 {
        let _ = writeln!(rows, "{},1", long(number));
    }
    case.load(schema, load, &rows);
    let mut again = String::new();
    for number in 0..5 {
        let _ = writeln!(again, "{},2", long(number));
    }
    case.load(schema, load, &again);
    let sql =
        "SELECT count(*), count(DISTINCT id), sum(v), count(*) FILTER (WHERE id >= 'z') FROM d.t";
    assert_eq!(case.0.query(sql), ["300005,300005,300010,5"]);
    let one = format!("SELECT v FROM d.t WHERE id = '{}'", long(3));
    assert_eq!(case.0.query(&one), ["2"]);
    case.0.readers_agree();
}

#[test]
fn a_key_that_cuts_the_table_may_become_wider() {
    for (partition, write) in [
        ("id", "copy_on_write"),
        ("\"truncate(10, id)\"", "merge_on_read"),
    ] {
        let case = Case::new();
        let load = format!(
            "mode: {{ merge: {{ key: [id], write: {write} }} }}, partition_by: [{partition}]"
        );
        case.load("id: int, v: string", &load, "1,a\n2,b\n3,c\n");
        case.load("id: long, v: string", &load, "1,A\n3,\n9000000000,d\n");
        case.load("id: long, v: string", &load, "2,B\n1,A\n");
        let rows = case.0.query("SELECT id, v FROM d.t ORDER BY id");
        assert_eq!(rows, ["1,A", "2,B", "3,", "9000000000,d"], "{partition}");
        case.0.readers_agree();
    }
}

#[test]
fn a_wider_column_cuts_files_that_deletes_are_listed_for() {
    let case = Case::new();
    let load = "mode: { merge: { key: [id], write: merge_on_read } }, partition_by: [region]";
    case.load("id: long, region: int", load, "1,7\n2,7\n3,8\n");
    case.load("id: long, region: long", load, "1,8\n4,7\n");
    case.load("id: long, region: long", load, "4,8\n2,9000000000\n");
    let rows = case.0.query("SELECT id, region FROM d.t ORDER BY id");
    assert_eq!(rows, ["1,8", "2,9000000000", "3,8", "4,8"]);
    case.0.readers_agree();
}

#[test]
fn what_tells_the_latest_need_not_be_written() {
    let case = Case::new();
    let load = "mode: { merge: { key: [id], latest_by: lsn, \
                deletes: { flagged: { when: \"op = 'D'\", without: [op, lsn] } } } }";
    let schema = "id: long, v: string, op: string, lsn: long";
    case.load(schema, load, "1,a,I,1\n1,b,U,3\n1,c,U,2\n2,x,I,1\n2,,D,2\n");
    case.load(schema, load, "1,,D,5\n1,d,I,5\n3,y,I,6\n");
    // Of two that are as late, the one that does not delete counts.
    assert_eq!(
        case.0.query("SELECT * FROM d.t ORDER BY id"),
        ["1,d", "3,y"]
    );
}

#[test]
fn what_can_never_be_merged_is_refused_by_the_plan() {
    let case = Case::new();
    case.load("ID: long, v: string", "mode: replace", "1,a\n");
    let by = |key: &str| format!("mode: {{ merge: {{ key: [{key}] }} }}");
    let plain = "ID: long, v: string";
    case.refused("id: long, v: string", &by("id"), 3, "it has `ID`");
    case.refused(plain, &by("id"), 3, "`key` names column `id`");
    case.refused("ID: double", &by("ID"), 3, "floating point");
    case.refused(
        "ID: long, __lakewright_file: string",
        &by("ID"),
        1,
        "`__lakewright_file`",
    );
    let flagged = |when: &str| {
        format!("mode: {{ merge: {{ key: [ID], deletes: {{ flagged: {{ when: {when} }} }} }} }}")
    };
    case.refused(plain, &flagged("row_number() over () = 1"), 3, "p.yaml:8:");
    case.refused(plain, &flagged("w = 'D'"), 3, "p.yaml:8:");
    // A name that the count of rows had once.
    case.load("ID: long, rows: string", &by("ID"), "1,a\n2,b\n");
    assert_eq!(case.0.query("SELECT count(*) FROM d.t"), ["2"]);
}
