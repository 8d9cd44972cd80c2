//! `lakewright doctor` ends, whatever it asks.

use std::net::TcpListener;

use crate::scene::Scene;

#[test]
fn what_never_answers_is_told_in_time() {
    // Whoever connects waits in the queue of a socket that nobody accepts from.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = silent.local_addr().unwrap();
    let scene = Scene::with(&[
        (
            "connections/bucket.yaml",
            &format!(
                "kind: Connection\nname: bucket\nconnector: s3\noptions: {{ endpoint: 'http://{endpoint}', bucket: b, \
                 access_key: {{ file: key }}, secret_key: {{ file: key }}, path_style: true, allow_http: true }}\n"
            ),
        ),
        ("key", "key"),
    ]);
    let output = scene.run(&["doctor"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("no answer within"), "{told}");
    // What comes after it is asked all the same.
    assert!(told.contains("no run yet"), "{told}");
}
