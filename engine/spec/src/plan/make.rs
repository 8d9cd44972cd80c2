//! Graph + facts → plan.

use serde::Serialize;

use super::{
    Action, Change, Column, Facts, Fingerprint, Plan, PlannedCheck, PlannedExtract, PlannedLoad,
    PlannedStep, PlannedTransform, WindowEdge,
};
use crate::graph::Graph;
use crate::model::{
    Check, Extract, ExtractMode, IS_CURRENT, Load, LoadMode, Pipeline, Step, StepKind, StepName,
    Target, Transform, VALID_FROM, VALID_TO,
};

impl Plan {
    /// The plan of one run of a pipeline. Facts that are missing count as "there is nothing".
    pub fn make(graph: &Graph, pipeline: &Pipeline, facts: &Facts) -> Self {
        let mut steps: Vec<PlannedStep> = Vec::with_capacity(pipeline.steps.len());
        let kept = facts.idle(pipeline);
        let idle = graph.only_feeding(pipeline, &kept);
        for name in graph.order(pipeline) {
            let Some(step) = pipeline.steps.iter().find(|step| step.name == name) else {
                continue;
            };
            if let StepKind::Load(load) = &step.kind
                && kept.contains(&name)
            {
                let ahead = facts.ahead.contains(&name);
                let change = if ahead { Change::Ahead } else { Change::Kept };
                steps.push(plan_kept(step, load, change));
                continue;
            }
            if idle.contains(&name) {
                continue;
            }
            let inputs = graph.inputs(&pipeline.id, &name);
            let of_input = inputs
                .first()
                .and_then(|input| columns_of(&steps, input))
                .unwrap_or_default();
            let (columns, action) = match &step.kind {
                StepKind::Extract(extract) => plan_extract(step, extract, facts),
                StepKind::Transform(transform) => plan_transform(step, transform, facts),
                StepKind::Check(check) => (of_input, plan_check(check)),
                StepKind::Load(load) => {
                    let of_input = written(of_input, load);
                    let watermarks_of = incremental(pipeline, graph.extracts_of(pipeline, &name));
                    let action = plan_load(step, load, &of_input, watermarks_of, facts);
                    (of_input, Action::Load(action))
                }
            };
            let mut readers = graph.readers(&pipeline.id, &name);
            readers.retain(|reader| !idle.contains(reader));
            steps.push(PlannedStep {
                name,
                inputs,
                readers,
                columns,
                action,
            });
        }
        let spec = Self::spec_of(pipeline);
        let fingerprint = Fingerprint::of(&Sealed::of(&steps));
        Self {
            pipeline: pipeline.id.clone(),
            spec,
            steps,
            publishes_together: pipeline.publishes_together && facts.publishes_together,
            audits: pipeline.audits,
            fingerprint,
        }
    }
}

impl Plan {
    /// Of what a pipeline's spec says of its steps, whatever the world says: two runs of an unchanged spec agree on it.
    pub fn spec_of(pipeline: &Pipeline) -> Fingerprint {
        Fingerprint::of(&pipeline.steps)
    }
}

/// A load that leaves its table as it is, whatever becomes of it until the run.
fn plan_kept(step: &Step, load: &Load, change: Change) -> PlannedStep {
    let planned = plan_load(step, load, &[], Vec::new(), &Facts::default());
    PlannedStep {
        name: step.name.clone(),
        inputs: Vec::new(),
        readers: Vec::new(),
        columns: Vec::new(),
        action: Action::Load(PlannedLoad {
            change,
            audit: Vec::new(),
            ..planned
        }),
    }
}

/// The columns of rows that a load writes.
fn written(mut columns: Vec<Column>, load: &Load) -> Vec<Column> {
    if let LoadMode::Merge(merge) = &load.mode {
        let time = columns
            .iter()
            .find(|column| merge.latest_by.as_ref() == Some(&column.name))
            .map(|column| column.r#type.clone());
        columns.retain(|column| !merge.deletes.without().contains(&column.name));
        if let Some(time) = time.filter(|_| merge.history) {
            let column = |name: &str, r#type: String, required| Column {
                name: name.to_owned(),
                r#type,
                required,
            };
            columns.extend([
                column(VALID_FROM, time.clone(), false),
                column(VALID_TO, time, false),
                column(IS_CURRENT, "boolean".to_owned(), false),
            ]);
        }
    }
    columns
}

fn columns_of(steps: &[PlannedStep], name: &StepName) -> Option<Vec<Column>> {
    steps
        .iter()
        .find(|step| step.name == *name)
        .map(|step| step.columns.clone())
}

/// Those of these extracts that read only what is new.
fn incremental(pipeline: &Pipeline, mut extracts: Vec<StepName>) -> Vec<StepName> {
    extracts.retain(|name| {
        pipeline.steps.iter().any(|step| {
            step.name == *name
                && matches!(&step.kind, StepKind::Extract(extract) if extract.mode != ExtractMode::Full)
        })
    });
    extracts
}

fn plan_extract(step: &Step, extract: &Extract, facts: &Facts) -> (Vec<Column>, Action) {
    let known = facts.extracts.get(&step.name);
    let action = Action::Extract(PlannedExtract {
        connection: extract.connection.clone(),
        from: extract.from.clone(),
        projection: extract.columns.clone(),
        window: known.and_then(|known| known.window.clone()),
        splits: extract.splits.clone(),
        how: known.map(|known| known.how.clone()).unwrap_or_default(),
        options: extract.options.clone(),
    });
    (
        known.map(|known| known.columns.clone()).unwrap_or_default(),
        action,
    )
}

fn plan_transform(step: &Step, transform: &Transform, facts: &Facts) -> (Vec<Column>, Action) {
    let snapshot = |table| facts.snapshots.get(table).copied().flatten();
    let tables = transform
        .tables
        .iter()
        .map(|table| (table.clone(), snapshot(table)))
        .collect();
    let columns = facts
        .transforms
        .get(&step.name)
        .cloned()
        .unwrap_or_default();
    (
        columns,
        Action::Transform(PlannedTransform {
            sql: transform.sql.clone(),
            tables,
        }),
    )
}

fn plan_check(check: &Check) -> Action {
    Action::Check(PlannedCheck {
        rules: check.rules.clone(),
        quarantine: check.quarantine.clone(),
    })
}

fn plan_load(
    step: &Step,
    load: &Load,
    rows: &[Column],
    watermarks_of: Vec<StepName>,
    facts: &Facts,
) -> PlannedLoad {
    let target = facts.targets.get(&step.name).cloned().unwrap_or_default();
    // A file that is replaced whole, or added, has no columns to keep to.
    let change = match (&load.target, &load.mode) {
        (Target::Connection { .. }, LoadMode::Replace) if target.columns.is_none() => {
            Change::Create
        }
        _ => Change::between(&target, rows, load.on_schema_change, &load.renamed_from),
    };
    PlannedLoad {
        target: load.target.clone(),
        mode: load.mode.clone(),
        change,
        base: target.snapshot,
        partition_by: load.partition_by.clone(),
        sort_by: load.sort_by.clone(),
        properties: load.properties.clone(),
        target_file_bytes: load.target_file_bytes,
        on_schema_change: load.on_schema_change,
        renamed_from: load.renamed_from.clone(),
        audit: load.audit.clone(),
        watermarks_of,
        options: load.options.clone(),
    }
}

/// The steps, without what is said only for people.
#[derive(Serialize)]
struct Sealed(Vec<PlannedStep>);

impl Sealed {
    fn of(steps: &[PlannedStep]) -> Self {
        let mut steps = steps.to_vec();
        for step in &mut steps {
            if let Action::Extract(extract) = &mut step.action {
                extract.how.clear();
            }
        }
        Self(steps)
    }
}

impl WindowEdge {
    /// The columns by which rows are known again, where they are read again.
    pub fn key(&self) -> Option<&[String]> {
        match self {
            Self::Inclusive { key } => Some(key),
            Self::Exclusive | Self::Files => None,
        }
    }
}
