//! `limits` of a connection, seen from the server.

use std::time::{Duration, Instant};

use crate::database::Database;
use crate::scene::Scene;

fn scene(database: &Database, limits: &str, from: &str) -> Scene {
    let pipeline = format!(
        "kind: Pipeline
name: p
domain: d
steps:
  - name: rows
    extract: {{ connection: source, {from} }}
  - name: publish
    load: {{ from: rows, table: d.t, mode: append }}
"
    );
    let scene = Scene::with(&[("pipelines/p.yaml", &pipeline)]);
    let options = database.options(&scene, "source");
    let spec = format!(
        "kind: Connection\nname: source\nconnector: postgres\n{options}\nlimits: {limits}\n"
    );
    scene.write("connections/source.yaml", &spec);
    scene
}

/// Waits for nobody but this test to be at work in the database.
fn is_left_alone(database: &mut Database) {
    let started = Instant::now();
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND pid <> pg_backend_pid() AND state = 'active'";
    while database.query(others) != ["0"] {
        let waited = started.elapsed();
        assert!(
            waited < Duration::from_secs(5),
            "the server still works for nobody"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_statement_that_takes_too_long_is_stopped_at_the_server() {
    let setup = "CREATE VIEW slow AS SELECT 1::bigint AS id FROM pg_sleep(60)";
    let Some(mut database) = Database::new(setup) else {
        return;
    };
    let limits = "{ statement_timeout: 1s }";
    let froms = [
        "table: public.slow",
        // Asks for the highest value before anything is read.
        "table: public.slow, mode: { incremental: { watermark: id, unique: true } }",
    ];
    for from in froms {
        let scene = scene(&database, limits, from);
        let started = Instant::now();
        let run = scene.start(&["run", "d/p"]);
        let output = run.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{told}");
        assert!(told.contains("no answer within 1s"), "{told}");
        assert!(started.elapsed() < Duration::from_secs(30), "{told}");
        is_left_alone(&mut database);
    }
}

#[test]
fn no_more_sessions_are_held_than_allowed() {
    let setup = "CREATE TABLE big AS SELECT i::bigint AS id, repeat('x', 500) AS filler \
                 FROM generate_series(1, 100000) AS i; ANALYZE big";
    let Some(mut database) = Database::new(setup) else {
        return;
    };
    for (limit, parallel) in [(2, 1), (3, 2)] {
        let limits = format!("{{ sessions: {limit} }}");
        let from = "table: public.big, splits: { target_rows: 2000 }";
        let scene = scene(&database, &limits, from);
        let mut run = scene.start(&["run", "d/p"]);
        let (mut most, mut reading, mut before) = (0, 0, 0);
        while run.try_wait().unwrap().is_none() {
            let seen = database.query(
                "SELECT count(*), count(*) FILTER (WHERE query LIKE 'COPY%') FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                 AND backend_type = 'client backend'",
            );
            let (all, copying) = seen[0].split_once(',').unwrap();
            // The server lists a session for a moment after its client has closed it: two looks in a row count.
            let now = all.parse::<usize>().unwrap();
            most = most.max(now.min(before));
            before = now;
            std::thread::sleep(Duration::from_millis(10));
            reading = reading.max(copying.parse::<usize>().unwrap());
        }
        assert!(run.wait().unwrap().success());
        assert_eq!(scene.query("SELECT count(*) FROM d.t"), ["100000"]);
        assert!(most <= limit, "{most} sessions, and {limit} are allowed");
        assert!(reading <= parallel && reading > 0, "{reading} at once");
    }
}

#[test]
fn outside_its_hours_a_connection_is_not_used() {
    let Some(mut database) = Database::new("CREATE TABLE t AS SELECT 1::bigint AS id") else {
        return;
    };
    // Hours of the server's clock that are not now: from in two hours to in three.
    let hours = database.query(
        "SELECT to_char((now() AT TIME ZONE 'UTC') + interval '2 hours', 'HH24:MI') AS f, \
         to_char((now() AT TIME ZONE 'UTC') + interval '3 hours', 'HH24:MI') AS t, \
         to_char((now() AT TIME ZONE 'UTC') - interval '1 hour', 'HH24:MI') AS e",
    );
    let hours: Vec<&str> = hours[0].split(',').collect();
    let (from, to, earlier) = (hours[0], hours[1], hours[2]);
    let window = |from: &str, to: &str| {
        format!("{{ window: {{ from: \"{from}\", to: \"{to}\", timezone: UTC }} }}")
    };
    let shut = scene(&database, &window(from, to), "table: public.t");
    for command in ["plan", "run"] {
        let output = shut.run(&[command, "d/p"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{told}");
        assert!(
            told.contains("`source` is not to be used at this hour") && told.contains(from),
            "{told}"
        );
    }
    let open = scene(&database, &window(earlier, to), "table: public.t");
    open.good(&["run", "d/p"]);
    assert_eq!(open.query("SELECT count(*) FROM d.t"), ["1"]);
}
