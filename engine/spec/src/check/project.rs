//! `no-project`, `two-projects`, `wrong-version`, `unknown-environment`: the one Project, in one environment.

use super::context::Context;
use super::documents::Doc;
use crate::diagnostic::{Code, Diagnostic};
use crate::read::nearest;
use crate::written::{EnvironmentSpec, ProjectSpec};

/// The version of the language that this program reads.
const VERSION: u32 = 1;

pub(crate) const NO_PROJECT: Code = Code {
    name: "no-project",
    explain: "A tree of specs has one file with `kind: Project`: it says where the lake is and which version of the \
              language the tree is written in.\n\nThe smallest one: `kind: Project`, `name: example`, `version: 1`.",
};
pub(crate) const TWO_PROJECTS: Code = Code {
    name: "two-projects",
    explain: "A tree of specs has one file with `kind: Project`, and this one has two. Only one can say where the lake is.",
};
pub(crate) const WRONG_VERSION: Code = Code {
    name: "wrong-version",
    explain: "`version:` of the Project is the version of the language that the specs are written in. This program reads 1.",
};
pub(crate) const UNKNOWN_ENVIRONMENT: Code = Code {
    name: "unknown-environment",
    explain: "The environment that was asked for is not among `environments:` of the Project.",
};

/// The one Project.
pub(super) fn one<'a>(
    context: &Context<'_>,
    projects: &'a [Doc<'a, ProjectSpec>],
) -> Option<&'a Doc<'a, ProjectSpec>> {
    let Some((first, more)) = projects.split_first() else {
        if !context.unread.projects {
            let help = "write `project.yaml` with `kind: Project`, `name: …` and `version: 1`";
            context
                .report(Diagnostic::nowhere(&NO_PROJECT, "no file has `kind: Project`").help(help));
        }
        return None;
    };
    for second in more {
        let finding = Diagnostic::error(
            &TWO_PROJECTS,
            second.spec.name.span,
            "there are two projects",
        );
        context.report(
            finding
                .label("the second")
                .also(first.spec.name.span, "the first")
                .help("remove one of them"),
        );
    }
    let version = &first.spec.version;
    if version.value != VERSION {
        let message = format!(
            "version {} of the language is not known here",
            version.value
        );
        context.report(
            Diagnostic::error(&WRONG_VERSION, version.span, message)
                .help(format!("write `version: {VERSION}`")),
        );
    }
    Some(first)
}

/// The environment that was asked for.
pub(super) fn environment<'a>(
    context: &Context<'_>,
    project: &'a ProjectSpec,
    wanted: Option<&str>,
) -> Option<&'a EnvironmentSpec> {
    let wanted = wanted?;
    let known = &project.environments.0;
    if let Some((_, spec)) = known.iter().find(|(name, _)| name.value == wanted) {
        return Some(spec);
    }
    let finding = Diagnostic::error(
        &UNKNOWN_ENVIRONMENT,
        project.name.span,
        format!("there is no environment `{wanted}`"),
    );
    let finding = finding.label("this project does not have it");
    context.report(
        match nearest(wanted, known.iter().map(|(name, _)| name.value.as_str())) {
            Some(near) => finding.suggest(near),
            None if known.is_empty() => finding.help("add it to `environments:`"),
            None => {
                let names: Vec<String> = known
                    .iter()
                    .map(|(name, _)| format!("`{}`", name.value))
                    .collect();
                finding.help(format!("known: {}", names.join(", ")))
            }
        },
    );
    None
}
