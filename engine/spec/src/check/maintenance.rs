//! `maintenance:` of a load, over that of its domain, over that of the project.

use std::collections::BTreeMap;
use std::time::Duration;

use super::context::Context;
use super::documents::Written;
use super::duration::duration;
use super::pipeline::Names;
use crate::diagnostic::Diagnostic;
use crate::model::{
    Compact, Expire, Maintenance, Orphans, Pipeline, PipelineId, StepKind, TableRef,
};
use crate::read::{At, WRONG_VALUE};
use crate::written::{CompactSpec, ExpireSpec, MaintenanceSpec, OrphansSpec};

/// A run may hold files for this long before anything refers to them.
const LONGEST_RUN: Duration = Duration::from_hours(24);

/// How each table that the project writes is kept in shape.
pub(super) fn tables(
    context: &Context<'_>,
    written: &Written<'_>,
    names: &Names<'_>,
    pipelines: &BTreeMap<PipelineId, Pipeline>,
) -> BTreeMap<TableRef, Maintenance> {
    let project = written.projects.first();
    let project = project.and_then(|doc| doc.spec.maintenance.as_ref());
    let project = over(context, project, &Maintenance::default());
    let domains: BTreeMap<&str, Maintenance> = names
        .domains
        .iter()
        .map(|(name, spec)| (*name, over(context, spec.maintenance.as_ref(), &project)))
        .collect();
    let mut tables = BTreeMap::new();
    let set_aside = pipelines.iter().flat_map(|(id, pipeline)| {
        let steps = pipeline.steps.iter();
        steps.filter_map(move |step| match &step.kind {
            StepKind::Check(check) => Some((id, check.quarantine.clone()?)),
            _ => None,
        })
    });
    for (id, table) in set_aside {
        let kept = domains.get(id.domain.as_str()).unwrap_or(&project);
        tables.insert(table, kept.clone());
    }
    for spec in written.pipelines.iter().map(|doc| &doc.spec) {
        let base = domains.get(spec.domain.as_str()).unwrap_or(&project);
        for load in spec.steps.iter().filter_map(|step| step.load.as_ref()) {
            let kept = over(context, load.maintenance.as_ref(), base);
            if let (None, Ok(table)) = (&load.connection, load.table.parse()) {
                tables.insert(table, kept);
            }
        }
    }
    tables
}

/// What a block says, over what held before.
fn over(
    context: &Context<'_>,
    written: Option<&MaintenanceSpec>,
    base: &Maintenance,
) -> Maintenance {
    let mut kept = base.clone();
    let Some(written) = written else {
        return kept;
    };
    if let Some(written) = &written.compact {
        compact(context, written, &mut kept.compact);
    }
    if let Some(written) = &written.expire {
        expire(context, written, &mut kept.expire);
    }
    if let Some(written) = &written.orphans {
        orphans(context, written, &mut kept.orphans);
    }
    kept
}

fn compact(context: &Context<'_>, written: &CompactSpec, kept: &mut Compact) {
    kept.enabled = written.enabled.unwrap_or(kept.enabled);
    let (least, percent) = (2..=u32::MAX, 1..=100);
    if let Some(files) = within(context, written.min_files.as_ref(), least, "at least 2") {
        kept.min_files = files;
    }
    let written = written.deleted_percent.as_ref();
    if let Some(deleted) = within(context, written, percent, "from 1 to 100") {
        kept.deleted_percent = deleted;
    }
}

fn expire(context: &Context<'_>, written: &ExpireSpec, kept: &mut Expire) {
    kept.enabled = written.enabled.unwrap_or(kept.enabled);
    let older = written.older_than.as_ref();
    if let Some(older) = older.and_then(|text| duration(context, text)) {
        kept.older_than = older;
    }
    if let Some(keep) = within(context, written.keep.as_ref(), 1..=u32::MAX, "at least 1") {
        kept.keep = keep;
    }
}

fn orphans(context: &Context<'_>, written: &OrphansSpec, kept: &mut Orphans) {
    kept.enabled = written.enabled.unwrap_or(kept.enabled);
    if let Some(text) = &written.older_than
        && let Some(older) = duration(context, text)
    {
        kept.older_than = older;
        if older < LONGEST_RUN {
            let message = "files of a run that is going on would be taken for orphans";
            let finding = Diagnostic::error(&WRONG_VALUE, text.span, message);
            context
                .report(finding.help("write `1d` or more, and more than your longest run takes"));
        }
    }
    let aside = written.quarantine.as_ref();
    if let Some(aside) = aside.and_then(|text| duration(context, text)) {
        kept.quarantine = aside;
    }
}

/// A number within bounds, or a finding.
fn within(
    context: &Context<'_>,
    written: Option<&At<u32>>,
    bounds: std::ops::RangeInclusive<u32>,
    told: &str,
) -> Option<u32> {
    let written = written?;
    if bounds.contains(&written.value) {
        return Some(written.value);
    }
    let message = format!("{} is not {told}", written.value);
    context.report(Diagnostic::error(&WRONG_VALUE, written.span, message));
    None
}
