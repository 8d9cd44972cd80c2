//! `lakewright runs`: what runs did.

use connectors::{Error, ErrorKind};
use run::state::Standing;

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::abandon::Abandon;
use super::format::Format;
use super::project::{self, ProjectArguments};

/// How many runs are searched for an ID.
const SEARCHED: usize = 10_000;

/// List runs, show one with its steps, checks and commits, or give one up
///
/// Status is derived, and never written anywhere: from the log of the run, and from the lock of its pipeline, which a
/// process loses when it dies. `interrupted` is a run that nobody is at: its pipeline's next run goes on with it.
#[derive(clap::Args)]
#[command(
    disable_help_subcommand = true,
    override_usage = "lakewright runs [OPTIONS] [ID]\n       lakewright runs abandon [OPTIONS] <RUN_ID>"
)]
#[command(after_help = "\
Examples:
  lakewright runs
  lakewright runs --pipeline medicine/visits --limit 5
  lakewright runs 0192f0c1
  lakewright runs --format json | jq '.[] | select(.phase != \"succeeded\")'")]
pub(super) struct Runs {
    #[command(subcommand)]
    action: Option<Action>,

    /// The run, or the beginning of its ID
    #[arg(conflicts_with = "pipeline")]
    id: Option<String>,

    /// Only runs of this pipeline, `domain/name`
    #[arg(long, value_name = "PIPELINE")]
    pipeline: Option<String>,

    /// How many runs are listed, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    /// How they are written
    #[arg(long, default_value = "text")]
    format: Format,

    #[command(flatten)]
    pub(super) project: ProjectArguments,
}

#[derive(clap::Subcommand)]
enum Action {
    Abandon(Abandon),
}

impl Runs {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        if let Some(Action::Abandon(abandon)) = self.action {
            return abandon.execute(&self.project).await;
        }
        let engine = self.project.engine_to_look()?;
        let pipeline = self
            .pipeline
            .as_deref()
            .map(|name| project::pipeline(engine.project(), name))
            .transpose()?;
        let most = if self.id.is_some() {
            SEARCHED
        } else {
            self.limit as usize
        };
        let runs =
            interruptible(|_| async move { Ok(engine.runs(pipeline.as_ref(), most).await?) })
                .await?;
        let text = match (&self.id, self.format) {
            (Some(id), Format::Text) => render::runs::one(find(&runs, id)?),
            (Some(id), Format::Json) => render::runs::one_as_json(find(&runs, id)?)?,
            (None, Format::Text) if runs.is_empty() => {
                screen::remark("nothing has run yet");
                return Ok(());
            }
            (None, Format::Text) => render::runs::list(&runs),
            (None, Format::Json) => render::runs::list_as_json(&runs)?,
        };
        screen::answer(&text)
    }
}

/// The one run whose ID begins like this.
fn find<'a>(runs: &'a [Standing], id: &str) -> Result<&'a Standing, Failure> {
    let mut found = runs
        .iter()
        .filter(|run| run.run.to_string().starts_with(&id.to_lowercase()));
    match (found.next(), found.next()) {
        (Some(run), None) => Ok(run),
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "several runs have an ID that begins with `{id}`"
        ))
        .help("write more of it")),
        (None, _) => Err(Error::new(
            ErrorKind::NotFound,
            format!("no run has an ID that begins with `{id}`"),
        )
        .help("`lakewright runs` lists them")
        .into()),
    }
}
