//! `lakewright doctor`: does everything answer that the project needs?

use std::fmt::Write as _;

use run::Finding;

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render::error::details;
use crate::render::style::{BAD, GOOD, paint};
use crate::screen;

use super::project::ProjectArguments;

/// Ask every connection, the catalog, the warehouse and the state store whether they answer
///
/// Opens each as a run would, with its secrets, and says what it answered or what to do about it. Changes nothing.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright doctor
  lakewright doctor --project clinic --env prod

Exit codes: 0 everything answers, 1 something does not, 3 the specs have findings")]
pub(super) struct Doctor {
    #[command(flatten)]
    project: ProjectArguments,
}

impl Doctor {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let engine = self.project.engine_to_look()?;
        let findings = interruptible(|_| async move { Ok(engine.doctor().await) }).await?;
        screen::answer(&text(&findings))?;
        if findings.iter().any(|finding| finding.outcome.is_err()) {
            Err(Failure::Reported)
        } else {
            Ok(())
        }
    }
}

fn text(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.subject.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for Finding { subject, outcome } in findings {
        match outcome {
            Ok(answer) => {
                let _ = writeln!(
                    text,
                    "{}      {subject:<width$}  {answer}",
                    paint(GOOD, "ok")
                );
            }
            Err(error) => {
                let _ = writeln!(
                    text,
                    "{}  {subject:<width$}  {}",
                    paint(BAD, "failed"),
                    error.message()
                );
                for line in details(error) {
                    let _ = writeln!(text, "        {line}");
                }
            }
        }
    }
    let bad = findings
        .iter()
        .filter(|finding| finding.outcome.is_err())
        .count();
    let _ = match bad {
        0 => writeln!(text, "\neverything answers"),
        bad => writeln!(text, "\n{bad} of {} do not answer", findings.len()),
    };
    text
}
