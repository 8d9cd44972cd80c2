//! The JSON Schemas in `schemas/spec` are those that the program makes from its types.

#![allow(
    clippy::expect_used,
    reason = "this is test code: failing is its way of telling"
)]

use std::path::Path;

use serde_json::Value;

use crate::services::lakewright;

/// An editor offers what the connectors take, and no other options.
#[test]
fn a_pipeline_offers_the_options_of_connectors() {
    let output = lakewright()
        .args(["schema", "pipeline"])
        .output()
        .expect("the binary starts");
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (step, kind, option) in [
        ("ExtractSpec", "s3", "schema"),
        ("ExtractSpec", "local", "format"),
        ("LoadSpec", "s3", "compression"),
    ] {
        let choices = schema["$defs"][step]["properties"]["options"]["anyOf"]
            .as_array()
            .expect("choices");
        let choice = choices.iter().find(|choice| {
            let title = choice["title"].as_str().unwrap_or_default();
            title.split(", ").any(|one| one == kind)
        });
        let choice = choice.expect("the connector is among them");
        assert!(choice["properties"][option].is_object(), "{step}: {choice}");
        assert_eq!(choice["additionalProperties"], false, "{step}: {kind}");
    }
}

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
