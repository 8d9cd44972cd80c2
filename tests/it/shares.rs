//! Runs share what there is too little of: never more at once than may, each in its turn, whatever dies.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use run::load_project;
use run::scheduler::{Taken, turns};
use run::state::OpenDecision;
use serde_json::Value;
use spec::model::{PipelineId, Project};

use crate::daemon::{Daemon, on_postgres, pipeline, project, succeeded, to_run, told, until};
use crate::database::Database;
use crate::kills::Numbers;
use crate::scene::Scene;
use crate::services;

const SELDOM: &str = "{ cron: '0 0 1 1 *' }";

fn instant(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap() + TimeDelta::minutes(minute)
}

/// A project of these domains with their `limits`, and pipelines `domain/name` with what else they say.
fn specs(limits: &str, domains: &[(&str, &str)], pipelines: &[(&str, &str)]) -> Project {
    let scene = Scene::with(&[(
        "connections/files.yaml",
        &format!(
            "kind: Connection\nname: files\nconnector: local\noptions: {{ path: data }}\n{limits}\n"
        ),
    )]);
    for (name, limits) in domains {
        let text = format!("kind: Domain\nname: {name}\nnamespace: {name}\n{limits}\n");
        scene.write(&format!("{name}.yaml"), &text);
    }
    for (id, more) in pipelines {
        let (domain, name) = id.split_once('/').unwrap();
        let text = pipeline(name, SELDOM)
            .replace("domain: d\n", &format!("domain: {domain}\n{more}\n"))
            .replace("table: d.", &format!("table: {domain}."));
        scene.write(&format!("pipelines/{domain}-{name}.yaml"), &text);
    }
    let loaded = load_project(scene.path(), None).unwrap();
    loaded
        .project
        .unwrap_or_else(|| panic!("{}", loaded.diagnostics.render(false)))
}

fn waiting(id: &str, minute: i64) -> OpenDecision {
    OpenDecision {
        pipeline: id.parse().unwrap(),
        sequence: 1,
        due: instant(minute),
        cause: String::new(),
        begun: false,
        ended: false,
    }
}

/// Who has a place, by what.
fn taken(all: &[(&str, &[&str])]) -> Taken {
    let ids = |names: &[&str]| -> BTreeSet<PipelineId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    all.iter()
        .map(|(of, names)| ((*of).to_owned(), ids(names)))
        .collect()
}

/// The runs in their turn: those that begin, and what each other waits for.
fn in_turn(minute: i64, project: &Project, open: &[OpenDecision], taken: &Taken) -> Vec<String> {
    let turns = turns(instant(minute), project, open, taken);
    turns
        .into_iter()
        .map(|turn| match turn.waits_for {
            None => turn.decision.pipeline.to_string(),
            Some(share) => format!("{} waits for {}", turn.decision.pipeline, share.of),
        })
        .collect()
}

#[test]
fn the_highest_priority_is_first_then_the_domain_with_the_least_then_the_oldest() {
    let project = specs(
        "",
        &[("a", "limits: { weight: 2 }"), ("b", "")],
        &[
            ("a/x1", ""),
            ("a/x2", ""),
            ("a/x3", ""),
            ("a/x4", ""),
            ("b/x1", ""),
            ("b/x2", ""),
            ("b/x3", "priority: 5"),
        ],
    );
    let open: Vec<OpenDecision> = ["a/x1", "a/x2", "a/x3", "a/x4", "b/x1", "b/x2", "b/x3"]
        .into_iter()
        .zip(0..)
        .map(|(id, minute)| waiting(id, minute))
        .collect();
    // `b` has one by its priority, `a` then two for each of `b`; where both have the same of their weight, the older.
    let order = ["b/x3", "a/x1", "a/x2", "a/x3", "a/x4", "b/x1", "b/x2"];
    assert_eq!(in_turn(9, &project, &open, &Taken::new()), order);
    // What runs already counts, and does not wait.
    let running = taken(&[("domain a", &["a/x1", "a/x9"])]);
    assert_eq!(
        in_turn(9, &project, &open, &running),
        ["b/x3", "a/x2", "a/x3", "b/x1", "a/x4", "b/x2"]
    );
}

#[test]
fn a_run_lets_others_pass_until_it_has_waited_for_long() {
    let project = specs(
        "limits: { runs: 1 }",
        &[("a", "limits: { runs: 2 }"), ("b", "")],
        &[("a/x1", ""), ("a/x2", ""), ("b/x1", "")],
    );
    let open = [waiting("a/x1", 0), waiting("b/x1", 1)];
    let full = taken(&[("domain a", &["a/x8", "a/x9"])]);
    assert_eq!(
        in_turn(5, &project, &open, &full),
        ["b/x1", "a/x1 waits for domain a"]
    );
    let none = Taken::new();
    assert_eq!(
        in_turn(5, &project, &open, &none),
        ["a/x1", "b/x1 waits for connection files"]
    );
    // `b/1` has less of its weight, and is due later: it begins, unless what it needs is kept for one that waits for long.
    let high = specs(
        "limits: { runs: 1 }",
        &[("a", "limits: { runs: 2 }"), ("b", "")],
        &[("a/x1", "priority: 1"), ("b/x1", "")],
    );
    assert_eq!(
        in_turn(9, &high, &open, &full),
        ["a/x1 waits for domain a", "b/x1"]
    );
    assert_eq!(
        in_turn(11, &high, &open, &full),
        ["a/x1 waits for domain a", "b/x1 waits for connection files"]
    );
}

/// A project with so many pipelines `d/p0`, … on one connection.
fn many(count: usize) -> Scene {
    let names: Vec<String> = (0..count).map(|number| format!("p{number}")).collect();
    let pipelines: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), SELDOM)).collect();
    project(&pipelines)
}

fn limit(scene: &Scene, runs: usize) {
    let text = format!(
        "kind: Connection\nname: files\nconnector: local\noptions: {{ path: data }}\nlimits: {{ runs: {runs} }}\n"
    );
    scene.write("connections/files.yaml", &text);
}

#[cfg(debug_assertions)]
#[test]
fn status_says_what_a_run_waits_for() {
    let scene = many(2);
    limit(&scene, 1);
    scene.good(&["trigger", "d/p0"]);
    let first = Daemon::start_as(
        &scene,
        "first",
        &["--lease", "1h"],
        "file.close.before=stop",
    );
    until(&scene, "begun", || {
        scene
            .good(&["runs", "--format", "json"])
            .contains("running")
    });
    scene.good(&["trigger", "d/p1"]);
    let second = Daemon::start(&scene);
    let standing = || -> Value {
        let all = scene.good(&["status", "--format", "json"]);
        let all: Vec<Value> = serde_json::from_str(&all).unwrap();
        all.into_iter()
            .find(|one| one["pipeline"] == "d/p1")
            .unwrap()
    };
    assert_eq!(standing()["waits_for"], "connection files: 1 of 1 runs");
    let text = scene.good(&["status"]);
    assert!(text.contains("1 waiting for connection files"), "{text}");
    // Its place comes back with it, long before its lease is over.
    drop(first);
    until(&scene, "run", || {
        succeeded(&scene, "p0") + succeeded(&scene, "p1") == 2
    });
    second.stop();
    assert_eq!(standing()["waits_for"], Value::Null);
}

/// When each attempt was at work, as the log has it: from its start to the last that is known of it.
fn attempts(state: &mut Database) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let rows = state.query(
        "SELECT run, kind, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS at \
         FROM lakewright.run_event ORDER BY run, sequence",
    );
    let mut attempts: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for row in rows {
        let fields: Vec<&str> = row.split(',').collect();
        let at: DateTime<Utc> = fields[2].parse().unwrap();
        match attempts.last_mut() {
            Some((_, until)) if fields[1] != "started" => *until = at,
            _ => attempts.push((at, at)),
        }
    }
    attempts
}

/// The most attempts that were at work at one time.
fn most_at_once(attempts: &[(DateTime<Utc>, DateTime<Utc>)]) -> usize {
    let at = |now: DateTime<Utc>| {
        let at_work = attempts
            .iter()
            .filter(|(from, until)| *from <= now && now <= *until);
        at_work.count()
    };
    attempts
        .iter()
        .map(|(from, _)| at(*from))
        .max()
        .unwrap_or(0)
}

#[cfg(debug_assertions)]
#[test]
fn never_more_runs_use_a_connection_than_may_whoever_dies() {
    let (Some(lake), Some(mut state)) = (Database::new(""), Database::new("")) else {
        return;
    };
    let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
    println!("LAKEWRIGHT_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let scene = many(8);
    on_postgres(&scene, &lake, &state);
    limit(&scene, 2);
    let names: Vec<String> = (0..8).map(|number| format!("p{number}")).collect();
    for name in &names {
        scene.good(&["trigger", &format!("d/{name}")]);
    }
    // Long enough that all would be at work at once, if they might.
    let delays = (1..50).map(|time| format!("read.split.before=delay:400ms@{time}"));
    let delays: Vec<String> = delays.collect();
    let start = || Daemon::start_as(&scene, "daemon", &["--runs", "8"], &delays.join(","));
    let mut daemons = [start(), start(), start()];
    let all = || {
        names
            .iter()
            .map(|name| succeeded(&scene, name))
            .sum::<usize>()
    };
    for round in 0..6 {
        std::thread::sleep(Duration::from_millis(numbers.next() % 900));
        daemons[round % 3] = start();
    }
    for name in &names {
        scene.good(&["trigger", &format!("d/{name}")]);
    }
    until(&scene, "all run", || all() == 2 * names.len());
    for daemon in daemons {
        daemon.stop();
    }
    let attempts = attempts(&mut state);
    assert!(attempts.len() >= names.len());
    assert!(most_at_once(&attempts) <= 2, "{attempts:?}");
    for name in &names {
        let runs = to_run(&scene, name).len();
        let rows = scene.query(&format!("SELECT count(*) FROM d.{name}"));
        assert_eq!(rows, [runs.to_string()], "{}", told(&scene));
    }
}
