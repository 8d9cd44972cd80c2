//! Specs → Project: every rule, one file each. The only maker of [`Project`].
//!
//! Rules know what was written and what is known of connectors. They never stop at the first finding, and say nothing
//! about what only follows from another one. They know nothing of how findings look.

mod audit;
mod changes;
mod columns;
mod connection;
mod context;
mod cycle;
mod dedupe;
mod documents;
mod domain;
mod duration;
mod evolution;
mod extract;
mod files;
mod increments;
mod lake;
mod lineage;
mod load;
mod maintenance;
mod merge;
mod name;
mod options;
mod part;
mod partition;
mod pipeline;
mod project;
mod properties;
mod retry;
mod rules;
mod schedule;
mod sessions;
mod shares;
mod size;
mod step;
mod tables;
#[cfg(test)]
mod tests;
mod timezone;
mod transform;
mod unused;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connectors::Connectors;
use crate::diagnostic::{Code, Diagnostics};
use crate::meaning::{SqlOf, Texts};
use crate::model::{Project, Retry};
use crate::source::SourceFile;
use crate::text::Text;
use connection::Replaced;
use context::Context;
use documents::Written;
use pipeline::{Checked, Names, full_name};
pub(crate) use tables::UNKNOWN_TABLE;
pub(crate) use transform::{SQL_NOT_A_QUERY, SQL_SYNTAX};

/// The codes of all rules.
pub(crate) const CODES: &[&Code] = &[
    &audit::BAD_AUDIT,
    &connection::UNKNOWN_CONNECTOR,
    &cycle::CYCLE,
    &documents::BAD_ENCODING,
    &documents::UNKNOWN_KIND,
    &domain::SHARED_NAMESPACE,
    &duration::BAD_DURATION,
    &evolution::BAD_RENAME,
    &extract::BAD_LAG,
    &extract::KEY_NEEDED,
    &connection::UNKNOWN_CONNECTION,
    &extract::UNSUPPORTED_MODE,
    &files::MISSING_FILE,
    &increments::TWO_INCREMENTS,
    &load::FOREIGN_NAMESPACE,
    &load::LAKE_ONLY,
    &load::PART_FORGOTTEN,
    &load::REPLACE_OF_A_PART,
    &name::BAD_NAME,
    &name::DUPLICATE_NAME,
    &partition::BAD_PARTITION,
    &partition::BAD_SORT,
    &pipeline::NO_STEPS,
    &pipeline::UNKNOWN_DOMAIN,
    &project::NO_PROJECT,
    &project::TWO_PROJECTS,
    &project::UNKNOWN_ENVIRONMENT,
    &project::WRONG_VERSION,
    &properties::BAD_PROPERTY,
    &rules::BAD_RULE,
    &rules::QUARANTINE_WITHOUT_LOAD,
    &schedule::BAD_CRON,
    &schedule::UNKNOWN_PIPELINE,
    &sessions::TOO_FEW_SESSIONS,
    &size::BAD_SIZE,
    &step::NO_ROWS,
    &step::STEP_KIND,
    &step::UNKNOWN_STEP,
    &tables::TWO_WRITERS,
    &UNKNOWN_TABLE,
    &timezone::BAD_TIMEZONE,
    &SQL_NOT_A_QUERY,
    &SQL_SYNTAX,
    &unused::UNUSED_CONNECTION,
    &unused::UNUSED_STEP,
];

/// Checks all files of a project, in one environment or in none. There is a project only where there is no error;
/// warnings come with it, and where its SQL stands, for whoever finds out what it means.
pub fn check(
    files: Vec<SourceFile>,
    environment: Option<&str>,
    connectors: &dyn Connectors,
) -> (Option<Project>, Diagnostics, Texts) {
    let mut found = Vec::new();
    let sources = Arc::new(documents::load(files, &mut found));
    let (documents, unparsed) = documents::parse(&sources, &mut found);
    let written = documents::read(&documents, unparsed, &mut found);
    let context = Context::new(&sources, connectors, written.unread, found);
    let (project, texts) = project(&context, &written, environment).unzip();
    let found = context.into_found();
    let diagnostics = Diagnostics::new(found, Arc::clone(&sources));
    let project = project.filter(|_| !diagnostics.has_errors());
    (
        project,
        diagnostics,
        Texts::new(texts.unwrap_or_default(), sources),
    )
}

/// A project, and its SQL.
type WithTexts = (Project, BTreeMap<SqlOf, Text>);

fn project(
    context: &Context<'_>,
    written: &Written<'_>,
    wanted: Option<&str>,
) -> Option<WithTexts> {
    duplicate_specs(context, written);
    let doc = project::one(context, &written.projects);
    let environment = doc.and_then(|doc| project::environment(context, &doc.spec, wanted));
    let defaults = environment.and_then(|change| change.defaults.as_ref());
    let defaults = defaults.or_else(|| doc.and_then(|doc| doc.spec.defaults.as_ref()));
    let base = retry::defaults(context, defaults, Retry::default());
    let replaced = doc.zip(environment).map(|(doc, environment)| Replaced {
        document: doc.node,
        environment,
    });

    let names = Names::of(written);
    if let Some(doc) = doc {
        connection::changes(context, doc, &names);
    }
    let connections: Vec<_> = written
        .connections
        .iter()
        .filter_map(|doc| connection::connection(context, doc, replaced))
        .collect();
    let domains: Vec<_> = written
        .domains
        .iter()
        .filter_map(|doc| domain::domain(context, doc))
        .collect();
    let pipelines: Vec<Checked<'_>> = written
        .pipelines
        .iter()
        .map(|doc| pipeline::pipeline(context, doc, &names, base))
        .collect();

    domain::shared_namespaces(context, &written.domains);
    tables::two_writers(context, &pipelines);
    tables::unknown_tables(context, &pipelines, written);
    cycle::steps(context, &pipelines);
    cycle::pipelines(context, &pipelines);
    unused::steps(context, &pipelines);
    unused::connections(context, written);

    let spec = &doc?.spec;
    let lake = environment
        .and_then(|change| change.lake.as_ref())
        .or(spec.lake.as_ref());
    let state = environment
        .and_then(|change| change.state.as_ref())
        .or(spec.state.as_ref());
    let (mut sealed, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for checked in pipelines {
        if let Some(pipeline) = checked.pipeline {
            texts.extend(checked.texts);
            sealed.insert(pipeline.id.clone(), pipeline);
        }
    }
    let maintenance = maintenance::tables(context, written, &names, &sealed);
    let project = Project {
        name: spec.name.value.clone(),
        environment: wanted.map(str::to_owned),
        lake: lake::lake(lake),
        state: lake::state(state),
        runs: shares::of_project(context, spec),
        connections: connections
            .into_iter()
            .map(|connection| (connection.name.clone(), connection))
            .collect(),
        domains: domains
            .into_iter()
            .map(|domain| (domain.name.clone(), domain))
            .collect(),
        pipelines: sealed,
        maintenance,
    };
    Some((project, texts))
}

fn duplicate_specs(context: &Context<'_>, written: &Written<'_>) {
    let connections = written.connections.iter().map(|doc| &doc.spec.name);
    name::duplicates(
        context,
        "connections",
        connections.map(|name| (name.value.clone(), name.span)),
    );
    let domains = written.domains.iter().map(|doc| &doc.spec.name);
    name::duplicates(
        context,
        "domains",
        domains.map(|name| (name.value.clone(), name.span)),
    );
    let pipelines = written
        .pipelines
        .iter()
        .map(|doc| (full_name(&doc.spec), doc.spec.name.span));
    name::duplicates(context, "pipelines", pipelines);
}
