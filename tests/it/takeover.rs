//! Leases: a daemon that stands still, as a paused machine does, is taken over by another one, and writes nothing any
//! more once it goes on.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::daemon::{
    Daemon, EACH_SECOND, assert_each_once, assert_each_second, drain, on_postgres, pipeline,
    project, succeeded, to_run, told, until,
};
use crate::database::Database;
use crate::kills::Numbers;
use crate::scene::Scene;
use crate::services;

/// Comes true on the first of January.
const SELDOM: &str = "{ cron: '0 0 1 1 *' }";

/// How a daemon works that takes over soon.
const SOON: [&str; 4] = ["--reload", "200ms", "--lease", "1s"];

/// How long it may take until a process stands still, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A project whose `d/p` has run once. Its state and catalog are in files, or on PostgreSQL.
fn ran_once(postgres: Option<(&Database, &Database)>) -> Scene {
    let scene = project(&[("p", SELDOM)]);
    if let Some((lake, state)) = postgres {
        on_postgres(&scene, lake, state);
    }
    scene.good(&["run", "d/p"]);
    scene
}

fn state_of(daemon: &Daemon) -> String {
    let id = daemon.0.id().to_string();
    let asked = Command::new("ps").args(["-o", "stat=", "-p", &id]).output();
    String::from_utf8(asked.unwrap().stdout).unwrap()
}

/// A daemon that stands still in a run of `d/p` that was asked for, at this place. One that holds the lock of an `SQLite`
/// file while it does is of no use: nobody can write, neither the next nor the test.
fn stopped(scene: &Scene, point: &str) -> Daemon {
    loop {
        scene.good(&["trigger", "d/p"]);
        let daemon = Daemon::start_as(scene, "first", &SOON, &format!("{point}=stop"));
        let started = Instant::now();
        while !state_of(&daemon).starts_with('T') {
            assert!(started.elapsed() < PATIENCE, "{}", log_of(scene, "first"));
            std::thread::sleep(Duration::from_millis(20));
        }
        if scene.run(&["pause", "d/p"]).status.success() {
            return daemon;
        }
    }
}

fn log_of(scene: &Scene, name: &str) -> String {
    fs::read_to_string(scene.path().join(format!("{name}.log"))).unwrap_or_default()
}

/// Lets the daemon go on, and waits until it has seen what has happened meanwhile.
fn wake(scene: &Scene, daemon: &Daemon) {
    daemon.signal("-CONT");
    until(scene, "noticed by the first", || {
        log_of(scene, "first").contains("taken over by another process")
    });
}

/// Another daemon ends the run of the one that stands still; that one changes nothing, and is of use again.
fn another_ends_the_run(scene: &Scene, point: &str) {
    let first = stopped(scene, point);
    let second = Daemon::start_as(scene, "daemon", &SOON, "");
    until(scene, "ended", || all_succeeded(scene));
    let log = scene.good(&["runs", "--format", "json"]);
    wake(scene, &first);
    assert_eq!(scene.good(&["runs", "--format", "json"]), log, "{point}");
    second.stop();
    let each_once = || {
        let rows = scene.query("SELECT count(*) FROM d.p");
        let runs = to_run(scene, "p").len() + 1;
        assert_eq!(
            rows,
            [runs.to_string()],
            "{point}: {}",
            log_of(scene, "first")
        );
    };
    each_once();
    scene.good(&["trigger", "d/p"]);
    until(scene, "run by the first", || all_succeeded(scene));
    first.stop();
    each_once();
}

fn all_succeeded(scene: &Scene) -> bool {
    succeeded(scene, "p") == to_run(scene, "p").len()
}

/// A run that another daemon gives up, since its spec has changed, does not become visible after all: nobody else has
/// changed its table, so only the fence stands between.
fn what_was_given_up_never_comes(scene: &Scene) {
    let first = stopped(scene, "commit.swap.before");
    let before = succeeded(scene, "p");
    let changed = pipeline("p", SELDOM).replace("table: d.p", "table: d.q");
    scene.write("pipelines/p.yaml", &changed);
    let second = Daemon::start_as(scene, "daemon", &SOON, "");
    until(scene, "ended", || all_succeeded(scene));
    wake(scene, &first);
    second.stop();
    first.stop();
    let runs = scene.good(&["runs", "--format", "json"]);
    assert_eq!(runs.matches("abandoned").count(), 1, "{runs}");
    let rows = scene.query("SELECT count(*) FROM d.p");
    assert_eq!(rows, [(before + 1).to_string()]);
    assert_eq!(scene.query("SELECT count(*) FROM d.q"), ["1"]);
}

/// Before the run is in the log, while nothing is visible, before and after the step that makes it visible, before its end.
const PLACES: [&str; 5] = [
    "state.started.before",
    "file.close.before",
    "commit.swap.before",
    "commit.swap.after",
    "state.ended.before",
];

#[test]
fn who_stood_still_writes_nothing_in_files() {
    for point in PLACES {
        let scene = ran_once(None);
        another_ends_the_run(&scene, point);
        scene.readers_agree();
    }
    let scene = ran_once(None);
    what_was_given_up_never_comes(&scene);
    scene.readers_agree();
}

#[test]
fn who_stood_still_writes_nothing_on_postgres() {
    for point in PLACES {
        let (Some(lake), Some(state)) = (Database::new(""), Database::new("")) else {
            return;
        };
        another_ends_the_run(&ran_once(Some((&lake, &state))), point);
    }
    let (Some(lake), Some(state)) = (Database::new(""), Database::new("")) else {
        return;
    };
    what_was_given_up_never_comes(&ran_once(Some((&lake, &state))));
}

#[test]
fn who_stood_still_writes_nothing_into_a_mart() {
    let Some(mut mart) = Database::new("CREATE SCHEMA m") else {
        return;
    };
    let scene = project(&[]);
    mart.connect(&scene, "mart");
    let of = |table: &str| {
        pipeline("p", SELDOM).replace("table: d.p", &format!("connection: mart, table: m.{table}"))
    };
    scene.write("pipelines/p.yaml", &of("t"));
    scene.good(&["run", "d/p"]);
    let first = stopped(&scene, "sink.commit.before");
    scene.write("pipelines/p.yaml", &of("u"));
    let second = Daemon::start_as(&scene, "daemon", &SOON, "");
    until(&scene, "ended", || all_succeeded(&scene));
    wake(&scene, &first);
    second.stop();
    first.stop();
    assert_eq!(mart.query("SELECT count(*) FROM m.t"), ["1"]);
    assert_eq!(mart.query("SELECT count(*) FROM m.u"), ["1"]);
}

/// Daemons die and stand still at random, each with what it has: every time is run once all the same.
#[test]
fn daemons_that_die_and_stand_still_run_every_time_once() {
    let (Some(lake), Some(state)) = (Database::new(""), Database::new("")) else {
        return;
    };
    let times = services::number("LAKEWRIGHT_TEST_KILLS").unwrap_or(12);
    let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
    println!("LAKEWRIGHT_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let scene = project(&[
        ("p", EACH_SECOND),
        ("q", EACH_SECOND),
        ("r", "{ after: [d/p, d/q] }"),
    ]);
    on_postgres(&scene, &lake, &state);
    let start = || Daemon::start_as(&scene, "daemon", &SOON, "");
    let mut daemons = [start(), start(), start()];
    until(&scene, "begun", || succeeded(&scene, "p") > 0);
    for _ in 0..times {
        let one = usize::try_from(numbers.next() % 3).unwrap();
        std::thread::sleep(Duration::from_millis(numbers.next() % 700));
        if numbers.next().is_multiple_of(2) {
            daemons[one] = start();
        } else {
            daemons[one].signal("-STOP");
            std::thread::sleep(Duration::from_millis(numbers.next() % 4_000));
            daemons[one].signal("-CONT");
        }
    }
    drain(&scene, &["p", "q", "r"]);
    for daemon in daemons {
        daemon.stop();
    }
    for name in ["p", "q", "r"] {
        assert_each_once(&scene, name);
    }
    assert_each_second(&to_run(&scene, "p"));
    assert_each_second(&to_run(&scene, "q"));
    println!(
        "{} runs taken over",
        told(&scene).matches("taken over").count()
    );
}
