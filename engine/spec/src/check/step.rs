//! `step-kind`, `unknown-step`, `no-rows`: steps, and how they refer to one another.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::context::Context;
use super::documents::Doc;
use super::name::name;
use super::pipeline::{Edge, Names, TableUse};
use super::{extract, load, rules, transform};
use crate::diagnostic::{Code, Diagnostic};
use crate::meaning::SqlOf;
use crate::model::{PipelineId, Step, StepKind, StepName};
use crate::read::{At, nearest};
use crate::source::Span;
use crate::text::Text;
use crate::written::{DomainSpec, PipelineSpec, StepSpec};

pub(crate) const STEP_KIND: Code = Code {
    name: "step-kind",
    explain: "A step does exactly one thing: it has one of `extract`, `transform`, `check`, `load`.",
};
pub(crate) const UNKNOWN_STEP: Code = Code {
    name: "unknown-step",
    explain: "A step refers to another that its pipeline does not have.\n\n\
              In SQL a name without a dot is a step of the same pipeline; a table of the lake has two parts, \
              `namespace.table`. Names mean what is written: `Visit` is not `visit`.",
};
pub(crate) const NO_ROWS: Code = Code {
    name: "no-rows",
    explain: "A `load` writes rows and has none to read.\n\n\
              Read the step that it loads, or the table it writes, `namespace.table`.",
};

/// The steps of one pipeline while they are checked.
pub(super) struct Steps<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) doc: &'a Doc<'a, PipelineSpec>,
    pub(super) names: &'a Names<'a>,
    pub(super) domain: Option<&'a DomainSpec>,
    /// What each step reads, once `lineage` has been asked.
    pub(super) inputs: OnceCell<Vec<Vec<String>>>,
    known: BTreeMap<&'a str, &'a StepSpec>,
    edges: Vec<Edge>,
    reads: Vec<TableUse>,
    writes: Vec<TableUse>,
    texts: Vec<(SqlOf, Text)>,
}

/// What the rules about the whole project need of the steps of a pipeline.
pub(super) struct Parts {
    pub(super) edges: Vec<Edge>,
    pub(super) reads: Vec<TableUse>,
    pub(super) writes: Vec<TableUse>,
    pub(super) texts: Vec<(SqlOf, Text)>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        context: &'a Context<'a>,
        doc: &'a Doc<'a, PipelineSpec>,
        names: &'a Names<'a>,
        domain: Option<&'a DomainSpec>,
    ) -> Self {
        let known = doc
            .spec
            .steps
            .iter()
            .map(|step| (step.name.as_str(), step))
            .collect();
        Self {
            context,
            doc,
            names,
            domain,
            inputs: OnceCell::new(),
            known,
            edges: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            texts: Vec::new(),
        }
    }

    pub(super) fn into_parts(self) -> Parts {
        Parts {
            edges: self.edges,
            reads: self.reads,
            writes: self.writes,
            texts: self.texts,
        }
    }

    /// All steps as they were written.
    pub(super) fn written(&self) -> &'a [StepSpec] {
        &self.doc.spec.steps.value
    }

    pub(super) fn reads_table(&mut self, used: TableUse) {
        self.reads.push(used);
    }

    /// Notes where a SQL text of `step` stands; `of` says which one it is.
    pub(super) fn has_text(
        &mut self,
        step: &StepSpec,
        of: impl FnOnce(PipelineId, StepName) -> SqlOf,
        text: Text,
    ) {
        let spec = &self.doc.spec;
        let (Ok(domain), Ok(name), Ok(step)) =
            (spec.domain.parse(), spec.name.parse(), step.name.parse())
        else {
            return;
        };
        let id = PipelineId { domain, name };
        self.texts.push((of(id, step), text));
    }

    pub(super) fn writes_table(&mut self, used: TableUse) {
        self.writes.push(used);
    }

    /// Notes that `step` reads the rows of `written`, and gives its name.
    pub(super) fn rows_of(
        &mut self,
        step: &StepSpec,
        written: &At<String>,
        why: &'static str,
    ) -> Option<StepName> {
        let target = self.refer(step, written, why)?;
        if self
            .known
            .get(written.as_str())
            .is_some_and(|step| step.load.is_some())
        {
            let message = format!("`{}` is a load and has no rows to read", written.value);
            let finding = Diagnostic::error(&NO_ROWS, written.span, message);
            self.context.report(finding.help(match step.check {
                Some(_) => "check the step that it loads; what is expected of its table stands in `audit` of the load",
                None => "read the step that it loads, or the table it writes",
            }));
            return None;
        }
        Some(target)
    }

    /// Notes that `step` comes after `written`, and gives its name.
    fn refer(
        &mut self,
        step: &StepSpec,
        written: &At<String>,
        why: &'static str,
    ) -> Option<StepName> {
        if self.known.contains_key(written.as_str()) {
            let (from, to) = (written.value.clone(), step.name.value.clone());
            self.edges.push(Edge {
                from,
                to,
                span: written.span,
                why,
            });
            return written.parse().ok();
        }
        // What could not be read may be the step that is missed.
        if self.doc.whole {
            self.unknown(written);
        }
        None
    }

    fn unknown(&self, written: &At<String>) {
        let finding = Diagnostic::error(
            &UNKNOWN_STEP,
            written.span,
            format!("there is no step `{}`", written.value),
        );
        let near =
            nearest(written, self.known.keys().copied()).and_then(|near| self.known.get(near));
        self.context.report(match near {
            Some(near) => finding
                .also(near.name.span, "a step with a similar name")
                .suggest(&near.name),
            None => finding.help("a table of the lake is written `namespace.table`"),
        });
    }
}

/// Checks one step; `None` with a finding.
pub(super) fn step(steps: &mut Steps<'_>, written: &StepSpec) -> Option<Step> {
    let name = name(steps.context, &written.name);
    if let Some(text) = transform::inline(steps, &written.name) {
        steps.has_text(written, SqlOf::Step, text);
    }
    let mut after = Vec::new();
    for other in &written.after {
        after.push(steps.refer(written, other, "waits for"));
    }
    let parts = [
        written.extract.as_ref().map(|part| ("extract", part.span)),
        written
            .transform
            .as_ref()
            .map(|part| ("transform", part.span)),
        written.check.as_ref().map(|part| ("check", part.span)),
        written.load.as_ref().map(|part| ("load", part.span)),
    ];
    let parts: Vec<(&str, Span)> = parts.into_iter().flatten().collect();
    if let [(first, at), (second, span), ..] = parts.as_slice() {
        let message = format!(
            "step `{}` is both `{first}` and `{second}`",
            written.name.value
        );
        let finding = Diagnostic::error(&STEP_KIND, *span, message);
        steps
            .context
            .report(finding.also(*at, "the first").help("make two steps of it"));
    }
    if parts.is_empty() && steps.doc.whole {
        let message = format!("step `{}` does nothing", written.name.value);
        let finding = Diagnostic::error(&STEP_KIND, written.name.span, message);
        steps
            .context
            .report(finding.help("add `extract`, `transform`, `check` or `load`"));
    }
    let mut kinds = Vec::new();
    if let Some(spec) = &written.extract {
        kinds.push(extract::extract(steps, written, spec).map(StepKind::Extract));
    }
    if let Some(spec) = &written.transform {
        kinds.push(transform::transform(steps, written, spec).map(StepKind::Transform));
    }
    if let Some(spec) = &written.check {
        kinds.push(rules::check(steps, written, spec).map(StepKind::Check));
    }
    if let Some(spec) = &written.load {
        kinds.push(load::load(steps, written, spec).map(StepKind::Load));
    }
    let after = after.into_iter().collect::<Option<Vec<_>>>();
    let kind = if kinds.len() == 1 {
        kinds.pop().flatten()
    } else {
        None
    };
    Some(Step {
        name: name?,
        after: after?,
        kind: kind?,
    })
}
