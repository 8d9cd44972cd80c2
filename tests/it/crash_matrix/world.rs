//! The project of a pipeline, its sources and targets, and the way back to how they were before the fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;

use super::kind::{From, Kind, To, rows};
use crate::database::Database;
use crate::place::Place;
use crate::scene::{Scene, copy};
use crate::services;

const FILES: &str = "kind: Connection\nname: files\nconnector: local\noptions: { path: data }\n";

/// How long a request to a database may take, and a delay beyond that.
const LIMITS: &str = "limits: { statement_timeout: 2s }\n";
pub(super) const PAST_LIMIT: &str = "delay:3s";

/// A run as its process ended, and the failpoints that it told of.
pub(super) struct Ran {
    pub(super) status: ExitStatus,
    pub(super) told: String,
    reached: BTreeMap<String, u64>,
}

impl Ran {
    /// How often this point was reached: `commit.swap.after`.
    pub(super) fn times(&self, point: &str) -> u64 {
        self.reached.get(point).copied().unwrap_or_default()
    }

    /// How often splits were read.
    pub(super) fn reads(&self) -> u64 {
        self.times("read.split.before")
    }

    /// How many targets became visible; what is committed to a branch is not.
    pub(super) fn commits(&self) -> u64 {
        let swaps = self.times("commit.swap.after");
        swaps.saturating_sub(self.times("audit.branch.before")) + self.times("sink.commit.after")
    }

    /// How many loads were staged.
    pub(super) fn stages(&self) -> u64 {
        self.times("load.stage.before")
            + self.times("merge.incoming.before")
            + self.times("sink.stage.before")
    }

    /// Whether the end of the run was recorded.
    pub(super) fn is_over(&self) -> bool {
        self.status.success() || self.times("state.ended.after") > 0
    }
}

/// A project, and everything around it.
pub(super) struct World {
    pub(super) kind: &'static Kind,
    pub(super) scene: Scene,
    place: Place,
    namespace: String,
    /// `lake` as it was before the delivery that meets the fault.
    before: TempDir,
    source: Option<Database>,
    /// The mart, or the database of catalog and state.
    target: Option<Database>,
}

impl World {
    /// The world of a pipeline after the deliveries in peace; `None` where a service is missing.
    pub(super) fn new(kind: &'static Kind) -> Option<Self> {
        let scene = Scene::with(&[]);
        let source = match kind.from {
            From::Files => None,
            From::Database => Some(Database::new(
                "CREATE TABLE t (id bigint, at timestamptz, value bigint)",
            )?),
        };
        let target = match kind.to {
            To::Embedded | To::Rest => None,
            To::Database => Some(Database::new("")?),
            To::Mart => Some(Database::new("CREATE SCHEMA mart")?),
        };
        let place = match (kind.to, &target) {
            (To::Database, Some(target)) => Place::postgres(target.url()),
            (To::Rest, _) => Place::rest()?,
            _ => Place::embedded(),
        };
        let mut world = Self {
            kind,
            scene,
            place,
            namespace: "d".to_owned(),
            before: TempDir::new().unwrap(),
            source,
            target,
        };
        world.write_project();
        world.write_pipeline();
        if kind.to != To::Rest {
            world.load_in_peace();
            world.keep();
        }
        Some(world)
    }

    fn write_project(&self) {
        let state = match (&self.target, self.kind.to) {
            (Some(target), To::Database) => {
                self.scene.write("secrets/state", &target.url());
                "{ postgres: { url: { file: secrets/state } } }"
            }
            _ => "{ sqlite: { path: lake/state.db } }",
        };
        let lake = self.place.spec(&self.scene);
        let project =
            format!("kind: Project\nname: scene\nversion: 1\nlake: {lake}\nstate: {state}\n");
        self.scene.write("project.yaml", &project);
        self.scene.write("connections/files.yaml", FILES);
        let databases = [("source", &self.source), ("mart", &self.target)];
        for (name, database) in databases {
            if let Some(database) = database {
                let options = database.options(&self.scene, name);
                let spec = format!(
                    "kind: Connection\nname: {name}\nconnector: postgres\n{options}\n{LIMITS}"
                );
                self.scene.write(&format!("connections/{name}.yaml"), &spec);
            }
        }
        fs::create_dir_all(self.scene.path().join("tmp")).unwrap();
    }

    fn write_pipeline(&self) {
        let namespace = &self.namespace;
        let domain = format!("kind: Domain\nname: d\nnamespace: {namespace}\n");
        self.scene.write("domain.yaml", &domain);
        let steps = self.kind.steps.replace("NS", namespace);
        let retry = "retry: { attempts: 2, backoff: { initial: 10ms } }";
        let spec = format!("kind: Pipeline\nname: p\ndomain: d\n{retry}\nsteps:{steps}\n");
        self.scene.write("pipelines/p.yaml", &spec);
    }

    fn load_in_peace(&mut self) {
        for delivery in 1..self.kind.faulted {
            self.arrives(delivery);
            self.scene.good(&["run", "d/p", "--parallel", "2"]);
        }
    }

    /// Remembers how things are before the fault.
    fn keep(&mut self) {
        let lake = self.scene.path().join("lake");
        if lake.is_dir() {
            copy(&lake, &self.before.path().join("lake"));
        }
        if let (To::Database, Some(target)) = (self.kind.to, &mut self.target) {
            target.execute("CREATE TABLE kept_tables AS SELECT * FROM iceberg_tables");
            target.execute("CREATE TABLE kept_runs AS SELECT run FROM lakewright.run_event");
        }
    }

    /// Makes everything as it was before the fault.
    pub(super) fn reset(&mut self) {
        for folder in ["lake", "tmp"] {
            fs::remove_dir_all(self.scene.path().join(folder)).ok();
        }
        // Files of earlier deliveries stay as they are: one that is written anew is a new one.
        for later in [self.kind.faulted, self.kind.faulted + 1] {
            fs::remove_file(self.delivered(later)).ok();
        }
        fs::create_dir_all(self.scene.path().join("tmp")).unwrap();
        if let Some(source) = &mut self.source {
            source.execute("DELETE FROM t WHERE value > 2000");
        }
        if self.kind.to == To::Rest {
            // What a catalog of others holds cannot be put back: the next case has a namespace of its own.
            self.namespace = services::fresh_schema();
            self.write_pipeline();
            self.load_in_peace();
            return;
        }
        let kept = self.before.path().join("lake");
        if kept.is_dir() {
            copy(&kept, &self.scene.path().join("lake"));
        }
        let back = match self.kind.to {
            To::Embedded | To::Rest => return,
            To::Mart => {
                "DELETE FROM mart.t WHERE value > 2000; DELETE FROM mart.lakewright_runs WHERE seq > 1"
            }
            To::Database => {
                "DELETE FROM iceberg_tables; INSERT INTO iceberg_tables SELECT * FROM kept_tables; \
                 DELETE FROM lakewright.run_event WHERE run NOT IN (SELECT run FROM kept_runs)"
            }
        };
        if let Some(target) = &mut self.target {
            target.execute(back);
        }
    }

    /// The file of a delivery.
    fn delivered(&self, delivery: u64) -> PathBuf {
        self.scene.path().join(format!("data/{delivery}.csv"))
    }

    /// A delivery comes.
    pub(super) fn arrives(&mut self, delivery: u64) {
        let rows = rows(self.kind.from, delivery);
        if let Some(source) = &mut self.source {
            let values = rows.iter().map(|(id, value)| {
                let at = format!(
                    "timestamptz '2026-01-01Z' + {} * interval '1 minute'",
                    id / 3
                );
                format!("({id}, {at}, {value})")
            });
            let values = values.collect::<Vec<_>>().join(", ");
            return source.execute(&format!("INSERT INTO t VALUES {values}"));
        }
        let mut file = "id,value\n".to_owned();
        for (id, value) in rows {
            let _ = writeln!(file, "{id},{value}");
        }
        self.scene.write(&format!("data/{delivery}.csv"), &file);
    }

    /// Runs the pipeline with these failpoints, and hears of all that it comes by.
    pub(super) fn run(&self, script: &str) -> Ran {
        let output = services::lakewright()
            .args(["run", "d/p", "--parallel", "2"])
            .current_dir(self.scene.path())
            .env("LAKEWRIGHT_FAILPOINTS", format!("{script},trace"))
            .env("TMPDIR", self.scene.path().join("tmp"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut reached = BTreeMap::new();
        for line in told.lines() {
            if let Some((_, point)) = line.split_once("failpoint: ") {
                let name = point.split(['=', '@']).next().unwrap_or_default();
                *reached.entry(name.to_owned()).or_default() += 1;
            }
        }
        Ran {
            status: output.status,
            told,
            reached,
        }
    }

    /// What the tables hold: table, id and value, sorted.
    pub(super) fn content(&mut self) -> Vec<String> {
        let select = |schema: &str| {
            let tables = self.kind.tables.iter();
            let tables = tables.map(|(table, _)| {
                format!("SELECT '{table}' AS t, id, value FROM {schema}.{table}")
            });
            tables.collect::<Vec<_>>().join(" UNION ALL ")
        };
        let mut rows = match (self.kind.to, &mut self.target) {
            (To::Mart, Some(target)) => target.query(&select("mart")),
            _ => self.scene.query(&select(&self.namespace)),
        };
        rows.sort();
        rows
    }

    /// Every reader sees the same rows in the tables of the lake.
    pub(super) fn readers_agree(&self) {
        if self.kind.to != To::Mart {
            self.scene
                .readers_agree_at(&self.place, &[&self.namespace], &[]);
        }
    }

    /// Folders that runs have left on local disk.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let folder = self.scene.path().join("tmp");
        let names = fs::read_dir(Path::new(&folder)).unwrap().flatten();
        names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("lakewright-"))
            .collect()
    }
}
