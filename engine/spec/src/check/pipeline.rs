//! `unknown-domain`, `no-steps`: a pipeline, step by step.

use std::collections::BTreeMap;

use super::audit::audits;
use super::context::Context;
use super::documents::{Doc, Written};
use super::increments::two_increments;
use super::name::{duplicates, name};
use super::retry;
use super::schedule::schedule;
use super::sessions;
use super::shares;
use super::step::{Parts, Steps, step};
use crate::diagnostic::{Code, Diagnostic};
use crate::meaning::SqlOf;
use crate::model::{DomainName, Pipeline, PipelineId, Retry, TableRef};
use crate::read::nearest;
use crate::source::Span;
use crate::text::Text;
use crate::written::{ConnectionSpec, DomainSpec, PipelineSpec, PublishTablesSpec};

pub(crate) const UNKNOWN_DOMAIN: Code = Code {
    name: "unknown-domain",
    explain: "`domain:` of a pipeline names a domain that this project does not have: no file has `kind: Domain` and this name.",
};

pub(crate) const NO_STEPS: Code = Code {
    name: "no-steps",
    explain: "A pipeline without steps does nothing.\n\nWrite at least one that extracts and one that loads, or remove the file.",
};

/// What a project has, by name; also what was written wrong otherwise.
pub(super) struct Names<'a> {
    pub(super) connections: BTreeMap<&'a str, &'a ConnectionSpec>,
    pub(super) domains: BTreeMap<&'a str, &'a DomainSpec>,
    pub(super) pipelines: BTreeMap<String, Span>,
}

impl<'a> Names<'a> {
    pub(super) fn of(written: &'a Written<'_>) -> Self {
        let connections = written
            .connections
            .iter()
            .map(|doc| (doc.spec.name.as_str(), &doc.spec))
            .collect();
        let domains = written
            .domains
            .iter()
            .map(|doc| (doc.spec.name.as_str(), &doc.spec))
            .collect();
        let pipelines = written
            .pipelines
            .iter()
            .map(|doc| (full_name(&doc.spec), doc.spec.name.span))
            .collect();
        Self {
            connections,
            domains,
            pipelines,
        }
    }
}

/// `domain/name`, as written.
pub(super) fn full_name(spec: &PipelineSpec) -> String {
    format!("{}/{}", spec.domain.value, spec.name.value)
}

/// One step that waits for another, and where that is written.
pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) span: Span,
    pub(super) why: &'static str,
}

/// A table that a step reads or writes, and where that is written.
pub(super) struct TableUse {
    pub(super) table: TableRef,
    pub(super) step: String,
    pub(super) span: Span,
}

/// A pipeline with what the rules about the whole project need.
pub(super) struct Checked<'a> {
    /// `domain/name`, as written.
    pub(super) name: String,
    pub(super) spec: &'a PipelineSpec,
    /// `None` where something is wrong.
    pub(super) pipeline: Option<Pipeline>,
    pub(super) edges: Vec<Edge>,
    pub(super) reads: Vec<TableUse>,
    pub(super) writes: Vec<TableUse>,
    /// The SQL of its steps.
    pub(super) texts: Vec<(SqlOf, Text)>,
    /// Whether all of the file could be read.
    pub(super) whole: bool,
}

/// Checks one pipeline.
pub(super) fn pipeline<'a>(
    context: &Context<'_>,
    doc: &'a Doc<'_, PipelineSpec>,
    names: &'a Names<'_>,
    base: Retry,
) -> Checked<'a> {
    let spec = &doc.spec;
    let domain = names.domains.get(spec.domain.as_str()).copied();
    if domain.is_none() && !context.unread.domains {
        unknown_domain(context, spec, names);
    }
    duplicates(
        context,
        "steps",
        spec.steps
            .iter()
            .map(|step| (step.name.value.clone(), step.name.span)),
    );
    if spec.steps.is_empty() && doc.whole {
        no_steps(context, spec);
    }
    let base = retry::defaults(
        context,
        domain.and_then(|domain| domain.defaults.as_ref()),
        base,
    );
    let retry = retry::retry(context, spec.retry.as_ref(), base);
    let schedule = spec
        .schedule
        .as_ref()
        .map(|written| schedule(context, written, spec.name.span, names));
    let priority = shares::priority(context, spec.priority.as_ref());
    let audits = audits(context, doc);
    let mut steps = Steps::new(context, doc, names, domain);
    let mut checked = Vec::new();
    for written in &spec.steps.value {
        checked.push(step(&mut steps, written));
    }
    let id = id_of(context, spec);
    two_increments(&steps);
    sessions::enough(&steps);
    let Parts {
        edges,
        reads,
        writes,
        texts,
    } = steps.into_parts();
    let steps: Option<Vec<_>> = checked.into_iter().collect();
    let schedule = match schedule {
        Some(None) => None,
        Some(Some(schedule)) => Some(Some(schedule)),
        None => Some(None),
    };
    let pipeline = id
        .zip(steps)
        .zip(schedule)
        .map(|((id, steps), schedule)| Pipeline {
            id,
            description: spec.description.clone(),
            schedule,
            priority,
            retry,
            publishes_together: publishes_together(spec),
            audits,
            steps,
        });
    Checked {
        name: full_name(spec),
        spec,
        pipeline,
        edges,
        reads,
        writes,
        texts,
        whole: doc.whole,
    }
}

fn id_of(context: &Context<'_>, spec: &PipelineSpec) -> Option<PipelineId> {
    let (domain, name) = (name(context, &spec.domain), name(context, &spec.name));
    let (domain, name) = domain.zip(name)?;
    Some(PipelineId { domain, name })
}

/// Whether the lake's tables become visible in one step.
fn publishes_together(spec: &PipelineSpec) -> bool {
    let publish = spec.publish.as_ref();
    publish.is_none_or(|publish| matches!(publish.tables, PublishTablesSpec::Together))
}

fn no_steps(context: &Context<'_>, spec: &PipelineSpec) {
    let message = format!("pipeline `{}` has no steps", full_name(spec));
    let finding = Diagnostic::error(&NO_STEPS, spec.steps.span, message);
    context.report(finding.help("add a step that extracts, and one that loads"));
}

fn unknown_domain(context: &Context<'_>, spec: &PipelineSpec, names: &Names<'_>) {
    let message = format!("there is no domain `{}`", spec.domain.value);
    let finding = Diagnostic::error(&UNKNOWN_DOMAIN, spec.domain.span, message);
    let near = nearest(&spec.domain, names.domains.keys().copied())
        .and_then(|near| names.domains.get(near));
    // A domain whose own name is wrong is reported there.
    if near.is_some_and(|near| near.name.parse::<DomainName>().is_err()) {
        return;
    }
    context.report(match near {
        Some(near) => finding
            .also(near.name.span, "a domain with a similar name")
            .suggest(&near.name),
        None => finding.help(format!(
            "write a file with `kind: Domain` and `name: {}`",
            spec.domain.value
        )),
    });
}
