//! The table of a project and the model of it, and what happens to both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Output;

use run::failpoint::{Action, Fault, Point, Side};
use serde_json::Value;

use super::table::Table;
use super::write::{Dice, Write};
use crate::kills::Numbers;
use crate::place::Place;
use crate::scene::Scene;
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";
const MAINTENANCE: &str =
    "{ compact: { min_files: 2, deleted_percent: 1 }, expire: { older_than: 1ms, keep: 6 } }";
const RUN: [&str; 2] = ["run", "d/p"];
/// Runs after which something goes wrong, in a hundred.
const FAULTS: usize = 25;
/// How often a point may be passed before something goes wrong there.
const TIMES: usize = 3;
/// What of the story is told where a test fails, in steps.
const TOLD: usize = 12;

pub(super) struct World {
    scene: Scene,
    place: Place,
    namespace: String,
    dice: Dice,
    model: Table,
    /// What each snapshot holds.
    snapshots: BTreeMap<String, Vec<String>>,
    story: Vec<String>,
    counts: BTreeMap<String, u64>,
    made: bool,
}

impl World {
    pub(super) fn new(place: Place, namespace: &str, seed: u64) -> Self {
        let scene = Scene::with(&[("files.yaml", FILES)]);
        let (lake, state) = (place.spec(&scene), "{ sqlite: { path: lake/state.db } }");
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {state}\nmaintenance: {MAINTENANCE}\n"
            ),
        );
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        scene.write("domain.yaml", &domain);
        let mut dice = Dice(Numbers(seed));
        let model = dice.table();
        Self {
            scene,
            place,
            namespace: namespace.to_owned(),
            dice,
            model,
            snapshots: BTreeMap::new(),
            story: Vec::new(),
            counts: BTreeMap::new(),
            made: false,
        }
    }

    fn table(&self) -> String {
        format!("{}.t", self.namespace)
    }

    /// One thing happens.
    pub(super) fn step(&mut self) {
        match self.dice.below(10) {
            0 if self.made => self.maintain(&["--only", "compact"]),
            1 if self.made => self.maintain(&[]),
            _ => self.write(),
        }
        if self.dice.chance(50) {
            self.looks_back();
        }
    }

    fn write(&mut self) {
        let write = self.dice.write(&self.model, self.made);
        let after = self.model.after(&write);
        let pipeline = write.pipeline(&self.table());
        self.story.push(format!("{pipeline}{}", write.csv()));
        self.scene.write("p.yaml", &pipeline);
        self.scene.write("data/rows.csv", &write.csv());
        self.count(&write);
        let before = std::mem::replace(&mut self.model, after);
        let newest = self.newest_run();
        let fault = self.fault(&Point::ALL);
        let ran = self.give(&RUN, fault.as_deref());
        if !ran.status.success() {
            assert!(fault.is_some(), "{}", told(&ran));
            self.is_before_or_after(&before);
            if self.made && self.dice.chance(30) {
                self.story
                    .push("maintain before the run goes on".to_owned());
                self.give_until_done(&["maintain"]);
                self.is_before_or_after(&before);
            }
            // What was over before the fault would be a second run.
            let (run, status) = self.newest_run();
            if run == newest.0 || status != "succeeded" {
                self.story.push("run again".to_owned());
                let again = self.give(&RUN, None);
                assert!(again.status.success(), "{}", told(&again));
            }
        }
        self.made = true;
        self.holds();
    }

    fn maintain(&mut self, more: &[&str]) {
        let command = [&["maintain"], more].concat();
        self.story.push(command.join(" "));
        *self.counts.entry("maintain".to_owned()).or_default() += 1;
        let points = [
            Point::FileOpen,
            Point::FileClose,
            Point::CommitManifest,
            Point::CommitManifestList,
            Point::CommitMetadata,
            Point::CommitSwap,
            Point::CleanFiles,
        ];
        let fault = self.fault(&points);
        let ran = self.give(&command, fault.as_deref());
        assert!(ran.status.success() || fault.is_some(), "{}", told(&ran));
        self.holds();
        if fault.is_some() && self.dice.chance(50) {
            self.give_until_done(&command);
            self.holds();
        }
    }

    /// At times, something that is to go wrong.
    fn fault(&mut self, points: &[Point]) -> Option<String> {
        if !self.dice.chance(FAULTS) {
            return None;
        }
        let (point, side) = (self.dice.one_of(points), self.dice.one_of(&Side::BOTH));
        let others = [Action::Error, Action::DiskFull, Action::LostReply];
        let other = self.dice.one_of(&others);
        let kills = self.dice.chance(70) || !other.fits(point, side);
        let fault = Fault {
            point,
            side,
            action: if kills { Action::Kill } else { other },
            time: 1 + self.dice.below(TIMES) as u64,
        };
        self.story.push(fault.to_string());
        Some(fault.to_string())
    }

    fn give(&mut self, arguments: &[&str], fault: Option<&str>) -> Output {
        let mut command = services::lakewright();
        command.args(arguments).current_dir(self.scene.path());
        if let Some(fault) = fault {
            command.env("LAKEWRIGHT_FAILPOINTS", fault);
        }
        let output = command.output().unwrap();
        if !output.status.success() {
            *self.counts.entry("ended badly".to_owned()).or_default() += 1;
        }
        output
    }

    fn give_until_done(&mut self, arguments: &[&str]) {
        let ran = self.give(arguments, None);
        assert!(ran.status.success(), "{}", told(&ran));
    }

    /// The newest run and how it stands.
    fn newest_run(&self) -> (String, String) {
        let runs = self.scene.good(&["runs", "--format", "json"]);
        let runs: Value = serde_json::from_str(&runs).unwrap();
        let text = |key: &str| runs[0][key].as_str().unwrap_or_default().to_owned();
        (text("run"), text("status"))
    }

    /// All rows now, below the names of the columns; `None` where the table is not there.
    fn rows(&self, at: &[&str]) -> Option<Vec<String>> {
        let sql = format!("SELECT * FROM {}", self.table());
        let command = [&["query", "--format", "csv", &sql], at].concat();
        let output = self.scene.run(&command);
        if !self.made && output.status.code() == Some(2) {
            return None;
        }
        assert!(output.status.success(), "{}", told(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows[1..].sort();
        Some(rows)
    }

    /// A write that did not end well has happened, or has not.
    fn is_before_or_after(&mut self, before: &Table) {
        let Some(found) = self.rows(&[]) else { return };
        self.made = true;
        let (before, after) = (before.lines(), self.model.lines());
        assert!(
            found == before || found == after,
            "neither before nor after: {}\n{}",
            differences(&found, &before),
            differences(&found, &after)
        );
        self.remember(&found);
    }

    /// The table holds what the model does.
    fn holds(&mut self) {
        let found = self.rows(&[]).unwrap();
        let expected = self.model.lines();
        assert!(found == expected, "{}", differences(&found, &expected));
        self.remember(&found);
    }

    /// Snapshots that are new hold these rows.
    fn remember(&mut self, rows: &[String]) {
        let there = self.history();
        self.snapshots
            .retain(|snapshot, _| there.contains(snapshot));
        for snapshot in there {
            self.snapshots
                .entry(snapshot)
                .or_insert_with(|| rows.to_vec());
        }
    }

    fn history(&self) -> BTreeSet<String> {
        let told = self.scene.good(&[
            "history",
            &self.table(),
            "--format",
            "json",
            "--limit",
            "1000",
        ]);
        let told: Vec<Value> = serde_json::from_str(&told).unwrap();
        told.iter().map(|one| one["snapshot"].to_string()).collect()
    }

    /// A snapshot of before still holds what it held.
    fn looks_back(&mut self) {
        if self.snapshots.is_empty() {
            return;
        }
        let all: Vec<String> = self.snapshots.keys().cloned().collect();
        let snapshot = self.dice.one_of(&all);
        let found = self.rows(&["--at", &snapshot]).unwrap();
        let expected = &self.snapshots[&snapshot];
        assert!(
            found == *expected,
            "at {snapshot}: {}",
            differences(&found, expected)
        );
    }

    pub(super) fn readers_agree(&self) {
        if self.made {
            let namespaces = [self.namespace.as_str()];
            self.scene.readers_agree_at(&self.place, &namespaces, &[]);
        }
    }

    fn count(&mut self, write: &Write) {
        let mode = format!("{:?}", write.mode);
        let mode = mode.split(['(', ' ']).next().unwrap().to_owned();
        *self.counts.entry(mode).or_default() += 1;
    }

    /// What happened last.
    pub(super) fn told(&self) -> String {
        let from = self.story.len().saturating_sub(TOLD);
        self.story[from..].join("\n--\n")
    }

    pub(super) fn summary(&self) -> String {
        let mut summary = format!("{} rows at the end;", self.model.rows.len());
        for (what, count) in &self.counts {
            let _ = write!(summary, " {what} {count}");
        }
        summary
    }
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The lines that only one side has.
fn differences(found: &[String], expected: &[String]) -> String {
    let mut text = String::new();
    if found.first() != expected.first() {
        let _ = writeln!(
            text,
            "columns {:?} and not {:?}",
            found.first(),
            expected.first()
        );
    }
    let only = |these: &[String], others: &[String]| {
        let mut rest = others.to_vec();
        let mut only = Vec::new();
        for line in these {
            match rest.iter().position(|other| other == line) {
                Some(place) => drop(rest.swap_remove(place)),
                None => only.push(line.clone()),
            }
        }
        only
    };
    let _ = writeln!(text, "found and not expected: {:?}", only(found, expected));
    let _ = writeln!(text, "expected and not found: {:?}", only(expected, found));
    text
}
