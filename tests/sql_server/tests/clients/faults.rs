//! What goes wrong by script goes wrong for a client, once, where the script says.

use std::time::Duration;

use sql_server_testserver::{Certificate, Fault};

use super::Bench;

#[test]
fn each_fault_strikes_where_it_should_and_once() {
    let Some(bench) = Bench::start(|_| {}) else {
        return;
    };
    let tell = |what: &str| bench.python("faulty.py", &[what]);
    if tell("prepare").is_none() {
        return;
    }
    let server = bench.server();
    for (fault, told) in [
        (Fault::DropAfterRows(1500), "drop"),
        (
            Fault::ErrorAfterRows {
                rows: 1500,
                number: 1205,
            },
            "deadlock",
        ),
        (
            Fault::Error {
                number: 3960,
                text: "FROM many".to_owned(),
            },
            "conflict",
        ),
        (Fault::DropInHandshake, "refused"),
        (Fault::DropInLogin, "refused"),
        (Fault::RefuseLogin(18456), "refused"),
        (Fault::RefuseLogin(4060), "refused"),
    ] {
        server.inject(fault.clone());
        tell(told).unwrap();
        tell("good").unwrap();
    }
    server.inject(Fault::SlowPackets(Duration::from_millis(20)));
    tell("slow").unwrap();
    server.clear_faults();
}

#[test]
fn a_login_is_sent_to_another_server() {
    let (Some(first), Some(second)) = (Bench::start(|_| {}), Bench::start(|_| {})) else {
        return;
    };
    if second.python("faulty.py", &["prepare"]).is_none() {
        return;
    }
    let port = second.server().address().port();
    // Once for each client that the script has.
    for _ in 0..2 {
        first.server().inject(Fault::Redirect {
            host: "127.0.0.1".to_owned(),
            port,
        });
    }
    first.python("faulty.py", &["good"]).unwrap();
}

#[test]
fn an_expired_certificate_is_found_by_who_looks() {
    let Some(bench) = Bench::start(|options| options.certificate = Certificate::Expired) else {
        return;
    };
    bench.python("faulty.py", &["expired"]);
}

#[test]
fn a_query_is_given_up_and_the_connection_lives_on() {
    let Some(bench) = Bench::start(|_| {}) else {
        return;
    };
    bench.python("attention.py", &[]);
}

#[test]
fn rows_come_in_bulk() {
    let Some(bench) = Bench::start(|_| {}) else {
        return;
    };
    bench.python("bulk.py", &[]);
}
