//! A project in a folder of its own, and the built binary to do things with it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "this is test code: failing is its way of telling"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::place::Place;
use crate::services;

/// A project in a folder that goes with it.
pub(crate) struct Scene {
    folder: TempDir,
}

/// A table of which all readers see the same rows.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// Name and Iceberg type, in the order of the schema.
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) count: u64,
}

/// A catalog and a warehouse in the project's folder.
const EMBEDDED: &str = "kind: Project
name: scene
version: 1
lake:
  catalog: { sqlite: { path: lake/catalog.db } }
  warehouse: { local: { path: lake/warehouse } }
state: { sqlite: { path: lake/state.db } }
";

impl Scene {
    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        Self {
            folder: TempDir::new().expect("a folder"),
        }
    }

    /// A project on the embedded default with one domain, `d`, and these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let scene = Self::empty();
        scene.write("project.yaml", EMBEDDED);
        scene.write("domain.yaml", "kind: Domain\nname: d\nnamespace: d\n");
        for (path, text) in files {
            scene.write(path, text);
        }
        scene
    }

    /// A copy of a folder of the repository.
    pub(crate) fn copy_of(folder: &str) -> Self {
        let scene = Self::empty();
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the root")
            .join(folder);
        copy(&from, scene.path());
        scene
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Starts the binary with its output kept.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        services::lakewright()
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.start(arguments)
            .wait_with_output()
            .expect("the binary ends")
    }

    /// Runs the binary and expects it to end well; what it printed.
    pub(crate) fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{arguments:?} ended with {}\n{told}",
            output.status
        );
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs the binary and expects this exit code; what it printed to stderr.
    pub(crate) fn bad(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{told}");
        told
    }

    /// The rows of a query as CSV, without the header.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        let text = self.good(&["query", "--format", "csv", sql]);
        text.lines().skip(1).map(str::to_owned).collect()
    }

    /// Every reader sees the same rows: [`Self::readers_agree_at`] the embedded catalog.
    pub(crate) fn readers_agree(&self) -> Option<BTreeMap<String, Agreed>> {
        self.readers_agree_at(&Place::embedded(), &[], &[])
    }

    /// `lakewright query`, told its environment, `PyIceberg` and DuckDB read every table of these namespaces, or of all,
    /// and see the same rows: the tables by name.
    pub(crate) fn readers_agree_at(
        &self,
        place: &Place,
        namespaces: &[&str],
        environment: &[&str],
    ) -> Option<BTreeMap<String, Agreed>> {
        let lakewright = services::lakewright();
        let command = [lakewright.get_program(), "query".as_ref()];
        let command = command
            .into_iter()
            .chain(environment.iter().map(AsRef::as_ref));
        let output = self.compare(place, namespaces, &command.collect::<Vec<_>>())?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "readers disagree\n{told}");
        let tables: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let tables = tables.as_object().expect("tables by name");
        assert!(!tables.is_empty(), "there is no table to read");
        let agreed = |(name, table): (&String, &Value)| (name.clone(), Agreed::of(table));
        Some(tables.iter().map(agreed).collect())
    }

    /// What the comparison of the readers says; `command` is what is asked for our own rows.
    pub(crate) fn compare(
        &self,
        place: &Place,
        namespaces: &[&str],
        command: &[&OsStr],
    ) -> Option<Output> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers/agree.py");
        let output = Command::new(services::python()?)
            .arg("-B")
            .arg(script)
            .args(place.reader(self.path()))
            .args(namespaces.iter().flat_map(|name| ["--namespace", name]))
            .arg("--")
            .args(command)
            .current_dir(self.path())
            .output();
        Some(output.expect("Python starts"))
    }
}

impl Agreed {
    fn of(table: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let columns = table["columns"].as_array().expect("columns").iter();
        Self {
            columns: columns
                .map(|pair| (text(&pair[0]), text(&pair[1])))
                .collect(),
            count: table["count"].as_u64().expect("a count"),
        }
    }
}

/// Copies what is in a folder, but for what a run has left there.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from)
        .expect("a folder of the repository")
        .flatten()
    {
        let (source, target): (PathBuf, PathBuf) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            if entry.file_name() != "lake" {
                copy(&source, &target);
            }
        } else {
            fs::copy(&source, &target).expect("a file");
        }
    }
}
