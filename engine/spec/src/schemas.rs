//! JSON Schemas of the four kinds of spec, made from the types: what an editor completes and checks while one writes.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::written::{ConnectionSpec, DomainSpec, PipelineSpec, ProjectSpec};

/// Name and schema of each kind, in the order in which a newcomer meets them.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("project", schema::<ProjectSpec>("project", "Project")),
        (
            "connection",
            schema::<ConnectionSpec>("connection", "Connection"),
        ),
        ("domain", schema::<DomainSpec>("domain", "Domain")),
        ("pipeline", schema::<PipelineSpec>("pipeline", "Pipeline")),
    ]
}

fn schema<T: JsonSchema>(name: &str, title: &str) -> Value {
    let generator = SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert(
        "$id".to_owned(),
        format!("urn:lakewright:spec:1:{name}").into(),
    );
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}
