//! `lakewright status`: how schedules stand.

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::format::Format;
use super::project::{self, ProjectArguments};

/// Show when pipelines run next, what was decided last, and what is waiting
///
/// Asks the state store, and no daemon: whether one is there or not, this is what it goes by.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright status
  lakewright status medicine/visits --limit 50
  lakewright status --format json | jq '.[] | select(.paused)'")]
pub(super) struct Status {
    /// What was decided about this pipeline, `domain/name`, the newest first
    pipeline: Option<String>,

    /// How many decisions are listed
    #[arg(long, value_name = "N", default_value_t = 20, requires = "pipeline", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    /// How it is written
    #[arg(long, default_value = "text")]
    format: Format,

    #[command(flatten)]
    project: ProjectArguments,
}

impl Status {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let engine = self.project.engine_to_look()?;
        if let Some(name) = &self.pipeline {
            let id = project::pipeline(engine.project(), name)?;
            let (format, limit) = (self.format, self.limit);
            let decisions =
                interruptible(move |_| async move { Ok(engine.decisions(&id, limit).await?) })
                    .await?;
            return screen::answer(&match format {
                Format::Json => render::schedules::as_json(&decisions)?,
                Format::Text => render::schedules::decisions(&decisions),
            });
        }
        let standings = interruptible(|_| async move { Ok(engine.schedules().await?) }).await?;
        match self.format {
            Format::Json => screen::answer(&render::schedules::as_json(&standings)?),
            Format::Text if standings.is_empty() => {
                screen::remark("no pipeline has a schedule, and none was asked to run");
                Ok(())
            }
            Format::Text => screen::answer(&render::schedules::list(&standings)),
        }
    }
}
