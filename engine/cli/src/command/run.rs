//! `lakewright run`: one run of one pipeline, or of all.

use std::path::PathBuf;
use std::time::Instant;

use run::{Engine, ProgressEvent};
use spec::model::PipelineId;
use spec::plan::Plan as Sealed;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::interrupt::interruptible_aloud;
use crate::render;
use crate::render::progress::Display;
use crate::screen;

use super::project::{self, ProjectArguments};
use super::{Surroundings, plan};

/// Run a pipeline: read what is new, transform it, and publish each table in one commit
///
/// Rows become visible only at the commit, all at once. A run that was killed is simply run again: it goes on where
/// the tables say it was, and what was committed is not written twice. Ctrl-C stops within a second.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright run medicine/visits
  lakewright run --all --env prod --memory 4GiB
  lakewright run --plan visits.plan
  lakewright run medicine/visits --log-format json 2> run.log

Exit codes:
  0    committed
  1    the run failed
  2    no such pipeline
  3    the specs have findings
  4    refused: the world is no longer the one the plan was made for, or another run is going on
  5    a check or an audit failed; readers see nothing of the run
  130  interrupted; nothing that was not committed is visible")]
pub(super) struct Run {
    /// The pipeline, as `domain/name`
    #[arg(required_unless_present_any = ["all", "plan"], conflicts_with = "all")]
    pipeline: Option<String>,

    /// All pipelines, each after those whose tables it reads; the first failure ends it
    #[arg(long, conflicts_with = "plan")]
    all: bool,

    /// Run exactly this plan, which `lakewright plan --out FILE` kept
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,

    /// How much memory queries may use before they spill to disk; 32MiB at the least
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = project::memory)]
    pub(super) memory: usize,

    /// How many threads compute; one a core when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,

    #[command(flatten)]
    pub(super) project: ProjectArguments,
}

impl Run {
    pub(super) async fn execute(self, surroundings: Surroundings) -> Result<(), Failure> {
        let settings = project::settings(self.memory, self.parallel.map(usize::from));
        let sealed = self.plan.as_deref().map(plan::read).transpose()?;
        let engine = self.project.engine(settings)?;
        let mut runs: Vec<(PipelineId, Option<Sealed>)> = Vec::new();
        match (&self.pipeline, sealed) {
            (name, Some(sealed)) => {
                runs.push((planned(&engine, name.as_deref(), &sealed)?, Some(sealed)));
            }
            (Some(name), None) => runs.push((project::pipeline(engine.project(), name)?, None)),
            (None, None) => {
                runs.extend(engine.graph().pipelines().into_iter().map(|id| (id, None)));
            }
        }
        let display = Display::new(surroundings.bars.clone(), surroundings.log_format);
        let say = |text: &str| surroundings.bars.suspend(|| screen::remark(text));
        interruptible_aloud(say, |cancel| async move {
            let done = each(&engine, runs, display, cancel).await;
            engine.close().await;
            done
        })
        .await
    }
}

/// The pipeline of a plan, which must be the one that was named, where one was.
fn planned(engine: &Engine, name: Option<&str>, sealed: &Sealed) -> Result<PipelineId, Failure> {
    let named = name.unwrap_or(&sealed.pipeline.to_string()).to_owned();
    let id = project::pipeline(engine.project(), &named)?;
    if id == sealed.pipeline {
        return Ok(id);
    }
    let message = format!(
        "the plan is of pipeline `{}`, not of `{id}`",
        sealed.pipeline
    );
    Err(Failure::usage(message).help("leave the pipeline out: the plan knows it"))
}

async fn each(
    engine: &Engine,
    runs: Vec<(PipelineId, Option<Sealed>)>,
    display: Display,
    cancel: CancellationToken,
) -> Result<(), Failure> {
    let many = runs.len() > 1;
    for (pipeline, sealed) in runs {
        if many {
            display.progress().event(ProgressEvent::Note {
                text: format!("pipeline {pipeline}"),
            });
        }
        let started = Instant::now();
        let outcome = engine
            .run(&pipeline, sealed, display.progress(), cancel.clone())
            .await;
        display.clear();
        let report = outcome.map_err(|error| error.with("pipeline", &pipeline))?;
        screen::answer(&render::report::text(&pipeline, &report, started.elapsed()))?;
    }
    Ok(())
}
