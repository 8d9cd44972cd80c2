//! The daemon: every time of a schedule is run once, whatever dies, and only what is right comes into force.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::database::Database;
use crate::kills::Numbers;
use crate::scene::Scene;
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// How long something may take that happens at once on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A pipeline `d/NAME` that appends one row to `d.NAME` in each run.
pub(crate) fn pipeline(name: &str, schedule: &str) -> String {
    format!(
        "kind: Pipeline\nname: {name}\ndomain: d\nschedule: {schedule}\nsteps:\n  \
         - {{ name: rows, extract: {{ connection: files, table: '*.csv' }} }}\n  \
         - {{ name: out, load: {{ from: rows, table: d.{name}, mode: append }} }}\n"
    )
}

pub(crate) fn project(pipelines: &[(&str, &str)]) -> Scene {
    let scene = Scene::with(&[("connections/files.yaml", FILES), ("data/a.csv", "id\n1\n")]);
    for (name, schedule) in pipelines {
        scene.write(&format!("pipelines/{name}.yaml"), &pipeline(name, schedule));
    }
    scene
}

/// Takes a project's catalog and state to databases.
pub(crate) fn on_postgres(scene: &Scene, lake: &Database, state: &Database) {
    scene.write("lake.url", &lake.url());
    scene.write("state.url", &state.url());
    scene.write(
        "project.yaml",
        "kind: Project\nname: scene\nversion: 1\nlake:\n  catalog: { postgres: { url: { file: lake.url } } }\n  \
         warehouse: { local: { path: lake/warehouse } }\nstate: { postgres: { url: { file: state.url } } }\n",
    );
}

/// A daemon that is killed when it is dropped. What it says is in a file.
pub(crate) struct Daemon(pub(crate) Child);

impl Daemon {
    pub(crate) fn start(scene: &Scene) -> Self {
        Self::start_with(scene, "200ms", "")
    }

    /// One that looks at the folder so often, and to which this goes wrong.
    fn start_with(scene: &Scene, reload: &str, failpoints: &str) -> Self {
        Self::start_as(scene, "daemon", &["--reload", reload], failpoints)
    }

    /// One that is told more, and says what it does in a log of its own.
    pub(crate) fn start_as(scene: &Scene, name: &str, more: &[&str], failpoints: &str) -> Self {
        let log = scene.path().join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let child = services::lakewright()
            .args(["daemon", "--grace", "20s"])
            .args(more)
            .env("LAKEWRIGHT_FAILPOINTS", failpoints)
            .current_dir(scene.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self(child)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Asks it to stop, which it does.
    pub(crate) fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn told(scene: &Scene) -> String {
    fs::read_to_string(scene.path().join("daemon.log")).unwrap_or_default()
}

/// Waits until something is so.
pub(crate) fn until(scene: &Scene, what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not {what}: {}", told(scene));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What was decided about `d/NAME`, the oldest first.
pub(crate) fn decisions(scene: &Scene, name: &str) -> Vec<Value> {
    let id = format!("d/{name}");
    let text = scene.good(&["status", &id, "--limit", "100000", "--format", "json"]);
    let mut decisions: Vec<Value> = serde_json::from_str(&text).unwrap();
    decisions.reverse();
    decisions
}

/// The times for which `d/NAME` was to run.
pub(crate) fn to_run(scene: &Scene, name: &str) -> Vec<String> {
    let all = decisions(scene, name).into_iter();
    all.filter(|one| one["verdict"] == "run" || one["verdict"] == "requested")
        .map(|one| one["due"].as_str().unwrap().to_owned())
        .collect()
}

/// How many runs of `d/NAME` ended well.
pub(crate) fn succeeded(scene: &Scene, name: &str) -> usize {
    let all = decisions(scene, name).into_iter();
    all.filter(|one| one["outcome"] == "succeeded").count()
}

/// Every time that was decided has one run, and nothing is open.
pub(crate) fn assert_each_once(scene: &Scene, name: &str) {
    let runs = to_run(scene, name).len();
    assert_eq!(succeeded(scene, name), runs, "{}", told(scene));
    let rows = scene.query(&format!("SELECT count(*) FROM d.{name}"));
    assert_eq!(rows, [runs.to_string()], "{}", told(scene));
}

/// The times are those of a rule that comes true each second, none left out and none twice.
pub(crate) fn assert_each_second(times: &[String]) {
    let seconds: Vec<i64> = times
        .iter()
        .map(|time| {
            chrono::DateTime::parse_from_rfc3339(time)
                .unwrap()
                .timestamp()
        })
        .collect();
    assert!(
        seconds.windows(2).all(|two| two[1] == two[0] + 1),
        "{times:?}"
    );
}

/// Lets nothing more become due, and everything run that was.
pub(crate) fn drain(scene: &Scene, names: &[&str]) {
    for name in names {
        scene.good(&["pause", &format!("d/{name}")]);
    }
    for name in names {
        until(scene, "drained", || {
            succeeded(scene, name) == to_run(scene, name).len()
        });
    }
}

pub(crate) const EACH_SECOND: &str = "{ cron: '* * * * * *', overlap: queue, catchup: all }";

#[test]
fn a_daemon_that_is_killed_again_and_again_runs_every_time_once() {
    let kills = services::number("LAKEWRIGHT_TEST_KILLS").unwrap_or(12);
    let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
    println!("LAKEWRIGHT_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let scene = project(&[("p", EACH_SECOND), ("q", "{ after: [d/p] }")]);
    let daemon = Daemon::start(&scene);
    until(&scene, "run", || succeeded(&scene, "p") > 0);
    drop(daemon);
    for _ in 0..kills {
        let daemon = Daemon::start(&scene);
        std::thread::sleep(Duration::from_millis(numbers.next() % 1_500));
        drop(daemon);
    }
    let daemon = Daemon::start(&scene);
    drain(&scene, &["p", "q"]);
    daemon.stop();
    assert_each_second(&to_run(&scene, "p"));
    assert_each_once(&scene, "p");
    assert_each_once(&scene, "q");
    // What was published while `q` ran, or nobody did, is one run more, and not one for each.
    assert!(succeeded(&scene, "q") > 0 && succeeded(&scene, "q") <= succeeded(&scene, "p"));
    scene.readers_agree();
}

#[test]
fn several_daemons_on_one_state_run_every_time_once() {
    let (Some(state), Some(lake)) = (Database::new(""), Database::new("")) else {
        return;
    };
    let scene = project(&[
        ("p", EACH_SECOND),
        ("q", EACH_SECOND),
        ("r", "{ after: [d/p, d/q] }"),
    ]);
    on_postgres(&scene, &lake, &state);
    let mut daemons: Vec<Daemon> = (0..3).map(|_| Daemon::start(&scene)).collect();
    until(&scene, "begun", || succeeded(&scene, "p") > 1);
    // One after the other dies, and with it, sooner or later, the one that decides.
    for dies in [0, 1, 2, 0] {
        daemons[dies] = Daemon::start(&scene);
        let before = succeeded(&scene, "p");
        until(&scene, "taken over", || succeeded(&scene, "p") > before + 1);
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
    assert!(told(&scene).matches("decides what is due").count() > 1);
}

#[test]
fn a_change_comes_into_force_whole_or_not_at_all() {
    let scene = project(&[("p", EACH_SECOND)]);
    let daemon = Daemon::start(&scene);
    until(&scene, "run", || succeeded(&scene, "p") > 0);

    // One good file and one that is not: neither counts.
    scene.write("pipelines/new.yaml", &pipeline("new", EACH_SECOND));
    scene.write("pipelines/p.yaml", &pipeline("p", "{ cron: '* * * *' }"));
    until(&scene, "refused", || {
        told(&scene).contains("project refused")
    });
    // Nobody who asks the folder now gets an answer: the log tells.
    let ended = || told(&scene).matches("run ended well").count();
    let before = ended();
    until(&scene, "going on", || ended() > before + 1);
    let log = told(&scene);
    assert!(!log.contains("pipeline=d/new"), "{log}");
    assert_eq!(log.matches("project refused").count(), 1, "{log}");
    assert!(
        log.contains("pipelines/p.yaml:4:19") && log.contains("bad-cron"),
        "{log}"
    );

    // Made good: both count.
    scene.write("pipelines/p.yaml", &pipeline("p", "{ cron: '0 0 1 1 *' }"));
    until(&scene, "run", || succeeded(&scene, "new") > 0);
    let last = to_run(&scene, "p");

    // What is gone stops.
    fs::remove_file(scene.path().join("pipelines/new.yaml")).unwrap();
    until(&scene, "in force", || {
        told(&scene).matches("project in force").count() == 3
    });
    std::thread::sleep(Duration::from_millis(1_500));
    daemon.stop();
    assert_eq!(to_run(&scene, "p"), last, "the old rule went on");
    scene.readers_agree();
}

#[test]
fn pauses_and_requests_outlive_the_daemon() {
    let scene = project(&[(
        "p",
        "{ cron: '* * * * * *', overlap: queue, catchup: none }",
    )]);
    scene.good(&["trigger", "d/p"]);
    scene.good(&["pause", "d/p"]);
    let daemon = Daemon::start(&scene);
    // Who is paused runs only when asked to.
    until(&scene, "run", || succeeded(&scene, "p") == 1);
    std::thread::sleep(Duration::from_millis(1_500));
    drop(daemon);
    assert_eq!(to_run(&scene, "p").len(), 1);
    assert!(scene.good(&["status"]).contains("paused"));

    let daemon = Daemon::start(&scene);
    scene.good(&["resume", "d/p"]);
    until(&scene, "resumed", || succeeded(&scene, "p") > 1);
    drain(&scene, &["p"]);
    daemon.stop();
    assert_each_once(&scene, "p");
    let without = scene.bad(2, &["trigger", "d/x"]);
    assert!(without.contains("did you mean `d/p`"), "{without}");
}

#[test]
fn a_run_that_fails_is_told_and_the_next_time_is_another_run() {
    let scene = project(&[("p", "{ cron: '* * * * * *' }")]);
    fs::remove_file(scene.path().join("data/a.csv")).unwrap();
    let daemon = Daemon::start(&scene);
    until(&scene, "failed", || told(&scene).contains("run failed"));
    scene.write("data/a.csv", "id\n1\n");
    until(&scene, "run", || succeeded(&scene, "p") > 0);
    daemon.stop();
    let all = decisions(&scene, "p");
    let failed = all.iter().find(|one| one["verdict"] == "run").unwrap();
    let outcome = failed["outcome"].as_str().unwrap();
    assert!(
        outcome.contains("failed") || outcome.contains("could not begin"),
        "{outcome}"
    );
}

#[test]
fn a_run_that_has_ended_is_no_reason_to_leave_a_time_out() {
    let scene = project(&[("p", "{ cron: '* * * * * *', overlap: skip }")]);
    // It dies when the end of the run is in the log, and before the decision is closed.
    let mut daemon = Daemon::start_with(&scene, "200ms", "state.ended.after=kill");
    assert!(!daemon.0.wait().unwrap().success());
    let before = decisions(&scene, "p").len();
    std::thread::sleep(Duration::from_millis(1_100));
    let daemon = Daemon::start(&scene);
    until(&scene, "decided", || decisions(&scene, "p").len() > before);
    drain(&scene, &["p"]);
    daemon.stop();
    assert_eq!(decisions(&scene, "p")[before]["verdict"], "run");
    assert_each_once(&scene, "p");
}

#[test]
fn a_request_for_a_pipeline_that_the_daemon_does_not_know_yet_waits_for_it() {
    let scene = project(&[("p", EACH_SECOND)]);
    let daemon = Daemon::start_with(&scene, "1h", "");
    until(&scene, "run", || succeeded(&scene, "p") > 0);
    scene.write(
        "pipelines/new.yaml",
        &pipeline("new", "{ cron: '0 0 1 1 *' }"),
    );
    scene.good(&["trigger", "d/new"]);
    let before = succeeded(&scene, "p");
    until(&scene, "looked", || succeeded(&scene, "p") > before + 1);
    assert_eq!(decisions(&scene, "new")[0]["outcome"], Value::Null);
    daemon.stop();
    let daemon = Daemon::start(&scene);
    until(&scene, "run", || succeeded(&scene, "new") == 1);
    daemon.stop();
}
