//! Where the services that `tests/run` starts are, the built binary, and the readers that share no code with the engine.
//!
//! Knows variables, names and processes. Does not know what any test asks of them: a test that needs a service which is
//! not there gets `None`, after a line that says so, and returns.

#![allow(
    dead_code,
    reason = "each suite takes the services it needs, and this is the list of all"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "this is test code: failing is its way of telling, and stderr is where a skip is told"
)]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// An S3-compatible store, addressed path-style in `us-east-1`, and a bucket in it.
#[derive(Clone)]
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) bucket: String,
}

/// An Iceberg REST catalog, whose tables lie in the store of [`s3`].
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) uri: String,
    pub(crate) warehouse: String,
    pub(crate) token: String,
}

/// What PyIceberg and DuckDB, in agreement, read from a table.
#[derive(Debug)]
pub(crate) struct ReadBack {
    /// The metadata file; empty where it was the question.
    pub(crate) metadata_location: String,
    /// Name and Iceberg type, in the order of the schema.
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) count: u64,
    /// The digest of all rows in canonical form and order: equal for tables that hold the same.
    pub(crate) rows_sha256: String,
    /// The first thousand rows in canonical form and order.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// The URL of a database whose user may do everything. It speaks TLS to those who ask for it.
pub(crate) fn postgres() -> Option<String> {
    variable("LAKEWRIGHT_TEST_POSTGRES")
}

/// The authority that signed the certificate of [`postgres`], for `localhost` and `127.0.0.1`.
pub(crate) fn postgres_ca() -> Option<PathBuf> {
    variable("LAKEWRIGHT_TEST_POSTGRES_CA").map(PathBuf::from)
}

pub(crate) fn s3() -> Option<S3> {
    Some(S3 {
        endpoint: variable("LAKEWRIGHT_TEST_S3_ENDPOINT")?,
        access_key: variable("LAKEWRIGHT_TEST_S3_ACCESS_KEY")?,
        secret_key: variable("LAKEWRIGHT_TEST_S3_SECRET_KEY")?,
        bucket: variable("LAKEWRIGHT_TEST_S3_BUCKET")?,
    })
}

pub(crate) fn rest() -> Option<Rest> {
    Some(Rest {
        uri: variable("LAKEWRIGHT_TEST_REST_CATALOG")?,
        warehouse: variable("LAKEWRIGHT_TEST_REST_WAREHOUSE")?,
        token: variable("LAKEWRIGHT_TEST_REST_TOKEN")?,
    })
}

/// A Python that has the packages of `tests/services/requirements.txt`.
pub(crate) fn python() -> Option<PathBuf> {
    variable("LAKEWRIGHT_TEST_PYTHON").map(PathBuf::from)
}

/// A schema or namespace name that no other test, in this run or an earlier one, has used.
pub(crate) fn fresh_schema() -> String {
    format!("it_{:016x}", random())
}

/// A key prefix in the bucket that no other test has used, without a slash at either end.
pub(crate) fn fresh_prefix() -> String {
    format!("it/{:016x}", random())
}

/// The built binary, ready for arguments.
///
/// The binary belongs to another package, for which Cargo gives tests no path: it lies beside the folder of this
/// executable, where `cargo build --workspace --all-targets` puts it.
pub(crate) fn lakewright() -> Command {
    let this = std::env::current_exe().expect("this executable has a path");
    let folder = this
        .parent()
        .and_then(Path::parent)
        .expect("it lies in `deps`");
    let binary = folder.join(format!("lakewright{}", std::env::consts::EXE_SUFFIX));
    assert!(
        binary.is_file(),
        "no binary at {}\nhelp: run `cargo build --workspace --all-targets`, or everything with `tests/run`",
        binary.display()
    );
    Command::new(binary)
}

/// Reads the table of a metadata file with PyIceberg and with DuckDB; fails when they disagree.
pub(crate) fn read_with_others(metadata_location: &str) -> Option<ReadBack> {
    let seen = run_reader("read_table.py", &[metadata_location])?;
    Some(read_back(&seen["pyiceberg"]))
}

/// Loads a table by name through PyIceberg's own catalog: `["--sql", URL]` or `["--rest", URI]`.
pub(crate) fn read_from_catalog(table: &str, catalog: &[&str]) -> Option<ReadBack> {
    let seen = run_reader("read_catalog.py", &[&[table], catalog].concat())?;
    Some(read_back(&seen))
}

fn run_reader(script: &str, arguments: &[&str]) -> Option<Value> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers");
    let output = Command::new(python()?)
        .arg("-B")
        .arg(scripts.join(script))
        .args(arguments)
        .output()
        .expect("Python starts");
    assert!(
        output.status.success(),
        "`{script}` of {arguments:?} ended with {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).expect("a reader prints JSON"))
}

fn read_back(seen: &Value) -> ReadBack {
    let list = |value: &Value| value.as_array().cloned().expect("a list");
    let text = |value: &Value| value.as_str().map(str::to_owned).expect("a text");
    ReadBack {
        metadata_location: seen["metadata_location"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        columns: list(&seen["columns"])
            .iter()
            .map(|column| (text(&column[0]), text(&column[1])))
            .collect(),
        count: seen["count"].as_u64().expect("a count"),
        rows_sha256: text(&seen["rows_sha256"]),
        rows: list(&seen["rows"]).iter().map(list).collect(),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "`tests/run` tells where the services are, and has no other way to"
)]
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("skipped: {name} is not set (tests/run sets it)");
    }
    value
}

/// A number that changes how long or how a test runs; nothing needs it.
#[allow(
    clippy::disallowed_methods,
    reason = "tests are told how to run by variables"
)]
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Random, for names and seeds: each test is a process of its own, so that a counter would not do.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The services are worth nothing to the suites if they cannot be reached: told here, and not by forty other tests.
#[test]
fn the_services_accept_connections() {
    let places = [
        postgres(),
        s3().map(|s3| s3.endpoint),
        rest().map(|rest| rest.uri),
    ];
    for place in places.into_iter().flatten() {
        let after_user = place.rsplit('@').next().unwrap_or(&place);
        let after_scheme = after_user.rsplit("//").next().unwrap_or(after_user);
        let address = after_scheme.split('/').next().unwrap_or(after_scheme);
        std::net::TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot reach {address}: {error}"));
    }
}
