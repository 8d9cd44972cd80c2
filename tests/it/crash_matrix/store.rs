//! Faults of the object store: a merge reads its rows from a bucket and writes its table into it, and one request of the
//! run is answered in another way than the store would.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::proxy::{Of, Proxy, Wrong};
use crate::scene::{Scene, copy};
use crate::services::{self, S3};

/// What goes wrong, in the words that are published.
pub(super) const FAULTS: [(&str, Wrong); 5] = [
    ("503: the store is busy", Wrong::Busy),
    ("slow: the answer takes long", Wrong::Slow),
    ("torn body of a request", Wrong::TornRequest),
    ("torn body of an answer", Wrong::TornAnswer),
    (
        "lost answer to a request that was served",
        Wrong::LostAnswer,
    ),
];

/// The requests that it happens to: the first of each that a run makes.
pub(super) const REQUESTS: [(Of, u64); 16] = [
    (Of::Reads, 1),
    (Of::Reads, 2),
    (Of::Reads, 3),
    (Of::Reads, 4),
    (Of::Reads, 5),
    (Of::Reads, 6),
    (Of::Reads, 7),
    (Of::Reads, 8),
    (Of::Reads, 9),
    (Of::Reads, 10),
    (Of::Writes, 1),
    (Of::Writes, 2),
    (Of::Writes, 3),
    (Of::Writes, 4),
    (Of::Writes, 5),
    (Of::Writes, 6),
];

/// Rows of a delivery; half of them have keys of the one before.
const ROWS: u64 = 1000;

const CONTENT: &str =
    "SELECT count(*), count(DISTINCT id), sum(id), sum(value), sum(id * value) FROM d.t";

/// A project whose source and warehouse are behind the proxy.
struct Bucket {
    scene: Scene,
    proxy: Proxy,
    before: TempDir,
}

fn rows(delivery: u64) -> impl Iterator<Item = (u64, u64)> {
    let first = (delivery - 1) * ROWS / 2;
    (first..first + ROWS).map(move |id| (id, delivery * 10_000 + id))
}

fn csv(delivery: u64) -> String {
    let mut file = "id,value\n".to_owned();
    for (id, value) in rows(delivery) {
        let _ = writeln!(file, "{id},{value}");
    }
    file
}

/// What the table holds after both deliveries.
fn expected() -> String {
    let mut merged: std::collections::BTreeMap<u64, u64> = rows(1).collect();
    merged.extend(rows(2));
    let sum = |of: fn((&u64, &u64)) -> u64| merged.iter().map(of).sum::<u64>();
    format!(
        "{count},{count},{},{},{}",
        sum(|(id, _)| *id),
        sum(|(_, value)| *value),
        sum(|(id, value)| id * value),
        count = merged.len()
    )
}

impl Bucket {
    /// After the first delivery.
    fn new() -> Option<Self> {
        let (s3, python) = (services::s3()?, services::python()?);
        let proxy = Proxy::before(&s3.endpoint);
        let behind = S3 {
            endpoint: proxy.endpoint.clone(),
            ..s3.clone()
        };
        let scene = Scene::with(&[]);
        let landing = services::fresh_prefix();
        let options = behind.folder(&scene, &landing, "");
        scene.write(
            "connections/bucket.yaml",
            &format!("kind: Connection\nname: bucket\nconnector: minio\noptions: {options}\n"),
        );
        let more = ", path_style: true, allow_http: true";
        let warehouse = behind.folder(&scene, &services::fresh_prefix(), more);
        scene.write(
            "project.yaml",
            &format!(
                "kind: Project\nname: scene\nversion: 1\nlake:\n  catalog: {{ sqlite: {{ path: lake/catalog.db }} }}\n  \
                 warehouse: {{ s3: {warehouse} }}\nstate: {{ sqlite: {{ path: lake/state.db }} }}\n"
            ),
        );
        for delivery in 1..=2 {
            scene.write(&format!("data/{delivery}/rows.csv"), &csv(delivery));
        }
        drop_off(&scene, &s3, &landing, python);
        let bucket = Self {
            scene,
            proxy,
            before: TempDir::new().unwrap(),
        };
        bucket.reads(1);
        bucket.scene.good(&["run", "d/p", "--parallel", "2"]);
        copy(&bucket.lake(), bucket.before.path());
        bucket.reads(2);
        Some(bucket)
    }

    fn lake(&self) -> PathBuf {
        self.scene.path().join("lake")
    }

    /// The pipeline, on one delivery.
    fn reads(&self, delivery: u64) {
        let spec = format!(
            "kind: Pipeline\nname: p\ndomain: d\nretry: {{ attempts: 2, backoff: {{ initial: 10ms }} }}\nsteps:\n  \
             - {{ name: rows, extract: {{ connection: bucket, table: '{delivery}/*.csv' }} }}\n  \
             - {{ name: t, load: {{ from: rows, table: d.t, mode: {{ merge: {{ key: [id] }} }} }} }}\n"
        );
        self.scene.write("pipelines/p.yaml", &spec);
    }

    /// The second delivery, with this fault; what is wrong afterwards.
    fn judge(&self, wrong: Option<(Of, u64, Wrong)>) -> Result<(), String> {
        fs::remove_dir_all(self.lake()).unwrap();
        copy(self.before.path(), &self.lake());
        self.proxy.let_go_wrong(wrong);
        let ran = self.scene.run(&["run", "d/p", "--parallel", "2"]);
        let happened = self.proxy.has_happened();
        let seen = self.proxy.seen();
        self.proxy.let_go_wrong(None);
        let told = String::from_utf8_lossy(&ran.stderr);
        if wrong.is_some() && !happened {
            return Err(format!(
                "no such request: {seen:?} reads and writes\n{told}"
            ));
        }
        if !ran.status.success() {
            return Err(format!("it ended with {}\n{told}", ran.status));
        }
        let content = self.scene.query(CONTENT);
        if content != [expected()] {
            return Err(format!("{content:?} and not {}\n{told}", expected()));
        }
        Ok(())
    }
}

/// Puts the deliveries into the bucket.
fn drop_off(scene: &Scene, s3: &S3, landing: &str, python: PathBuf) {
    let copy = "import sys, pyarrow.fs as fs
folder, to, endpoint, key, secret = sys.argv[1:]
scheme, address = endpoint.split('://')
store = fs.S3FileSystem(access_key=key, secret_key=secret, endpoint_override=address, scheme=scheme, region='us-east-1')
fs.copy_files(folder, to, source_filesystem=fs.LocalFileSystem(), destination_filesystem=store)";
    let output = Command::new(python)
        .args(["-c", copy])
        .arg(scene.path().join("data"))
        .arg(format!("{}/{landing}", s3.bucket))
        .args([&s3.endpoint, &s3.access_key, &s3.secret_key])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

/// Lets every request go wrong in one way.
fn requests_go_wrong(wrong: Wrong) {
    let Some(bucket) = Bucket::new() else {
        return;
    };
    bucket.judge(None).unwrap();
    let judged = REQUESTS.iter().map(|(of, number)| {
        let judged = bucket.judge(Some((*of, *number, wrong)));
        judged.map_err(|what| format!("{number} of {of:?}: {what}"))
    });
    let bad: Vec<String> = judged.filter_map(Result::err).collect();
    println!("{wrong:?}: {} cases", REQUESTS.len());
    assert!(bad.is_empty(), "{}: {}", bad.len(), bad.join("\n\n"));
}

#[test]
fn a_busy_store() {
    requests_go_wrong(Wrong::Busy);
}

#[test]
fn a_slow_store() {
    requests_go_wrong(Wrong::Slow);
}

#[test]
fn torn_requests() {
    requests_go_wrong(Wrong::TornRequest);
}

#[test]
fn torn_answers() {
    requests_go_wrong(Wrong::TornAnswer);
}

#[test]
fn lost_answers() {
    requests_go_wrong(Wrong::LostAnswer);
}
