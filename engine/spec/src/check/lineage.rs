//! Which loads the rows of a step end in. Reads the SQL of transforms, and reports nothing.

use std::collections::BTreeSet;

use super::step::Steps;
use crate::sql;
use crate::written::{LoadSpec, StepSpec, TransformSpec};

/// The loads that read the rows of a step, directly or through others, in the order they were written.
pub(super) fn loads_of<'a>(steps: &Steps<'a>, from: &str) -> Vec<&'a LoadSpec> {
    let written = steps.written();
    let inputs = steps
        .inputs
        .get_or_init(|| written.iter().map(|step| inputs(steps, step)).collect());
    let mut reached: BTreeSet<&str> = BTreeSet::from([from]);
    loop {
        let before = reached.len();
        for (step, inputs) in written.iter().zip(inputs) {
            if inputs.iter().any(|input| reached.contains(input.as_str())) {
                reached.insert(step.name.as_str());
            }
        }
        if reached.len() == before {
            break;
        }
    }
    let loads = written
        .iter()
        .filter(|step| reached.contains(step.name.as_str()));
    loads
        .filter_map(|step| step.load.as_ref())
        .map(|load| &load.value)
        .collect()
}

/// The steps whose rows a step reads.
fn inputs(steps: &Steps<'_>, step: &StepSpec) -> Vec<String> {
    if let Some(load) = &step.load {
        return vec![load.from.value.clone()];
    }
    if let Some(check) = &step.check {
        return vec![check.on.value.clone()];
    }
    let Some(transform) = &step.transform else {
        return Vec::new();
    };
    let relations = match &transform.value {
        TransformSpec::Sql(text) => sql::relations(text),
        TransformSpec::File(path) => match super::files::find(steps, path) {
            Some(text) => sql::relations(text),
            None => return Vec::new(),
        },
    };
    let parts = relations
        .unwrap_or_default()
        .into_iter()
        .map(|relation| relation.parts);
    parts.filter(|parts| parts.len() == 1).flatten().collect()
}
