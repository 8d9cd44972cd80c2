//! `lakewright runs`: what runs did.

use connectors::{Error, ErrorKind};
use run::state::RunRecord;

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::project::{self, ProjectArguments};

/// How many runs are searched for an ID.
const SEARCHED: usize = 10_000;

/// List runs, or show one: its steps, checks and commits
///
/// Status is derived from the log of the run, and never written anywhere. A run whose process died stands as `running`
/// until its pipeline runs again.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright runs
  lakewright runs --pipeline medicine/visits --limit 5
  lakewright runs 0192f0c1
  lakewright runs --format json | jq '.[] | select(.phase != \"succeeded\")'")]
pub(super) struct Runs {
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
    project: ProjectArguments,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Runs {
    pub(super) async fn execute(self) -> Result<(), Failure> {
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
        let records =
            interruptible(|_| async move { Ok(engine.runs(pipeline.as_ref(), most).await?) })
                .await?;
        let text = match (&self.id, self.format) {
            (Some(id), Format::Text) => render::runs::one(find(&records, id)?)?,
            (Some(id), Format::Json) => json(&render::runs::json(find(&records, id)?)?),
            (None, Format::Text) if records.is_empty() => {
                screen::remark("nothing has run yet");
                return Ok(());
            }
            (None, Format::Text) => render::runs::list(&records)?,
            (None, Format::Json) => {
                let runs: Vec<_> = records
                    .iter()
                    .map(render::runs::json)
                    .collect::<Result<_, _>>()?;
                json(&runs.into())
            }
        };
        screen::answer(&text)
    }
}

fn json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// The one run whose ID begins like this.
fn find<'a>(records: &'a [RunRecord], id: &str) -> Result<&'a RunRecord, Failure> {
    let mut found = records
        .iter()
        .filter(|record| record.run.to_string().starts_with(&id.to_lowercase()));
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
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
