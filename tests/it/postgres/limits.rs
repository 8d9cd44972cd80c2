//! `limits` of a connection, seen from the server.

use std::time::{Duration, Instant};

use crate::database::Database;
use crate::scene::Scene;
use crate::services;

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
    for (limit, parallel) in [(1, 1), (2, 2), (3, 3)] {
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

/// A user of whom the server takes no more sessions than these; others do not count.
fn limited_user(database: &mut Database, sessions: usize) -> String {
    let user = services::fresh_schema();
    database.execute(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'limited' CONNECTION LIMIT {sessions}; \
         GRANT ALL ON SCHEMA public TO {user}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"
    ));
    user
}

/// Lets a scene's connection log in as this user.
fn log_in_as(scene: &Scene, database: &Database, user: &str, sessions: usize) {
    let options = database.options(scene, "source");
    let (before, rest) = options.split_once("user: ").unwrap();
    let (_, after) = rest.split_once(',').unwrap();
    scene.write("secrets/source", "limited");
    let spec = format!(
        "kind: Connection\nname: source\nconnector: postgres\n{before}user: {user},{after}\n\
         limits: {{ sessions: {sessions} }}\n"
    );
    scene.write("connections/source.yaml", &spec);
}

#[test]
fn a_user_with_one_session_is_enough_to_read_with_one() {
    let setup = "CREATE TABLE big AS SELECT i::bigint AS id, repeat('x', 500) AS filler \
                 FROM generate_series(1, 100000) AS i; ANALYZE big; \
                 CREATE TABLE small AS SELECT i::bigint AS id, 'n' || i AS name \
                 FROM generate_series(1, 1000) AS i; ANALYZE small";
    let Some(mut database) = Database::new(setup) else {
        return;
    };
    let user = limited_user(&mut database, 1);
    let joined = "kind: Pipeline
name: p
domain: d
steps:
  - name: big
    extract: { connection: source, table: public.big, splits: { target_rows: 2000 } }
  - name: small
    extract: { connection: source, table: public.small, mode: { incremental: { watermark: id, unique: true } } }
  - name: joined
    transform: { sql: 'select id, small.name from big join small using (id)' }
  - name: publish
    load: { from: joined, table: d.t, mode: append }
";
    let scene = Scene::with(&[("p.yaml", joined)]);
    log_in_as(&scene, &database, &user, 1);
    scene.good(&["plan", "d/p"]);
    scene.good(&["run", "d/p"]);
    assert_eq!(scene.query("SELECT count(*) FROM d.t"), ["1000"]);
    scene.good(&["doctor"]);
}

#[test]
fn reading_and_writing_share_the_sessions() {
    let setup = "CREATE TABLE big AS SELECT i::bigint AS id, repeat('x', 500) AS filler \
                 FROM generate_series(1, 50000) AS i; ANALYZE big";
    let Some(mut database) = Database::new(setup) else {
        return;
    };
    let user = limited_user(&mut database, 2);
    let there_and_back = "kind: Pipeline
name: p
domain: d
steps:
  - name: big
    extract: { connection: source, table: public.big, splits: { target_rows: 2000 } }
  - name: publish
    load: { from: big, connection: source, table: public.copy, mode: replace }
";
    let scene = Scene::with(&[("p.yaml", there_and_back)]);
    log_in_as(&scene, &database, &user, 1);
    let told = scene.run(&["validate"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        told.contains("error[too-few-sessions]: a run would hold 2 sessions of `source` at once")
            && told.contains("p.yaml:8:36"),
        "{told}"
    );
    log_in_as(&scene, &database, &user, 2);
    scene.good(&["run", "d/p"]);
    assert_eq!(database.query("SELECT count(*) FROM copy"), ["50000"]);
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
