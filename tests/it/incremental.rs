//! Incremental reads of PostgreSQL into the lake: nothing that is new is left out, nothing comes twice.

use crate::database::Database;
use crate::kills::Kills;
use crate::scene::Scene;

/// A table whose watermark, `at`, has a type and a mode, and a project that loads it into `d.t`.
struct Case {
    database: Database,
    scene: Scene,
}

impl Case {
    /// With `id bigint, at TYPE, value text`, and the fields of `incremental`.
    fn new(r#type: &str, mode: &str) -> Option<Self> {
        let setup = format!("CREATE TABLE t (id bigint, at {type}, value text)");
        let database = Database::new(&setup)?;
        let scene = Scene::with(&[("pipelines/p.yaml", &pipeline(mode))]);
        database.connect(&scene, "source");
        Some(Self { database, scene })
    }

    fn insert(&mut self, rows: &str) {
        self.database.execute(&format!("INSERT INTO t {rows}"));
    }

    fn run(&self) {
        self.scene.good(&["run", "d/p"]);
    }

    /// `id:value` of every row of the lake's table, in order.
    fn rows(&self) -> Vec<String> {
        self.scene
            .query("SELECT id || ':' || value FROM d.t ORDER BY id, value")
    }
}

fn pipeline(mode: &str) -> String {
    format!(
        "kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract:
      connection: source
      table: public.t
      mode: {{ incremental: {{ watermark: at, {mode} }} }}
  - name: publish
    load: {{ from: rows, table: d.t, mode: append }}
"
    )
}

#[test]
fn rows_that_share_the_last_watermark_arrive_once_each() {
    let Some(mut case) = Case::new("timestamptz", "key: [id]") else {
        return;
    };
    case.insert("VALUES (1, '2026-01-01 10:00Z', 'a'), (2, '2026-01-01 11:00Z', 'a'), (3, '2026-01-01 11:00Z', 'a')");
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:a"]);
    case.insert("VALUES (4, '2026-01-01 11:00Z', 'a'), (5, '2026-01-01 11:00:00.000001Z', 'a')");
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:a", "4:a", "5:a"]);
    case.insert("VALUES (6, '2026-01-01 11:00Z', 'below what was read')");
    case.insert("VALUES (7, '2026-01-01 11:00:00.000001Z', 'a')");
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:a", "4:a", "5:a", "7:a"]);
    case.scene.readers_agree();
}

#[test]
fn a_run_with_nothing_new_changes_nothing() {
    let Some(mut case) = Case::new("timestamptz", "key: [id], lag: 1h") else {
        return;
    };
    case.insert("SELECT i, timestamptz '2026-01-01Z' + i * interval '1 minute', 'a' FROM generate_series(1, 300) AS i");
    case.run();
    let before = case.rows();
    for _ in 0..2 {
        case.run();
        assert_eq!(case.rows(), before);
    }
    case.scene.readers_agree();
}

#[test]
fn a_lag_finds_the_rows_that_came_late() {
    let Some(mut case) = Case::new("timestamptz", "key: [id], lag: 30m") else {
        return;
    };
    case.insert("VALUES (1, '2026-01-01 10:00Z', 'a'), (2, '2026-01-01 11:00Z', 'a')");
    case.run();
    case.insert("VALUES (3, '2026-01-01 10:30Z', 'late'), (4, '2026-01-01 10:29:59Z', 'too late')");
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:late"]);
    case.insert("VALUES (5, '2026-01-01 12:00Z', 'a'), (6, '2026-01-01 10:45Z', 'late')");
    case.run();
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:late", "5:a", "6:late"]);
    case.scene.readers_agree();
}

#[test]
fn a_changed_row_arrives_as_a_new_version() {
    let Some(mut case) = Case::new("timestamp", "key: [id]") else {
        return;
    };
    case.insert("VALUES (1, '2026-01-01 10:00', 'a'), (2, '2026-01-01 11:00', 'a')");
    case.run();
    case.database
        .execute("UPDATE t SET value = 'b', at = '2026-01-02 00:00' WHERE id = 1");
    case.run();
    case.run();
    assert_eq!(case.rows(), ["1:a", "1:b", "2:a"]);
    let newest = "SELECT id, value FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY at DESC) AS age FROM d.t) \
                  WHERE age = 1 ORDER BY id";
    assert_eq!(
        case.scene.query(newest),
        case.database.query("SELECT id, value FROM t ORDER BY id")
    );
    case.scene.readers_agree();
}

#[test]
fn a_unique_watermark_goes_on_after_the_last_one() {
    let Some(database) = Database::new("CREATE TABLE t (id bigint, value text)") else {
        return;
    };
    let spec = pipeline("unique: true").replace("watermark: at", "watermark: id");
    let scene = Scene::with(&[("pipelines/p.yaml", &spec)]);
    database.connect(&scene, "source");
    let mut case = Case { database, scene };
    assert!(
        case.scene
            .good(&["plan", "d/p"])
            .contains("the source is empty")
    );
    case.run();
    case.insert("SELECT i, 'a' FROM generate_series(1, 100) AS i");
    case.run();
    case.insert("SELECT i, 'b' FROM generate_series(101, 150) AS i");
    let plan = case.scene.good(&["plan", "d/p"]);
    assert!(plan.contains("id > 100 and id <= 150"), "{plan}");
    case.run();
    case.run();
    assert_eq!(
        case.scene
            .query("SELECT count(*), count(DISTINCT id), sum(id) FROM d.t"),
        ["150,150,11325"]
    );
    case.scene.readers_agree();
}

#[test]
fn rows_without_a_watermark_end_the_run_where_nothing_is_said() {
    let Some(mut case) = Case::new("timestamptz", "key: [id]") else {
        return;
    };
    case.insert("VALUES (1, '2026-01-01Z', 'a'), (2, NULL, 'a')");
    let told = case.scene.bad(1, &["run", "d/p"]);
    assert!(told.contains("`at`") && told.contains("NULL"), "{told}");
    assert!(told.contains("nulls"), "says what can be done: {told}");
    case.database.execute("DELETE FROM t WHERE at IS NULL");
    case.run();
    case.insert("VALUES (3, NULL, 'a')");
    case.scene.bad(1, &["run", "d/p"]);
    assert_eq!(case.rows(), ["1:a"]);
    case.scene.readers_agree();
}

#[test]
fn rows_without_a_watermark_can_be_left_out() {
    let Some(mut case) = Case::new("bigint", "key: [id], nulls: skip") else {
        return;
    };
    case.insert("VALUES (1, 10, 'a'), (2, NULL, 'a')");
    case.run();
    case.insert("VALUES (3, 11, 'a'), (4, NULL, 'a')");
    case.run();
    assert_eq!(case.rows(), ["1:a", "3:a"]);
    case.scene.readers_agree();
}

#[test]
fn rows_without_a_watermark_can_be_read_each_time_and_come_once() {
    let Some(mut case) = Case::new("bigint", "key: [id], nulls: read") else {
        return;
    };
    case.insert("VALUES (1, 10, 'a'), (2, NULL, 'a')");
    case.run();
    case.insert("VALUES (3, 11, 'a'), (4, NULL, 'a')");
    case.run();
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:a", "4:a"]);
    case.scene.readers_agree();
}

/// First read, then rows at the edge and above it: the same for every type, whose values `first`, `edge` and `above` grow.
fn a_watermark_of(r#type: &str, [first, edge, above]: [&str; 3], mode: &str) {
    let Some(mut case) = Case::new(r#type, mode) else {
        return;
    };
    case.insert(&format!("VALUES (1, {first}, 'a'), (2, {edge}, 'a')"));
    case.run();
    case.insert(&format!("VALUES (3, {edge}, 'a'), (4, {above}, 'a')"));
    case.run();
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:a", "4:a"], "{type}");
    case.insert(&format!("VALUES (5, {above}, 'a')"));
    case.run();
    assert_eq!(case.rows(), ["1:a", "2:a", "3:a", "4:a", "5:a"], "{type}");
    case.scene.readers_agree();
}

#[test]
fn a_watermark_may_be_a_local_time() {
    let at = [
        "'0001-01-01 00:00'",
        "'2026-03-29 02:30:00.123456'",
        "'2026-03-29 02:30:00.123457'",
    ];
    a_watermark_of("timestamp", at, "key: [id]");
}

#[test]
fn a_watermark_may_be_a_time() {
    let at = [
        "'1969-12-31 23:59:59.999999Z'",
        "'2026-03-29 02:30+03'",
        "'2026-03-29 02:30Z'",
    ];
    a_watermark_of("timestamptz", at, "key: [id], lag: 1s");
}

#[test]
fn a_watermark_may_be_a_date() {
    let at = ["'2025-12-31'", "'2026-01-01'", "'2026-01-02'"];
    a_watermark_of("date", at, "key: [id], lag: 1d");
}

#[test]
fn a_watermark_may_be_an_integer() {
    let at = ["-9223372036854775808", "7", "9223372036854775807"];
    a_watermark_of("bigint", at, "key: [id], lag: 1");
}

#[test]
fn a_watermark_may_be_a_decimal_number() {
    let at = ["-1.5", "99999999999999.999", "99999999999999999.999"];
    a_watermark_of("numeric(20, 3)", at, "key: [id]");
}

#[test]
fn a_watermark_may_be_text() {
    let at = ["''", "'it''s'", "'Ж\"\\'"];
    a_watermark_of("text", at, "key: [id]");
}

#[test]
fn a_watermark_may_be_a_uuid_of_version_7() {
    let at = [
        "'019b76da-a800-7000-8000-000000000001'",
        "'019b76da-a801-7000-8000-000000000000'",
        "'019b76da-a801-7fff-bfff-ffffffffffff'",
    ];
    a_watermark_of("uuid", at, "key: [id]");
}

#[test]
fn a_kill_in_an_incremental_run_loses_and_doubles_nothing() {
    let rows = |from: u32, to: u32| {
        format!(
            "SELECT i, timestamptz '2026-01-01Z' + (i / 3) * interval '1 minute', 'a' FROM generate_series({from}, {to}) AS i"
        )
    };
    let Some(mut case) = Case::new("timestamptz", "key: [id], lag: 2m") else {
        return;
    };
    case.insert(&rows(1, 2_000));
    let mut kills = Kills::new(5, || case.run());
    let mut last = 2_000;
    while let Some(kill) = kills.another() {
        case.insert(&rows(last + 1, last + 2_000));
        last += 2_000;
        kills.strike(case.scene.start(&["run", "d/p"]));
        kills.spare(|| case.run());
        let expected = case
            .database
            .query("SELECT count(*), count(DISTINCT id), sum(id) FROM t");
        assert_eq!(
            case.scene
                .query("SELECT count(*), count(DISTINCT id), sum(id) FROM d.t"),
            expected,
            "kill {kill}"
        );
    }
    case.scene.readers_agree();
}
