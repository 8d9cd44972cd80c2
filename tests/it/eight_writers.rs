//! Eight processes write one table at once, some append and some merge, while a ninth compacts it. Every row that was
//! committed is there once.
//!
//! A commit that meets another is done again by itself, or its command ends with the code of a conflict, and the same
//! command does it. `LAKEWRIGHT_TEST_COMMITS=25` lets each of the eight commit so often, in all 200 times: that takes
//! longer than the test runner allows without `--profile long`.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::database::Database;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
const APPENDERS: u64 = 5;
const MERGERS: [&str; 3] = ["copy_on_write", "merge_on_read", "copy_on_write"];
/// Commits of each writer.
const COMMITS: u64 = 3;
/// Rows that each commit adds.
const ADDED: u64 = 10;
/// Rows that every merge updates.
const SHARED: u64 = 40;
/// Ids of each writer.
const OWN: u64 = 1_000_000;
/// How often a command that met others is given again.
const AGAIN: u64 = 5;
/// The code of a command that ends for a conflict.
const CONFLICT: i32 = 4;

/// A project of its own on the shared lake, whose pipeline `d/p` loads `data/rows.csv`.
struct Writer {
    scene: Scene,
    number: u64,
}

/// What became of the commands of a writer.
#[derive(Default)]
struct Story {
    /// Rows that met their table again within one command.
    met_again: u64,
    /// Commands that ended for a conflict, and were given again.
    given_again: u64,
    /// Compactions that wrote files, and those that left some to a writer that had changed them.
    compacted: u64,
    left: u64,
}

impl Writer {
    fn new(shared: &Scene, place: &Place, namespace: &str, number: u64, mode: &str) -> Self {
        let pipeline = format!(
            "kind: Pipeline\nname: p\ndomain: d\nsteps:\n  \
             - name: rows\n    extract: {{ connection: files, table: rows.csv, options: {{ schema: {{ id: long, v: long }} }} }}\n  \
             - name: publish\n    load: {{ from: rows, table: {namespace}.t, mode: {mode} }}\n"
        );
        let scene = Scene::with(&[("files.yaml", FILES), ("p.yaml", &pipeline)]);
        let folder = shared.path().display();
        let lake = place
            .spec(&scene)
            .replace("path: lake/", &format!("path: {folder}/lake/"));
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {{ sqlite: {{ path: lake/state.db }} }}\n\
                 maintenance: {{ compact: {{ min_files: 2, deleted_percent: 1 }}, expire: {{ enabled: false }} }}\n"
            ),
        );
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("domain.yaml", &domain);
        Self { scene, number }
    }

    fn rows(&self, rows: impl Iterator<Item = (u64, u64)>) {
        let mut file = "id,v\n".to_owned();
        for (id, v) in rows {
            let _ = writeln!(file, "{id},{v}");
        }
        self.scene.write("data/rows.csv", &file);
    }

    /// Ids that only this writer adds, of all its commits before this one.
    fn own(&self, commits: u64) -> impl Iterator<Item = u64> + use<> {
        let first = (1 + self.number) * OWN;
        first..first + commits * ADDED
    }

    /// Gives a command until it ends well. It may end otherwise only for a conflict, and not for ever.
    fn until_done(&self, arguments: &[&str], story: &mut Story) -> String {
        for _ in 0..=AGAIN {
            let output = services::lakewright()
                .args(arguments)
                .env("LAKEWRIGHT_LOG", "run=info")
                .current_dir(self.scene.path())
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            story.met_again += told.matches("merging again").count() as u64;
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap();
            }
            assert_eq!(output.status.code(), Some(CONFLICT), "{told}");
            story.given_again += 1;
        }
        panic!("{arguments:?} met others {AGAIN} times and again");
    }

    /// Appends rows that nobody else has.
    fn append(&self, commits: u64) -> Story {
        let mut story = Story::default();
        for commit in 0..commits {
            let before = self.own(commit).count();
            self.rows(self.own(commit + 1).skip(before).map(|id| (id, commit)));
            self.until_done(&["run", "d/p"], &mut story);
        }
        story
    }

    /// Merges rows that nobody else has, all of them every time, and those that all merges update.
    fn merge(&self, commits: u64) -> Story {
        let mut story = Story::default();
        for commit in 0..commits {
            let own = self.own(commit + 1).map(|id| (id, commit));
            let mark = self.mark(commit);
            self.rows(own.chain((0..SHARED).map(|id| (id, mark))));
            self.until_done(&["run", "d/p"], &mut story);
        }
        story
    }

    /// What the rows that all merges update have after one of this writer.
    fn mark(&self, commit: u64) -> u64 {
        self.number * OWN + commit
    }

    /// Compacts once, or for as long as the others write.
    fn compact(&self, written: Option<&AtomicBool>) -> Story {
        let mut story = Story::default();
        loop {
            let last = written.is_none_or(|written| written.load(Ordering::Relaxed));
            let told = self.until_done(&["maintain", "--format", "json"], &mut story);
            let told: Vec<Value> = serde_json::from_str(&told).unwrap();
            let count = |key: &str| told[0][key].as_u64().unwrap_or(0);
            story.compacted += u64::from(count("into_files") > 0);
            story.left += u64::from(count("left_files") > 0);
            if last {
                return story;
            }
        }
    }
}

fn every_row_is_there_once(place: &Place, namespace: &str) {
    let commits = services::number("LAKEWRIGHT_TEST_COMMITS").unwrap_or(COMMITS);
    let shared = Scene::with(&[]);
    // It is asked what all writers see.
    let (lake, state) = (place.spec(&shared), "{ sqlite: { path: lake/state.db } }");
    let project = format!("kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {state}\n");
    shared.write("project.yaml", &project);
    let writer = |number, mode: &str| Writer::new(&shared, place, namespace, number, mode);
    let appenders: Vec<Writer> = (0..APPENDERS).map(|n| writer(n, "append")).collect();
    let all = MERGERS.iter().zip(APPENDERS..).map(|(write, number)| {
        let mode = format!("{{ merge: {{ key: [id], write: {write} }} }}");
        writer(number, &mode)
    });
    let mergers: Vec<Writer> = all.collect();
    let keeper = writer(APPENDERS + MERGERS.len() as u64, "append");
    mergers[0].rows((0..SHARED).map(|id| (id, 0)));
    mergers[0].scene.good(&["run", "d/p"]);
    let (started, written) = (Instant::now(), AtomicBool::new(false));
    let stories: Vec<Story> = std::thread::scope(|scope| {
        let kept = scope.spawn(|| keeper.compact(Some(&written)));
        let _ends = Ends(&written);
        let appends = appenders
            .iter()
            .map(|one| scope.spawn(|| one.append(commits)));
        let mut threads: Vec<_> = appends.collect();
        threads.extend(mergers.iter().map(|one| scope.spawn(|| one.merge(commits))));
        let stories = threads.into_iter().map(|thread| thread.join().unwrap());
        let mut stories: Vec<Story> = stories.collect();
        written.store(true, Ordering::Relaxed);
        stories.push(kept.join().unwrap());
        stories
    });
    let sum = |of: fn(&Story) -> u64| stories.iter().map(of).sum::<u64>();
    println!(
        "{} commits of 8 writers in {:.0} s: {} met the table again, {} commands were given again; {} compactions, and {} left files",
        8 * commits,
        started.elapsed().as_secs_f64(),
        sum(|story| story.met_again),
        sum(|story| story.given_again),
        sum(|story| story.compacted),
        sum(|story| story.left),
    );
    holds_all(&keeper.scene, namespace, &appenders, &mergers, commits);
    history_tells_all(&keeper.scene, namespace, commits);
    // Which files there are at last is chance; they are compacted with nobody beside it, and no row changes.
    keeper.compact(None);
    holds_all(&keeper.scene, namespace, &appenders, &mergers, commits);
    shared.readers_agree_at(place, &[namespace], &[]);
}

/// Says that all is written when it goes, also where a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Rows of each writer are there once, as it left them.
fn holds_all(
    scene: &Scene,
    namespace: &str,
    appenders: &[Writer],
    mergers: &[Writer],
    commits: u64,
) {
    let rows = scene.query(&format!("SELECT id, v FROM {namespace}.t ORDER BY id, v"));
    let mark = rows[0].split(',').next_back().unwrap().parse().unwrap();
    let last = |one: &Writer| one.mark(commits - 1) == mark;
    assert!(
        mergers.iter().any(last),
        "{mark} is of no merge that may have been the last"
    );
    let mut expected: Vec<(u64, u64)> = (0..SHARED).map(|id| (id, mark)).collect();
    for one in appenders {
        let rows = one.own(commits).enumerate();
        expected.extend(rows.map(|(number, id)| (id, number as u64 / ADDED)));
    }
    for one in mergers {
        expected.extend(one.own(commits).map(|id| (id, commits - 1)));
    }
    let expected: Vec<String> = expected.iter().map(|(id, v)| format!("{id},{v}")).collect();
    assert_eq!(rows, expected);
}

/// Each run that committed has one snapshot.
fn history_tells_all(scene: &Scene, namespace: &str, commits: u64) {
    let table = format!("{namespace}.t");
    let told = scene.good(&["history", &table, "--format", "json", "--limit", "1000"]);
    let told: Vec<Value> = serde_json::from_str(&told).unwrap();
    let mut runs: Vec<&str> = told.iter().filter_map(|one| one["run"].as_str()).collect();
    let all = runs.len() as u64;
    assert_eq!(all, 1 + 8 * commits);
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len() as u64, all, "a run has committed twice");
}

/// A command that ends for a conflict has changed nothing, says what it met, and does its work when it is given again.
#[cfg(debug_assertions)]
#[test]
fn a_conflict_has_its_own_code_and_the_same_command_again_does_it() {
    let (shared, place) = (Scene::with(&[]), Place::embedded());
    let writer = |number, mode: &str| Writer::new(&shared, &place, "d", number, mode);
    let (replacing, appending) = (writer(0, "replace"), writer(1, "append"));
    appending.rows([(1, 1)].into_iter());
    appending.scene.good(&["run", "d/p"]);
    replacing.rows([(2, 2)].into_iter());
    let appended = || {
        let count = "SELECT count(*) FROM d.t WHERE id = 1";
        let count = replacing.scene.query(count);
        count[0].parse::<u64>().unwrap()
    };
    // However long an append takes here, one of these delays outlasts it.
    for seconds in [2, 10, 60] {
        let before = appended();
        let fault = format!("commit.swap.before=delay:{seconds}s,trace");
        let mut replace = services::lakewright()
            .args(["run", "d/p"])
            .env("LAKEWRIGHT_FAILPOINTS", fault)
            .current_dir(replacing.scene.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(replace.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("failpoint: commit.swap.before") {
            assert!(told.read_line(&mut said).unwrap() > 0, "{said}");
        }
        appending.scene.good(&["run", "d/p"]);
        told.read_to_string(&mut said).unwrap();
        let ended = replace.wait().unwrap();
        if ended.success() {
            continue;
        }
        assert_eq!(ended.code(), Some(CONFLICT), "{said}");
        assert!(
            said.contains("the table was changed by somebody else"),
            "{said}"
        );
        assert!(said.contains("run the pipeline again"), "{said}");
        assert_eq!(appended(), before + 1);
        replacing.scene.good(&["run", "d/p"]);
        assert_eq!(replacing.scene.query("SELECT * FROM d.t"), ["2,2"]);
        return;
    }
    panic!("no append came in between");
}

#[test]
fn on_the_embedded_catalog() {
    every_row_is_there_once(&Place::embedded(), "d");
}

#[test]
fn on_a_postgres_catalog() {
    if let Some(catalog) = Database::new("") {
        every_row_is_there_once(&Place::postgres(catalog.url()), "d");
    }
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        every_row_is_there_once(&place, &services::fresh_schema());
    }
}
