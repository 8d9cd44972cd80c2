//! The JSON Schemas in `schemas/spec` are those that the program makes from its types.

#![allow(
    clippy::expect_used,
    reason = "this is test code: failing is its way of telling"
)]

use std::path::Path;

use crate::services::lakewright;

#[test]
fn committed_schemas_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/spec");
    for kind in ["project", "connection", "domain", "pipeline"] {
        let output = lakewright()
            .args(["schema", kind])
            .output()
            .expect("the binary starts");
        let made = String::from_utf8(output.stdout).expect("a schema is text");
        let file = folder.join(format!("{kind}.schema.json"));
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            made == committed,
            "{} is not fresh\nhelp: run `lakewright schema --all schemas/spec`",
            file.display()
        );
    }
}
