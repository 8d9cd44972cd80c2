//! Merges into tables of the lake: rows meet those of their keys, and every reader sees the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::database::Database;
use crate::kills::{Kills, Numbers};
use crate::place::Place;
use crate::resume::{assert_whole, half_committed};
use crate::scene::Scene;
use crate::services;

const WRITES: [&str; 2] = ["copy_on_write", "merge_on_read"];
/// Rows say themselves that they delete.
const FLAGGED: &str = ", deletes: { flagged: { when: \"op = 'D'\", without: [op] } }";
const FILE: &str = "table: rows.csv";

/// A load that merges by `id`, and `more` about the merge.
fn by_id(write: &str, more: &str) -> String {
    format!("mode: {{ merge: {{ key: [id], write: {write}{more} }} }}")
}

/// A project whose pipeline `d/p` merges files of `data` into `NAMESPACE.t`.
struct Case {
    scene: Scene,
    place: Place,
    table: String,
}

impl Case {
    fn new(place: Place, namespace: &str) -> Self {
        let files = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
        let scene = Scene::with(&[("connections/files.yaml", files)]);
        let lake = place.spec(&scene);
        let state = "state: { sqlite: { path: lake/state.db } }";
        let project = format!("kind: Project\nname: scene\nversion: 1\nlake: {lake}\n{state}\n");
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("project.yaml", &project);
        scene.write("domain.yaml", &domain);
        Self {
            scene,
            place,
            table: format!("{namespace}.t"),
        }
    }

    fn embedded(extract: &str, load: &str) -> Self {
        let case = Self::new(Place::embedded(), "d");
        case.says(extract, load);
        case
    }

    /// Writes the pipeline anew: what it reads, and how it loads that.
    fn says(&self, extract: &str, load: &str) {
        let table = &self.table;
        let spec = format!(
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
             - {{ name: rows, extract: {{ connection: files, {extract} }} }}\n  \
             - {{ name: publish, load: {{ from: rows, table: {table}, {load} }} }}\n"
        );
        self.scene.write("pipelines/p.yaml", &spec);
    }

    fn arrives(&self, file: &str, rows: &str) {
        self.scene.write(&format!("data/{file}"), rows);
    }

    fn run(&self) -> String {
        self.scene.good(&["run", "d/p"])
    }

    /// Merges rows, which stand with spaces between; what was printed.
    fn merge(&self, columns: &str, rows: &str) -> String {
        let lines = std::iter::once(columns).chain(rows.split_whitespace());
        self.arrives("rows.csv", &(lines.collect::<Vec<_>>().join("\n") + "\n"));
        self.run()
    }

    /// Merges file after file. Lines are `rows => inserted updated deleted => what the table holds then`, or columns.
    fn follow(&self, steps: &str) {
        let mut columns = "";
        for step in steps.lines().map(str::trim) {
            let Some((rows, outcome)) = step.split_once("=>") else {
                columns = step;
                continue;
            };
            let (counts, content) = outcome.split_once("=>").unwrap();
            let told = self.merge(columns, rows);
            let changed = self.changed();
            let counted = changed.map(|n| n.to_string()).join(" ");
            assert_eq!(counted, counts.trim(), "{step}");
            let all = format!(" {} row", changed.iter().sum::<u64>());
            assert!(told.contains(&all), "{step}: {told}");
            self.holds(content);
        }
    }

    fn rows(&self) -> Vec<String> {
        let sql = format!("SELECT * FROM {} ORDER BY id", self.table);
        self.scene.query(&sql)
    }

    /// The table's rows are these, for every reader.
    fn holds(&self, rows: &str) {
        let rows: Vec<&str> = rows.split_whitespace().collect();
        assert_eq!(self.rows(), rows);
        let count = format!("SELECT count(*) FROM {}", self.table);
        assert_eq!(self.scene.query(&count), [rows.len().to_string()]);
        let namespace = self.table.trim_end_matches(".t");
        self.scene.readers_agree_at(&self.place, &[namespace], &[]);
    }

    /// The snapshots of the table, the newest first.
    fn snapshots(&self) -> Vec<String> {
        let command = ["history", &self.table, "--format", "json"];
        let snapshots: Vec<Value> = serde_json::from_str(&self.scene.good(&command)).unwrap();
        let ids = snapshots.iter().map(|one| one["snapshot"].to_string());
        ids.collect()
    }

    /// How many rows the newest snapshot says that it inserted, updated and deleted.
    fn changed(&self) -> [u64; 3] {
        let newest = self.files(".metadata.json").pop_last().unwrap();
        let metadata: Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
        let mut snapshots = metadata["snapshots"].as_array().unwrap().iter();
        let newest = snapshots.find(|one| one["snapshot-id"] == metadata["current-snapshot-id"]);
        let summary = &newest.unwrap()["summary"];
        ["inserted", "updated", "deleted"].map(|what| {
            let count = summary[format!("lakewright.rows-{what}")].as_str();
            count.expect("a count").parse().unwrap()
        })
    }

    /// The files of the warehouse whose names end so.
    fn files(&self, end: &str) -> BTreeSet<PathBuf> {
        let mut folders = vec![self.scene.path().join("lake/warehouse")];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_str().unwrap().ends_with(end) {
                    found.insert(path);
                }
            }
        }
        found
    }

    /// Merges rows while nobody can read these files.
    fn merge_without(&self, files: &BTreeSet<PathBuf>, columns: &str, rows: &str) {
        assert!(!files.is_empty());
        for file in files {
            fs::rename(file, file.with_extension("hidden")).unwrap();
        }
        self.merge(columns, rows);
        for file in files {
            fs::rename(file.with_extension("hidden"), file).unwrap();
        }
    }
}

#[test]
fn rows_are_inserted_updated_and_deleted_by_their_keys() {
    for write in WRITES {
        let case = Case::embedded(FILE, &by_id(write, FLAGGED));
        case.follow(
            "id,name,op
             1,a,I  2,b,I  3,c,  9,z,D => 3 0 0 => 1,a  2,b  3,c
             1,a,U  2,B,U  3,,D  4,d,I => 1 1 1 => 1,a  2,B  4,d
             3,c,I  1,,D   4,,U        => 1 1 1 => 2,B  3,c  4,
             2,,D   3,,D   4,,D        => 0 0 3 =>
             4,D,I                     => 1 0 0 => 4,D",
        );
    }
}

#[test]
fn rows_that_were_not_read_go_by_absence() {
    for write in WRITES {
        let extract = format!("{FILE}, options: {{ schema: {{ id: long, name: string }} }}");
        let case = Case::embedded(&extract, &by_id(write, ", deletes: by_absence"));
        case.follow(
            "id,name
             1,a  2,b  3,c => 3 0 0 => 1,a  2,b  3,c
             2,B  3,c  4,d => 1 1 1 => 2,B  3,c  4,d
             4,d           => 0 0 2 => 4,d
                           => 0 0 1 =>
             5,e           => 1 0 0 => 5,e",
        );
    }
}

#[test]
fn the_latest_of_several_rows_with_one_key_counts() {
    let load = format!("mode: {{ merge: {{ key: [id], latest_by: at{FLAGGED} }} }}");
    let case = Case::embedded(FILE, &load);
    case.follow(
        "id,at,name,op
         1,2,new,I  1,1,old,I  2,1,a,I  2,2,,D  3,1,,D  3,2,c,I => 2 0 0 => 1,2,new  3,2,c
         3,3,x,U  3,4,,D  4,,never,I  4,0,d,I  1,5,e,U  1,4,f,U => 1 1 1 => 1,5,e  4,0,d",
    );
}

#[test]
fn which_of_equally_late_rows_counts_does_not_depend_on_their_order() {
    let mut found = BTreeSet::new();
    for rows in [
        "1,7,a 1,7,b 1,6,c 2,1,d 2,1,d",
        "2,1,d 2,1,d 1,6,c 1,7,b 1,7,a",
    ] {
        let case = Case::embedded(FILE, "mode: { merge: { key: [id], latest_by: at } }");
        case.merge("id,at,name", rows);
        found.insert(case.rows().join(" "));
    }
    let found = Vec::from_iter(found).join(" or ");
    assert!(
        ["1,7,a 2,1,d", "1,7,b 2,1,d"].contains(&found.as_str()),
        "{found}"
    );
}

#[test]
fn rows_that_share_or_lack_a_key_end_the_run_and_change_nothing() {
    let case = Case::embedded(FILE, "mode: { merge: { key: [id, place] } }");
    let twice = "id,place,name\n1,here,a\n4711,it's,b\n4711,it's,b\n4711,there,c\n";
    let without = "id,place,name\n1,here,a\n2,,b\n";
    case.arrives("rows.csv", twice);
    case.scene.bad(1, &["run", "d/p"]);
    case.scene.bad(2, &["query", "SELECT * FROM d.t"]);
    case.merge("id,place,name", "1,here,A 2,here,b");
    for (rows, named) in [(twice, "4711"), (twice, "it's"), (without, "`place`")] {
        case.arrives("rows.csv", rows);
        let told = case.scene.bad(1, &["run", "d/p"]);
        assert!(told.contains(named), "{told}");
    }
    assert_eq!(case.snapshots().len(), 1);
    case.holds("1,here,A 2,here,b");
}

#[test]
fn rows_that_are_there_already_make_no_snapshot() {
    let first = r#"{"id":1,"price":1.5,"note":null,"tags":["a",null],"place":{"x":1}}
{"id":2,"price":-0.1,"note":"n","tags":null,"place":{"x":2}}
{"id":3,"price":null,"note":"","tags":[],"place":null}"#;
    let second = first.replace("\"a\"", "\"b\"").replace(":2}", ":null}");
    for write in WRITES {
        let case = Case::embedded("table: rows.ndjson", &by_id(write, ""));
        for (rows, changed) in [(first, [3, 0, 0]), (second.as_str(), [0, 2, 0])] {
            case.arrives("rows.ndjson", rows);
            case.run();
            assert_eq!(case.changed(), changed);
            let snapshots = case.snapshots();
            assert!(case.run().contains(" 0 rows"));
            assert_eq!(case.snapshots(), snapshots);
        }
        let values = "SELECT id, tags[1], place['x'] FROM d.t ORDER BY id";
        assert_eq!(case.scene.query(values), ["1,b,1", "2,,", "3,,"]);
        case.scene.readers_agree();
    }
}

#[test]
fn a_watermark_moves_also_where_no_row_changes() {
    let case = Case::embedded("table: '*.csv', mode: incremental", &by_id(WRITES[0], ""));
    for (file, rows, changed) in [
        ("a.csv", "id,name\n1,a\n2,b\n", [2, 0, 0]),
        ("b.csv", "id,name\n1,a\n", [0, 0, 0]),
        ("c.csv", "id,name\n2,B\n3,c\n", [1, 1, 0]),
    ] {
        case.arrives(file, rows);
        case.run();
        case.run();
        assert_eq!(case.changed(), changed, "{file}");
    }
    assert_eq!(case.snapshots().len(), 3);
    case.holds("1,a 2,B 3,c");
}

#[test]
fn a_missing_column_keeps_its_values_and_a_new_one_comes_with_the_rows() {
    for write in WRITES {
        let case = Case::embedded(FILE, &by_id(write, ""));
        case.follow(
            "id,name
             1,a  2,b  3,c       => 3 0 0 => 1,a  2,b  3,c
             id,name,more
             1,a,x  3,c,  4,d,y  => 1 1 0 => 1,a,x  2,b,  3,c,  4,d,y
             id,more
             2,z  1,x  5,v       => 1 1 0 => 1,a,x  2,b,z  3,c,  4,d,y  5,,v",
        );
        case.run();
        assert_eq!(case.snapshots().len(), 3);
    }
}

#[test]
fn a_row_moves_with_its_partition() {
    for write in WRITES {
        let load = format!("{}, partition_by: [region]", by_id(write, ""));
        let case = Case::embedded(FILE, &load);
        case.follow(
            "id,region
             1,n  2,n  3,s  4,   5,s  => 5 0 0 => 1,n  2,n  3,s  4,   5,s
             1,s  2,   3,n  4,w  6,n  => 1 4 0 => 1,s  2,   3,n  4,w  5,s  6,n",
        );
        for (region, ids) in [("= 'n'", "3 6"), ("= 's'", "1 5"), ("IS NULL", "2")] {
            let sql = format!("SELECT id FROM d.t WHERE region {region} ORDER BY id");
            assert_eq!(case.scene.query(&sql).join(" "), ids);
        }
    }
}

/// Key columns with their types, four keys, and wider types from the second merge on; a line each.
const KEYS: &str = r#"
[{"k":"string"}, {"k":"it's"}, {"k":"\"q\""}, {"k":"Ж\\"}, {"k":""}]
[{"k":"timestamptz"}, {"k":"1969-12-31T23:59:59.999999Z"}, {"k":"2026-03-29T02:30:00+03:00"}, {"k":"2026-03-29T02:30:00Z"}, {"k":"2026-03-29T02:30:00.000001Z"}]
[{"k":"decimal(9,3)"}, {"k":"-1.5"}, {"k":"0.001"}, {"k":"999999.999"}, {"k":"99999999999999999.999"}, {"k":"decimal(20,3)"}]
[{"k":"int"}, {"k":-2147483648}, {"k":-1}, {"k":2147483647}, {"k":2147483648}, {"k":"long"}]
[{"Order \"No\"":"long"}, {"Order \"No\"":-9223372036854775808}, {"Order \"No\"":-1}, {"Order \"No\"":0}, {"Order \"No\"":9223372036854775807}]
[{"a":"string","b":"string"}, {"a":"a","b":"bc"}, {"a":"ab","b":"c"}, {"a":"a","b":"c"}, {"a":"","b":"abc"}]
[{"a":"int","b":"date","c":"timestamp"}, {"a":1,"b":"1969-12-31","c":"0001-01-01T00:00:00"}, {"a":1,"b":"1969-12-31","c":"2026-03-29T02:30:00.123456"}, {"a":1,"b":"1970-01-01","c":"0001-01-01T00:00:00"}, {"a":-1,"b":"1969-12-31","c":"0001-01-01T00:00:00"}]
"#;

/// Rows with four keys are inserted, updated both ways, and known again.
fn keys_are_known_again(line: &str) {
    let case = Case::new(Place::embedded(), "d");
    let line: Vec<Value> = serde_json::from_str(line).unwrap();
    let key: Vec<&String> = line[0].as_object().unwrap().keys().collect();
    for (types, write, rows, changed) in [
        (0, WRITES[0], &[(1, 1), (2, 2), (3, 3)][..], [3, 0, 0]),
        (5, WRITES[1], &[(1, 10), (4, 4)], [1, 1, 0]),
        (5, WRITES[0], &[(4, 4), (2, 20), (1, 10)], [0, 1, 0]),
    ] {
        let mut schema = line.get(types).unwrap_or(&line[0]).clone();
        schema["v"] = json!("long");
        let extract = format!("table: rows.ndjson, options: {{ schema: {schema} }}");
        let load = format!("mode: {{ merge: {{ key: {key:?}, write: {write} }} }}");
        case.says(&extract, &load);
        let mut file = String::new();
        for (number, v) in rows {
            let mut row = line[*number].clone();
            row["v"] = json!(v);
            let _ = writeln!(file, "{row}");
        }
        case.arrives("rows.ndjson", &file);
        case.run();
        case.run();
        assert_eq!(case.changed(), changed, "{schema}: {file}");
    }
    let values = case.scene.query("SELECT v FROM d.t ORDER BY v");
    assert_eq!(values, ["3", "4", "10", "20"], "{key:?}");
    case.scene.readers_agree();
}

#[test]
fn a_key_may_have_any_type_name_and_number_of_columns() {
    KEYS.trim().lines().for_each(keys_are_known_again);
}

#[test]
fn files_that_cannot_hold_a_key_are_neither_read_nor_written() {
    for write in WRITES {
        let case = Case::embedded(FILE, &by_id(write, FLAGGED));
        let columns = "id,name,op";
        case.merge(columns, "20,n,I 25,n,I 29,n,I");
        let twenties = case.files(".parquet");
        case.merge(columns, "10,n,I 19,n,I");
        case.merge(columns, "30,n,I 39,n,I");
        let others = &case.files(".parquet") - &twenties;
        case.merge_without(&others, columns, "25,new,U 29,,D 22,new,I 50,new,I");
        assert_eq!(case.changed(), [2, 1, 1]);
        // Before and beyond all that is there.
        case.merge_without(&case.files(".parquet"), columns, "5,,D 60,new,I");
        assert_eq!(case.changed(), [1, 0, 0]);
        case.holds("10,n 19,n 20,n 22,new 25,new 30,n 39,n 50,new 60,new");
    }
}

#[test]
fn files_of_other_partitions_are_neither_read_nor_written() {
    for write in WRITES {
        let load = format!("{}, partition_by: ['bucket(4, id)']", by_id(write, ""));
        let case = Case::embedded(FILE, &load);
        let mut lines: Vec<String> = (0..200).map(|id| format!("{id},n")).collect();
        case.merge("id,name", &lines.join(" "));
        let before = case.files(".parquet");
        case.merge("id,name", "7,first");
        let mut others = case.files(".parquet");
        let new = &others - &before;
        let bucket = new.first().unwrap().parent();
        assert!(new.iter().all(|file| file.parent() == bucket), "{new:?}");
        assert_eq!(case.files("deletes.parquet").is_empty(), write == WRITES[0]);
        others.retain(|file| file.parent() != bucket);
        case.merge_without(&others, "id,name", "7,second");
        assert_eq!(case.changed(), [0, 1, 0]);
        lines[7] = "7,second".to_owned();
        case.holds(&lines.join(" "));
    }
}

#[test]
fn rows_that_fail_a_check_do_not_meet_the_table() {
    let check = "  - name: sane
    check:
      on: rows
      rules:
        - { name: has a key, expect: id IS NOT NULL, otherwise: quarantine }
        - { name: positive, expect: amount > 0, otherwise: quarantine }
  - { name: publish";
    for write in WRITES {
        let case = Case::embedded(FILE, &by_id(write, FLAGGED));
        let spec = fs::read_to_string(case.scene.path().join("pipelines/p.yaml")).unwrap();
        let spec = spec.replace("  - { name: publish", check);
        case.scene.write("pipelines/p.yaml", &spec);
        case.merge("id,amount,op", "1,10,I 2,0,I 2,0,I ,30,I 3,30,I");
        case.holds("1,10 3,30");
        case.merge("id,amount,op", "1,-1,U 2,20,I 3,5,D ,5,D");
        case.holds("1,10 2,20");
        let aside = "SELECT count(*), count(id), sum(amount), count(op) FROM d.t_quarantine";
        assert_eq!(case.scene.query(aside), ["5,3,34,5"]);
    }
}

#[test]
fn merges_that_were_killed_between_commits_are_finished() {
    for (extract, write) in ["", ", mode: incremental"].into_iter().zip(WRITES) {
        let mode = format!("{{ merge: {{ key: [id], write: {write} }} }}");
        let scene = half_committed(extract, &mode);
        for _ in 0..2 {
            scene.good(&["run", "d/p"]);
            assert_whole(&scene);
        }
        scene.readers_agree();
    }
}

/// A table that changes at random, in memory.
struct Model {
    numbers: Numbers,
    /// Area and payment by id.
    rows: BTreeMap<u64, [Option<u64>; 2]>,
    /// How many rows were inserted, updated and deleted.
    changed: [u64; 3],
}

impl Model {
    const OPTIONS: &str = "options: { schema: { id: long, area: long, paid: long, op: string } }";

    fn new() -> Self {
        let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
        println!("LAKEWRIGHT_TEST_SEED={seed}");
        Self {
            numbers: Numbers(seed),
            rows: BTreeMap::new(),
            changed: [0; 3],
        }
    }

    /// Changes some of these rows; the file that does so to a table. Some of its rows change nothing.
    fn change(&mut self, ids: Range<u64>) -> String {
        let mut file = String::new();
        for id in ids {
            let before = self.rows.get(&id).copied();
            let random = self.numbers.next();
            let after = match random % 12 {
                0 => None,
                1..=3 => Some([8, 16].map(|bit| Some((random >> bit) & 3).filter(|n| *n > 0))),
                4 => before,
                _ => continue,
            };
            self.rows.remove(&id);
            self.rows.extend(after.map(|row| (id, row)));
            match (before, after) {
                (None, Some(_)) => self.changed[0] += 1,
                (Some(was), Some(is)) => self.changed[1] += u64::from(was != is),
                (Some(_), None) => self.changed[2] += 1,
                (None, None) => {}
            }
            let [area, paid] = after.unwrap_or_default();
            let op = if after.is_some() { "U" } else { "D" };
            let line = json!({ "id": id, "area": area, "paid": paid, "op": op });
            let _ = writeln!(file, "{line}");
        }
        file
    }

    /// The rows as queries print them.
    fn printed(&self) -> Vec<String> {
        let text = |n: &Option<u64>| n.map_or(String::new(), |n| n.to_string());
        let row = |(id, [a, b]): (&u64, &[_; 2])| format!("{id},{},{}", text(a), text(b));
        self.rows.iter().map(row).collect()
    }
}

#[test]
fn random_merges_follow_a_model() {
    let mut model = Model::new();
    let case = Case::new(Place::embedded(), "d");
    let extract = format!("table: 'rows-*.ndjson', {}", Model::OPTIONS);
    let mut moments = Vec::new();
    for round in 0..12 {
        // Position deletes come after position deletes, and files that have them are written again.
        let merge = by_id(WRITES[usize::from(round % 3 > 0)], FLAGGED);
        let load = format!("{merge}, partition_by: ['bucket(3, id)', area]");
        case.says(&extract, &load);
        model.changed = [0; 3];
        case.arrives("rows-1.ndjson", &model.change(0..75));
        case.arrives("rows-2.ndjson", &model.change(75..150));
        case.run();
        assert_eq!(case.rows(), model.printed(), "round {round}");
        assert_eq!(case.changed(), model.changed, "round {round}");
        moments.push(model.printed());
    }
    case.holds(&model.printed().join(" "));
    for (snapshot, content) in case.snapshots().iter().rev().zip(moments) {
        let sql = "SELECT * FROM d.t ORDER BY id";
        let query = ["query", "--format", "csv", sql, "--at", snapshot];
        let rows = case.scene.good(&query);
        assert!(rows.lines().skip(1).eq(content), "{snapshot}: {rows}");
    }
}

#[test]
fn a_kill_at_any_moment_of_a_merge_loses_and_doubles_nothing() {
    const IDS: Range<u64> = 0..30_000;
    let mut model = Model::new();
    let extract = format!("table: '*.ndjson', mode: incremental, {}", Model::OPTIONS);
    let case = Case::embedded(&extract, &by_id("copy_on_write", FLAGGED));
    case.arrives("round-000.ndjson", &model.change(IDS));
    let mut kills = Kills::new(10, || case.run());
    let mut writes = WRITES.into_iter().cycle();
    while let Some((kill, write)) = kills.another().zip(writes.next()) {
        case.says(&extract, &by_id(write, FLAGGED));
        case.arrives(&format!("round-{kill:03}.ndjson"), &model.change(IDS));
        kills.strike(case.scene.start(&["run", "d/p"]));
        kills.spare(|| case.run());
        assert!(case.rows() == model.printed(), "wrong after kill {kill}");
    }
    case.scene.readers_agree();
}

/// How rows are written, the rows, what the table holds then, and in what it differs from what it was.
const LIFE: &str = "
copy_on_write | 1,a,I 2,b,I 3,c,I | 1,a 2,b 3,c |
merge_on_read | 1,A,U 2,,D  4,d,I | 1,A 3,c 4,d | before,1,a after,1,A removed,2,b added,4,d
merge_on_read | 1,,U  3,,D  4,d,U | 1, 4,d      | before,1,A after,1, removed,3,c
copy_on_write | 1,,D  4,D,U 5,e,I | 4,D 5,e     | removed,1, before,4,d after,4,D added,5,e
";

/// Each way of writing goes on from what the other wrote.
fn lives(case: &Case) {
    for step in LIFE.trim().lines() {
        let parts: Vec<&str> = step.split('|').map(str::trim).collect();
        let [write, rows, content, changes] = *parts.first_chunk().unwrap();
        case.says(FILE, &by_id(write, FLAGGED));
        case.merge("id,name,op", rows);
        case.holds(content);
        if let [_, before, ..] = case.snapshots().as_slice() {
            let diff = ["diff", &case.table, before, "main", "--format", "csv"];
            let diff = case.scene.good(&diff);
            assert!(diff.lines().skip(1).eq(changes.split(' ')), "{diff}");
        }
    }
}

#[test]
fn on_the_embedded_catalog() {
    lives(&Case::new(Place::embedded(), "d"));
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    let Some(place) = Place::rest() else { return };
    lives(&Case::new(place, &services::fresh_schema()));
}

#[test]
fn on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        lives(&Case::new(Place::postgres(catalog.url()), "d"));
    }
}
