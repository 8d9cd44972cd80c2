//! Where the services that `tests/run` starts are, and the built binary.
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

use crate::scene::Scene;

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

impl S3 {
    /// A folder of the bucket, in the words that connections and warehouses share, and `more`. The keys are files of the
    /// project.
    pub(crate) fn folder(&self, scene: &Scene, prefix: &str, more: &str) -> String {
        scene.write("secrets/access_key", &self.access_key);
        scene.write("secrets/secret_key", &self.secret_key);
        format!(
            "{{ endpoint: \"{}\", bucket: {}, prefix: {prefix}, access_key: {{ file: secrets/access_key }}, \
             secret_key: {{ file: secrets/secret_key }}{more} }}",
            self.endpoint, self.bucket
        )
    }
}

/// The URL of a database whose user may do everything. It speaks TLS to those who ask for it.
pub(crate) fn postgres() -> Option<String> {
    variable("LAKEWRIGHT_TEST_POSTGRES")
}

/// A SQL Server to be tested against in place of the test server, as `sqlserver://USER:PASSWORD@HOST:PORT`: the user may make
/// databases.
pub(crate) fn sql_server() -> Option<String> {
    told("LAKEWRIGHT_TEST_SQL_SERVER")
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
pub(crate) fn number(name: &str) -> Option<u64> {
    told(name)?.parse().ok()
}

/// What a variable says that nothing needs.
#[allow(
    clippy::disallowed_methods,
    reason = "tests are told how to run by variables"
)]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
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
