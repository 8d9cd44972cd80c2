//! `bad-rule`, `quarantine-without-load`: checks and their rules.

use super::lineage::loads_of;
use super::name::{BAD_NAME, duplicates};
use super::pipeline::TableUse;
use super::step::Steps;
use super::transform::{inline, refused};
use crate::diagnostic::{Code, Diagnostic};
use crate::meaning::SqlOf;
use crate::model::{Check, Otherwise, Rule, TableRef};
use crate::read::At;
use crate::sql;
use crate::written::{CheckSpec, DeletesSpec, LoadModeSpec, OtherwiseSpec, RuleSpec, StepSpec};

pub(crate) const BAD_RULE: Code = Code {
    name: "bad-rule",
    explain: "A rule's `expect` is one SQL condition. It is about each row (`ward_id IS NOT NULL`), or with aggregate functions \
              about all rows together (`count(*) > 0`); then no single row fails it, so that only `warn` and `fail` make sense. \
              It does not read other tables: join them in a transform before. A check has at least one rule.",
};
pub(crate) const QUARANTINE_WITHOUT_LOAD: Code = Code {
    name: "quarantine-without-load",
    explain: "A rule quarantines rows, and no table of the lake is loaded from the checked step whose name could lend itself \
              to the quarantine table.\n\nName the table: `quarantine: namespace.table`.",
};

/// A check; `None` with a finding.
pub(super) fn check(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    written: &At<CheckSpec>,
) -> Option<Check> {
    let on = steps.rows_of(step, &written.on, "checks");
    if written.rules.is_empty() && steps.doc.whole {
        let message = format!("check `{}` has no rules", step.name.value);
        let help = "add a rule, `{ name: …, expect: …, otherwise: … }`, or remove the step";
        let finding = Diagnostic::error(&BAD_RULE, written.rules.span, message);
        steps.context.report(finding.help(help));
    }
    duplicates(
        steps.context,
        "rules",
        written
            .rules
            .iter()
            .map(|rule| (rule.name.value.clone(), rule.name.span)),
    );
    let rules: Vec<Option<Rule>> = written
        .rules
        .iter()
        .map(|written| rule(steps, step, written))
        .collect();
    let takes_out = written.rules.iter().find(|rule| {
        matches!(
            rule.otherwise.value,
            OtherwiseSpec::Drop | OtherwiseSpec::Quarantine
        )
    });
    if let Some(rule) = takes_out {
        nothing_is_absent(steps, step, rule);
    }
    let quarantines = written
        .rules
        .iter()
        .find(|rule| rule.otherwise.value == OtherwiseSpec::Quarantine);
    let quarantine = match quarantines {
        Some(rule) => Some(quarantine(steps, step, written, rule)?),
        None => None,
    };
    Some(Check {
        on: on?,
        rules: rules.into_iter().collect::<Option<_>>()?,
        quarantine,
    })
}

/// A row that a rule takes out is there in the source: a merge must not take it for gone.
fn nothing_is_absent(steps: &Steps<'_>, step: &StepSpec, rule: &RuleSpec) {
    for load in loads_of(steps, &step.name) {
        let LoadModeSpec::Merge(merge) = &load.mode.value else {
            continue;
        };
        let Some(deletes) = &merge.deletes else {
            continue;
        };
        if matches!(deletes.value, DeletesSpec::ByAbsence) {
            let message =
                "a row that fails this rule would be deleted from the table, as if it were gone";
            let finding = Diagnostic::error(&BAD_RULE, rule.otherwise.span, message)
                .also(deletes.span, "rows that do not arrive are deleted here");
            steps.context.report(
                finding.help("write `warn` or `fail`, or `deletes: { flagged: { when: … } }`"),
            );
        }
    }
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
    if condition.subquery {
        let message = "a rule does not read other tables";
        let help = "join them in a transform, and check that step";
        steps
            .context
            .report(Diagnostic::error(&BAD_RULE, text.whole(), message).help(help));
        return None;
    }
    if let Some(call) = condition.previous.first() {
        let message = "rows on their way have no table before them that `previous` could mean";
        let help = "write it in `audit` of the load, with `publish: { mode: audit }`";
        let span = text.span(Some(call.place));
        steps
            .context
            .report(Diagnostic::error(&BAD_RULE, span, message).help(help));
        return None;
    }
    let otherwise = match written.otherwise.value {
        OtherwiseSpec::Warn => Otherwise::Warn,
        OtherwiseSpec::Drop => Otherwise::Drop,
        OtherwiseSpec::Quarantine => Otherwise::Quarantine,
        OtherwiseSpec::Fail => Otherwise::Fail,
    };
    if condition.aggregate && matches!(otherwise, Otherwise::Drop | Otherwise::Quarantine) {
        let message = "this rule is about all rows together: there is no single row to take out";
        let finding = Diagnostic::error(&BAD_RULE, written.otherwise.span, message);
        let finding = finding.also(text.whole(), "an aggregate function is used here");
        steps.context.report(finding.help("write `warn` or `fail`"));
        return None;
    }
    let expect = text.value.clone();
    let name = written.name.value.clone();
    steps.has_text(step, |id, step| SqlOf::Rule(id, step, name), text);
    Some(Rule {
        name: written.name.value.clone(),
        expect,
        aggregate: condition.aggregate,
        otherwise,
    })
}

/// The table for rows that are taken out: the one that was named, or `<table>_quarantine` of the load.
fn quarantine(
    steps: &mut Steps<'_>,
    step: &StepSpec,
    written: &At<CheckSpec>,
    rule: &RuleSpec,
) -> Option<TableRef> {
    let (table, span) = match &written.quarantine {
        Some(name) => (named(steps, name)?, name.span),
        None => (beside(steps, written, rule)?, rule.otherwise.span),
    };
    if written.quarantine.is_some() {
        super::load::own_namespace(steps, &table, span)?;
    }
    steps.writes_table(TableUse {
        table: table.clone(),
        step: step.name.value.clone(),
        span,
    });
    Some(table)
}

/// The table of this name.
fn named(steps: &Steps<'_>, name: &At<String>) -> Option<TableRef> {
    match name.parse() {
        Ok(table) => Some(table),
        Err(error) => {
            let message = format!("`{}` is no table of the lake: {error}", name.value);
            let finding = Diagnostic::error(&BAD_NAME, name.span, message);
            steps
                .context
                .report(finding.help("write `namespace.table`"));
            None
        }
    }
}

/// The table beside the one that the checked rows end in.
fn beside(steps: &Steps<'_>, written: &CheckSpec, rule: &RuleSpec) -> Option<TableRef> {
    let loads = loads_of(steps, &written.on);
    let mut to_lake = loads.iter().filter(|load| load.connection.is_none());
    let beside: Option<TableRef> = to_lake.find_map(|load| load.table.parse().ok());
    if let Some(TableRef { namespace, name }) = beside {
        let name = format!("{name}_quarantine");
        return Some(TableRef { namespace, name });
    }
    if steps.doc.whole {
        let message = "there is no table for the rows that this rule takes out";
        let finding = Diagnostic::error(&QUARANTINE_WITHOUT_LOAD, rule.otherwise.span, message);
        steps
            .context
            .report(finding.help("add `quarantine: namespace.table` to the check"));
    }
    None
}
