//! The test server and clients that nobody here wrote: python-tds, Microsoft's ODBC driver and `FreeTDS`.
//!
//! Each test starts a server with a database of its own, and a script that fails when a client is told something wrong.
//! Without PostgreSQL, Python or `tsql`, each test says that it was skipped.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "this is test code: `tests/run` tells where services are, and failing is its way of telling"
)]

mod faults;
mod scripts;
mod tsql;

use std::path::Path;
use std::process::{Command, Output};

use sql_server_testserver::{Options, Server};
use tokio::runtime::{Builder, Runtime};

/// A server for one test.
struct Bench {
    runtime: Runtime,
    server: Option<Server>,
}

impl Bench {
    fn start(change: impl FnOnce(&mut Options)) -> Option<Self> {
        let mut options = Options::new(variable("LAKEWRIGHT_TEST_POSTGRES")?);
        change(&mut options);
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::start_apart(options)).unwrap();
        Some(Self {
            runtime,
            server: Some(server),
        })
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn port(&self) -> String {
        self.server().address().port().to_string()
    }

    /// Runs a script of this folder and returns what it printed.
    fn python(&self, script: &str, arguments: &[&str]) -> Option<String> {
        let python = variable("LAKEWRIGHT_TEST_PYTHON")?;
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/clients")
            .join(script);
        let mut command = Command::new(python);
        command.arg(path).arg(self.port()).args(arguments);
        Some(good(script, &command.output().unwrap()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let stopped = self.runtime.block_on(server.stop());
            if !std::thread::panicking() {
                stopped.unwrap();
            }
        }
    }
}

fn good(what: &str, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what} failed\n{said}\n{complained}"
    );
    said
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("skipped: {name} is not set (tests/run sets it)");
    }
    value
}
