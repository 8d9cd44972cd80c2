//! `bad-audit`: what is expected of a table before its readers see the rows of a run.

use super::context::Context;
use super::documents::Doc;
use super::name::duplicates;
use super::step::Steps;
use super::transform::{inline, refused};
use crate::diagnostic::{Code, Diagnostic};
use crate::meaning::SqlOf;
use crate::model::{Otherwise, Rule};
use crate::read::At;
use crate::source::Span;
use crate::sql::{self, Condition, Misuse};
use crate::text::Text;
use crate::written::{OtherwiseSpec, PipelineSpec, PublishModeSpec, RuleSpec, StepSpec};

pub(crate) const BAD_AUDIT: Code = Code {
    name: "bad-audit",
    explain: "With `publish: { mode: audit }` a run writes its rows to a branch of each table, holds the table there against the \
              `audit` of its load, and only then shows the rows to readers.\n\n\
              An expectation is one SQL condition with aggregate functions, about all rows of the table: `count(*) > 0`. \
              `previous(…)` is the same value before this run: `count(*) > 0.8 * previous(count(*))`. It reads no other tables. \
              No single row fails it, so that only `warn` and `fail` make sense; rows one by one are for a `check`.",
};

const EXAMPLE: &str =
    "`audit: [{ name: not shrunk, expect: count(*) > 0.8 * previous(count(*)), otherwise: fail }]`";

/// Whether the tables of a pipeline are audited before they are published.
pub(super) fn audits(context: &Context<'_>, doc: &Doc<'_, PipelineSpec>) -> bool {
    let Some(mode) = mode(&doc.spec).filter(|mode| mode.value == PublishModeSpec::Audit) else {
        return false;
    };
    let mut steps = doc.spec.steps.iter();
    let expects = |step: &StepSpec| step.load.as_ref().is_some_and(|load| load.audit.is_some());
    if !steps.any(expects) && doc.whole {
        let message = "there is nothing to audit: no load says what it expects of its table";
        let finding = Diagnostic::error(&BAD_AUDIT, mode.span, message);
        context.report(finding.help(format!("add {EXAMPLE} to a load, or leave `mode` out")));
    }
    true
}

fn mode(spec: &PipelineSpec) -> Option<&At<PublishModeSpec>> {
    spec.publish.as_ref()?.mode.as_ref()
}

/// The expectations of a load; `None` with a finding.
pub(super) fn rules(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    written: &At<Vec<RuleSpec>>,
) -> Option<Vec<Rule>> {
    let mode = mode(&steps.doc.spec);
    if mode.is_none_or(|mode| mode.value == PublishModeSpec::Direct) && steps.doc.whole {
        let message =
            "nobody would ask this: the tables of this pipeline are published without an audit";
        let finding = Diagnostic::error(&BAD_AUDIT, written.span, message);
        steps.context.report(match mode {
            Some(mode) => finding
                .also(mode.span, "this says so")
                .help("write `mode: audit`"),
            None => finding.help("add `publish: { mode: audit }` to the pipeline"),
        });
    }
    if written.is_empty() && steps.doc.whole {
        let finding = Diagnostic::error(&BAD_AUDIT, written.span, "this audit expects nothing");
        steps
            .context
            .report(finding.help(format!("write {EXAMPLE}, or remove it")));
    }
    let names = written.iter();
    let names = names.map(|rule| (rule.name.value.clone(), rule.name.span));
    duplicates(steps.context, "rules", names);
    let mut rules = Vec::new();
    for one in &written.value {
        rules.push(rule(steps, step, one));
    }
    rules.into_iter().collect()
}

fn rule(steps: &mut Steps<'_>, step: &StepSpec, written: &RuleSpec) -> Option<Rule> {
    let text = inline(steps, &written.expect)?;
    let condition = match sql::condition(&text.value) {
        Ok(condition) => condition,
        Err(error) => {
            steps.context.report(refused(&text, &error));
            return None;
        }
    };
    let otherwise = match written.otherwise.value {
        OtherwiseSpec::Warn => Some(Otherwise::Warn),
        OtherwiseSpec::Fail => Some(Otherwise::Fail),
        OtherwiseSpec::Drop | OtherwiseSpec::Quarantine => {
            let message =
                "an audit is about the table as a whole: there is no single row to take out";
            report(
                steps,
                written.otherwise.span,
                message,
                "write `warn` or `fail`",
            );
            None
        }
    };
    let is_one = is_about_the_table(steps, &text, &condition);
    let (name, expect) = (written.name.value.clone(), text.value.clone());
    let of_rule = name.clone();
    steps.has_text(step, |id, step| SqlOf::Rule(id, step, of_rule), text);
    Some(Rule {
        name,
        expect,
        aggregate: true,
        otherwise: otherwise.filter(|_| is_one)?,
    })
}

/// Whether a condition can be held against a table and the one before.
fn is_about_the_table(steps: &Steps<'_>, text: &Text, condition: &Condition) -> bool {
    let mut misused = condition.previous.iter();
    let misused = misused.find_map(|call| Some((call.place, call.misuse?)));
    if let Some((place, misuse)) = misused {
        let (message, help) = match misuse {
            Misuse::Nested => (
                "`previous` stands in another function about all rows",
                "write it outside: `sum(amount) > previous(sum(amount))`",
            ),
            Misuse::NotOfAll => (
                "`previous` is of a value about all rows, and this is one of single rows",
                "write it with an aggregate function: `previous(max(amount))`",
            ),
            Misuse::NotOne => (
                "`previous` takes one value and nothing else",
                "write it like `previous(count(*))`",
            ),
        };
        report(steps, text.span(Some(place)), message, help);
    } else if condition.subquery {
        let message = "an audit does not read other tables";
        let help = "`previous(count(*))` is the table before; compare with others in a transform and a check";
        report(steps, text.whole(), message, help);
    } else if !condition.aggregate && !condition.previous.is_empty() {
        let message = "this is only about the table before, and says nothing of what it is to be";
        let help = "compare the two: `count(*) > 0.8 * previous(count(*))`";
        report(steps, text.whole(), message, help);
    } else if !condition.aggregate {
        let message = "this is about single rows, and an audit is about the table as a whole";
        let help =
            "write `count(*) FILTER (WHERE …) = 0`, or hold the rows against it in a `check`";
        report(steps, text.whole(), message, help);
    } else {
        return true;
    }
    false
}

fn report(steps: &Steps<'_>, span: Span, message: &str, help: &str) {
    let finding = Diagnostic::error(&BAD_AUDIT, span, message);
    steps.context.report(finding.help(help));
}
