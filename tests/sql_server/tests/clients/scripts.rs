//! What the Python clients are told: each script runs with python-tds and with Microsoft's ODBC driver.

use super::Bench;

const CLIENTS: [&str; 2] = ["pytds", "odbc"];

fn with_each_client(script: &str) {
    for client in CLIENTS {
        let Some(bench) = Bench::start(|_| {}) else {
            return;
        };
        if bench.python(script, &[client]).is_none() {
            return;
        }
    }
}

#[test]
fn clients_log_in_and_read_what_they_wrote() {
    with_each_client("basics.py");
}

#[test]
fn clients_agree_on_every_value_of_every_type() {
    let Some(bench) = Bench::start(|_| {}) else {
        return;
    };
    bench.python("every_type.py", &[]);
}

#[test]
fn the_catalogue_tells_of_tables_keys_and_columns() {
    with_each_client("inspection.py");
}

#[test]
fn a_snapshot_stays_what_it_was_and_conflicts_are_told() {
    with_each_client("transactions.py");
}

#[test]
fn changes_are_tracked_commit_by_commit() {
    with_each_client("change_tracking.py");
}

#[test]
fn changes_are_captured_with_their_values() {
    with_each_client("capture.py");
}

#[test]
fn a_connection_is_tls_from_its_first_byte() {
    let Some(bench) = Bench::start(|_| {}) else {
        return;
    };
    let file = tempfile::Builder::new().suffix(".cer").tempfile().unwrap();
    std::fs::write(file.path(), bench.server().certificate()).unwrap();
    bench.python("strict.py", &[file.path().to_str().unwrap()]);
}
