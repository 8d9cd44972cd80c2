//! `FreeTDS`: its `tsql` logs in, and prints what it reads.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{Bench, good};

/// What `tsql` printed for some batches. `None` where it is not installed.
fn tsql(bench: &Bench, batches: &str) -> Option<String> {
    let spawned = Command::new("tsql")
        .args([
            "-H",
            "127.0.0.1",
            "-p",
            &bench.port(),
            "-U",
            "sa",
            "-P",
            "Lakewright-1",
            "-D",
            "shop",
            "-o",
            "fhq",
        ])
        .env("TDSVER", "7.4")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: tsql is not installed (tests/run installs it)");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(batches.as_bytes())
        .unwrap();
    Some(good("tsql", &child.wait_with_output().unwrap()))
}

#[test]
fn freetds_reads_what_it_wrote() {
    let Some(bench) = Bench::start(|_| {}) else {
        return;
    };
    let said = tsql(
        &bench,
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, n nvarchar(20) NULL, d decimal(38, 4) NULL, m money NULL, w varchar(max) NULL, \
         g uniqueidentifier NULL, b varbinary(8) NULL)\ngo\n\
         INSERT INTO t VALUES (1, N'漢 é', -12345678901234567890.1234, -1.5, REPLICATE('x', 9000), \
         '00112233-4455-6677-8899-AABBCCDDEEFF', 0x00ff), (2, NULL, NULL, NULL, NULL, NULL, NULL)\ngo\n\
         SELECT id, n, d, m, DATALENGTH(w), g, b FROM t ORDER BY id\ngo\nSELECT * FROM nowhere\ngo\nSELECT COUNT(*) FROM t\ngo\n",
    );
    let Some(said) = said else { return };
    let expected = "1\t漢 é\t-12345678901234567890.1234\t-1.5000\t9000\t00112233-4455-6677-8899-AABBCCDDEEFF\t00ff";
    assert!(said.contains(expected), "{said}");
    assert!(
        said.contains("2\tNULL\tNULL\tNULL\tNULL\tNULL\tNULL"),
        "{said}"
    );
    assert!(
        said.trim_end().ends_with('2'),
        "the connection lives on: {said}"
    );
}

#[test]
fn freetds_logs_in_whatever_is_encrypted() {
    use sql_server_testserver::Encryption;
    for encryption in [
        Encryption::NotSupported,
        Encryption::Offered,
        Encryption::Required,
    ] {
        let Some(bench) = Bench::start(|options| options.encryption = encryption) else {
            return;
        };
        let Some(said) = tsql(&bench, "SELECT 40 + 2\ngo\n") else {
            return;
        };
        assert!(said.contains("42"), "{encryption:?}: {said}");
    }
}
