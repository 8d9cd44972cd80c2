//! A database as a data mart: what a pipeline has loaded is known to the mart itself, whatever becomes of the state.
//!
//! Every test loads `t` of one database into `mart.t` of another with an append, the mode in which every mistake shows.

use std::process::Child;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::*;
use crate::database::Database;
use crate::scene::Scene;

const PIPELINE: &str = "kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract:
      connection: source
      table: public.t
      mode: { incremental: { watermark: at, key: [id] } }
  - name: publish
    load: { from: rows, connection: mart, table: mart.t, mode: append }
";

/// What a key that a test holds makes the mart wait for, in the middle of a commit.
const GATE: &str = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS \
    'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END'; \
    CREATE TRIGGER gate BEFORE INSERT ON mart.t FOR EACH STATEMENT EXECUTE FUNCTION gate()";

/// How many of this database wait for a key; other tests have the same server.
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

struct Mart {
    source: Database,
    target: Database,
    scene: Scene,
}

impl Mart {
    fn new() -> Option<Self> {
        let source = Database::new("CREATE TABLE t (id bigint, at timestamptz, value text)")?;
        let target = Database::new("CREATE SCHEMA mart")?;
        let scene = Scene::with(&[("pipelines/p.yaml", PIPELINE)]);
        source.connect(&scene, "source");
        target.connect(&scene, "mart");
        Some(Self {
            source,
            target,
            scene,
        })
    }

    /// Rows `from..=to`; three of them share each watermark.
    fn insert(&mut self, from: u32, to: u32) {
        self.source.execute(&format!(
            "INSERT INTO t SELECT i, timestamptz '2026-01-01Z' + (i / 3) * interval '1 minute', 'a' \
             FROM generate_series({from}, {to}) AS i"
        ));
    }

    fn run(&self) {
        self.scene.good(&["run", "d/p"]);
    }

    /// Removes all that the engine has written about its runs.
    fn forget(&self) {
        for end in ["", "-wal", "-shm"] {
            let path = self.scene.path().join(format!("lake/state.db{end}"));
            std::fs::remove_file(path).ok();
        }
    }

    #[track_caller]
    fn assert_equal(&mut self) {
        let wanted = self
            .source
            .query("SELECT count(*), count(DISTINCT id), sum(id), sum(id) AS again FROM t");
        let there = self
            .target
            .query("SELECT count(*), count(DISTINCT id), sum(id), sum(id) AS again FROM mart.t");
        assert_eq!(there, wanted);
    }

    /// Starts a run and waits until its commit hangs at the gate.
    fn start_and_stop_in_commit(&mut self) -> Child {
        self.target.execute("SELECT pg_advisory_lock(42)");
        let run = self.scene.start(&["run", "d/p"]);
        self.wait(WAITING, "1");
        run
    }

    fn wait(&mut self, query: &str, answer: &str) {
        let started = Instant::now();
        while self.target.query(query) != [answer] {
            assert!(started.elapsed() < Duration::from_secs(30), "{query}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Keeps everybody else from writing into the state.
struct Locked {
    runtime: tokio::runtime::Runtime,
    state: SqliteConnection,
}

impl Locked {
    fn state_of(scene: &Scene) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let options = SqliteConnectOptions::new().filename(scene.path().join("lake/state.db"));
        let state = runtime.block_on(async {
            let mut state = SqliteConnection::connect_with(&options).await.unwrap();
            state.execute("BEGIN IMMEDIATE").await.unwrap();
            state
        });
        Self { runtime, state }
    }

    fn unlock(mut self) {
        self.runtime
            .block_on(self.state.execute("ROLLBACK"))
            .unwrap();
    }
}

#[test]
fn new_rows_arrive_once_with_a_state_and_without() {
    let Some(mut case) = Mart::new() else { return };
    let mut last = 0;
    for lost in [false, true, true, false] {
        case.insert(last + 1, last + 100);
        last += 100;
        case.run();
        case.assert_equal();
        if lost {
            case.forget();
        }
        case.run();
        case.assert_equal();
    }
    let kept =
        "SELECT count(*), count(DISTINCT pipeline), max(load_step) FROM mart.lakewright_runs";
    assert_eq!(case.target.query(kept), ["8,1,publish"]);
}

#[test]
fn a_kill_between_the_commit_and_the_state_loses_and_doubles_nothing() {
    let Some(mut case) = Mart::new() else { return };
    case.insert(1, 100);
    case.run();
    case.target.execute(GATE);
    for (round, lost) in [false, true].into_iter().enumerate() {
        let first = u32::try_from(round).unwrap() * 100 + 101;
        case.insert(first, first + 99);
        let mut run = case.start_and_stop_in_commit();
        // The mart goes on to commit, and nobody is told.
        let locked = Locked::state_of(&case.scene);
        case.target.execute("SELECT pg_advisory_unlock(42)");
        let rows = (first + 99).to_string();
        case.wait("SELECT count(*) FROM mart.t", &rows);
        run.kill().unwrap();
        run.wait().unwrap();
        locked.unlock();
        assert!(
            !case
                .scene
                .good(&["runs", "--limit", "1"])
                .contains("succeeded")
        );
        if lost {
            case.forget();
        }
        case.run();
        case.assert_equal();
        case.run();
        case.assert_equal();
    }
}

#[test]
fn a_kill_within_the_commit_loses_and_doubles_nothing() {
    let Some(mut case) = Mart::new() else { return };
    case.insert(1, 100);
    case.run();
    case.target.execute(GATE);
    case.insert(101, 200);
    for lost in [false, true] {
        let mut run = case.start_and_stop_in_commit();
        run.kill().unwrap();
        run.wait().unwrap();
        if lost {
            case.forget();
        }
        // The server is still in the statement of the dead run when the next one starts.
        let next = case.scene.start(&["run", "d/p"]);
        std::thread::sleep(Duration::from_millis(300));
        case.target.execute("SELECT pg_advisory_unlock(42)");
        let output = next.wait_with_output().unwrap();
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(told.contains("committed meanwhile"), "{told}");
            case.run();
        }
        case.assert_equal();
        case.insert(201, 210);
    }
}

#[test]
fn two_that_do_not_know_of_each_other_do_not_both_load() {
    let Some(mut case) = Mart::new() else { return };
    case.insert(1, 100);
    case.run();
    case.target.execute(GATE);
    case.insert(101, 200);
    let other = Scene::with(&[("pipelines/p.yaml", PIPELINE)]);
    case.source.connect(&other, "source");
    case.target.connect(&other, "mart");

    let first = case.start_and_stop_in_commit();
    let second = other.start(&["run", "d/p"]);
    case.wait(WAITING, "2");
    case.target.execute("SELECT pg_advisory_unlock(42)");
    assert!(first.wait_with_output().unwrap().status.success());
    let second = second.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success(), "{told}");
    assert!(told.contains("committed meanwhile"), "{told}");
    case.assert_equal();
    other.good(&["run", "d/p"]);
    case.assert_equal();
}

#[test]
fn a_table_that_is_dropped_has_forgotten() {
    let Some(mut case) = Mart::new() else { return };
    case.insert(1, 100);
    case.run();
    case.target.execute("DROP TABLE mart.t");
    case.run();
    case.assert_equal();
    case.target.execute(
        "CREATE TABLE mart.new (LIKE mart.t); DROP TABLE mart.t; ALTER TABLE mart.new RENAME TO t",
    );
    let told = case.scene.bad(4, &["run", "d/p"]);
    assert!(told.contains("is not the table that was loaded"), "{told}");
    case.target
        .execute("DELETE FROM mart.lakewright_runs WHERE target = '\"mart\".\"t\"'");
    case.run();
    case.assert_equal();
}

#[test]
fn a_renamed_step_does_not_read_everything_again() {
    let Some(mut case) = Mart::new() else { return };
    case.insert(1, 100);
    case.run();
    for (from, to) in [
        ("name: publish", "name: renamed"),
        ("rows", "lines"),
        ("name: p\n", "name: q\n"),
    ] {
        case.scene
            .write("pipelines/p.yaml", &PIPELINE.replace(from, to));
        let id = if to.contains('q') { "d/q" } else { "d/p" };
        let told = case.scene.bad(4, &["run", id]);
        assert!(told.contains("would read everything again"), "{told}");
    }
    case.scene.write("pipelines/p.yaml", PIPELINE);
    case.insert(101, 110);
    case.run();
    case.assert_equal();
}

#[test]
fn one_pipeline_loads_marts_of_two_databases() {
    let Some(mut case) = Mart::new() else { return };
    let Some(mut second) = Database::new("CREATE SCHEMA mart") else {
        return;
    };
    second.connect(&case.scene, "second");
    let more = "  - name: other\n    load: { from: rows, connection: second, table: mart.t, mode: append }\n";
    case.scene
        .write("pipelines/p.yaml", &format!("{PIPELINE}{more}"));
    for round in 0..3 {
        case.insert(round * 100 + 1, round * 100 + 100);
        case.run();
        case.forget();
        case.assert_equal();
        let there = second.query("SELECT count(*), sum(id) FROM mart.t");
        assert_eq!(
            there,
            case.target.query("SELECT count(*), sum(id) FROM mart.t")
        );
    }
}

#[test]
fn a_mart_that_an_earlier_version_loaded_goes_on() {
    let Some(mut case) = Mart::new() else { return };
    case.insert(1, 100);
    case.run();
    let columns = [
        "pipeline",
        "load_step",
        "fingerprint",
        "watermarks",
        "relation",
        "seq",
    ];
    for column in columns {
        case.target.execute(&format!(
            "ALTER TABLE mart.lakewright_runs DROP COLUMN {column}"
        ));
    }
    case.insert(101, 200);
    case.run();
    case.assert_equal();
    case.forget();
    case.run();
    case.assert_equal();

    // Without the state nobody knows how far that version had read.
    for column in columns {
        case.target.execute(&format!(
            "ALTER TABLE mart.lakewright_runs DROP COLUMN {column}"
        ));
    }
    case.forget();
    let told = case.scene.bad(4, &["run", "d/p"]);
    assert!(told.contains("no run on record"), "{told}");
    case.assert_equal();
}

#[test]
fn what_is_remembered_does_not_grow_without_end() {
    let Some(mut case) = Mart::new() else { return };
    case.insert(1, 100);
    case.run();
    case.target.execute(
        "INSERT INTO mart.lakewright_runs (run, target, pipeline, load_step, watermarks) \
         SELECT 'r' || i, target, 'd/old', 'l', '{}' FROM mart.lakewright_runs, generate_series(1, 500) AS i",
    );
    case.insert(101, 110);
    case.run();
    case.assert_equal();
    let kept = "SELECT count(*) FILTER (WHERE pipeline = 'd/old'), count(*) FILTER (WHERE pipeline = 'd/p') \
                FROM mart.lakewright_runs";
    assert_eq!(case.target.query(kept), ["100,2"]);
}
