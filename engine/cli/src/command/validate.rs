//! `lakewright validate`: are the specs right?

use crate::exit::Failure;
use crate::render::amount::counted;
use crate::render::style::{GOOD, paint};
use crate::screen;

use super::format::Format;
use super::project::ProjectArguments;

/// Check every spec and print all findings at once
///
/// Reads the whole project and asks nothing of the outside world: no connection is opened, no secret is read. Each
/// finding says where it is and what to do; `lakewright explain CODE` says more about its kind.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright validate
  lakewright validate --project clinic --env prod
  lakewright validate --format json | jq '.[] | .file + \":\" + (.line | tostring)'

Exit codes: 0 nothing to correct, 3 there are findings, 1 the folder cannot be read")]
pub(super) struct Validate {
    #[command(flatten)]
    project: ProjectArguments,

    /// How findings are written: blocks for people, or one array for editors and scripts
    #[arg(long, default_value = "text")]
    format: Format,
}

impl Validate {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let loaded = run::load_project(&self.project.project, self.project.env.as_deref())?;
        let found = &loaded.diagnostics;
        match self.format {
            Format::Json => screen::answer(&format!("{:#}\n", found.to_json()))?,
            Format::Text => {
                let blocks = found.render(screen::stdout_has_colour());
                screen::answer(&format!("{blocks}{}\n", summary(&loaded)))?;
            }
        }
        if found.has_errors() {
            Err(Failure::Findings)
        } else {
            Ok(())
        }
    }
}

fn summary(loaded: &run::Loaded) -> String {
    let specs = counted(loaded.files as u64, "spec", "specs");
    let of = |severity| {
        loaded
            .diagnostics
            .iter()
            .filter(|found| found.severity() == severity)
            .count() as u64
    };
    let (errors, warnings) = (of(spec::Severity::Error), of(spec::Severity::Warning));
    let mut counts = Vec::new();
    if errors > 0 {
        counts.push(counted(errors, "error", "errors"));
    }
    if warnings > 0 {
        counts.push(counted(warnings, "warning", "warnings"));
    }
    match counts.as_slice() {
        [] => paint(GOOD, format!("{specs}, no findings")),
        counts => format!("{specs}: {}", counts.join(", ")),
    }
}
