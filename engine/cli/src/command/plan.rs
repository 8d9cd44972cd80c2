//! `lakewright plan`: what a run would do, without doing it.

use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind};
use run::Engine;
use spec::model::PipelineId;
use spec::plan::Plan as Sealed;

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::project::{self, ProjectArguments};

/// Print what a run would do: what each step reads and writes, and how tables change
///
/// Asks sources and tables what they are now, and writes nothing. A plan kept with --out can be run later by
/// `lakewright run --plan`; it is refused (exit code 4) when specs, sources or tables are no longer what they were.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright plan medicine/visits
  lakewright plan medicine/visits --out visits.plan && lakewright run --plan visits.plan
  lakewright plan --all
  lakewright plan --all --format dot | dot -Tsvg > pipelines.svg

Exit codes: 0 planned, 1 a source or table does not answer, 2 no such pipeline, 3 the specs have findings")]
pub(super) struct Plan {
    /// The pipeline, as `domain/name`
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pipeline: Option<String>,

    /// All pipelines, each after those whose tables it reads
    #[arg(long)]
    all: bool,

    /// How it is printed: for people, for scripts, or as a graph for Graphviz
    #[arg(long, default_value = "text")]
    format: Format,

    /// Keep the plan in this file too, to run exactly this later
    #[arg(long, value_name = "FILE", conflicts_with = "all")]
    out: Option<PathBuf>,

    #[command(flatten)]
    project: ProjectArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Dot,
}

impl Plan {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let engine = self.project.engine_to_look()?;
        // The graph of the whole project is known without asking anybody.
        if self.all && self.format == Format::Dot {
            return screen::answer(&engine.graph().to_dot());
        }
        let pipelines = match &self.pipeline {
            Some(name) => vec![project::pipeline(engine.project(), name)?],
            None => engine.graph().pipelines(),
        };
        let plans = interruptible(|_| async move { make(&engine, &pipelines).await }).await?;
        if let (Some(out), [plan]) = (&self.out, plans.as_slice()) {
            keep(plan, out)?;
        }
        match self.format {
            Format::Text => {
                let texts: Vec<String> = plans.iter().map(render::plan::text).collect();
                screen::answer(&texts.join("\n"))
            }
            Format::Dot => screen::answer(&plans.iter().map(render::dot::text).collect::<String>()),
            Format::Json => screen::answer(&self.json(&plans)?),
        }
    }

    /// One plan is an object, `--all` an array, however many there are.
    fn json(&self, plans: &[Sealed]) -> Result<String, Failure> {
        let json = match plans {
            [plan] if !self.all => serde_json::to_string_pretty(plan),
            plans => serde_json::to_string_pretty(plans),
        };
        json.map(|text| text + "\n")
            .map_err(|error| unwritable(error).into())
    }
}

async fn make(engine: &Engine, pipelines: &[PipelineId]) -> Result<Vec<Sealed>, Failure> {
    let mut plans = Vec::with_capacity(pipelines.len());
    let mut wrong = false;
    for pipeline in pipelines {
        match engine.plan(pipeline).await {
            Ok(plan) => plans.push(plan),
            Err(error) => match run::findings(&error) {
                // What is wrong with the specs of several pipelines comes in one go.
                Some(found) => {
                    screen::remark(&render::error::findings(found));
                    wrong = true;
                }
                None => return Err(error.with("pipeline", pipeline).into()),
            },
        }
    }
    if wrong {
        return Err(Failure::Findings);
    }
    Ok(plans)
}

fn keep(plan: &Sealed, file: &Path) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(plan).map_err(unwritable)?;
    std::fs::write(file, json + "\n").map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the plan could not be kept")
            .with("file", file.display())
            .caused_by(error)
    })?;
    let run = format!("lakewright run --plan {}", file.display());
    screen::remark(&format!("kept in {}; run it with: {run}", file.display()));
    Ok(())
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, "the plan could not be written as JSON").caused_by(error)
}

/// Reads a plan that was kept.
pub(super) fn read(file: &Path) -> Result<Sealed, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, "the plan cannot be read")
            .with("file", file.display())
            .caused_by(error)
    })?;
    let plan = serde_json::from_str(&text).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "this file is not a plan")
            .with("file", file.display())
            .help("`lakewright plan PIPELINE --out FILE` writes one")
            .caused_by(error)
    })?;
    Ok(plan)
}
