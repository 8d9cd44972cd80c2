//! `lakewright trigger`, `pause`, `resume`: what people say to schedules.

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::screen;

use super::project::{self, ProjectArguments};

/// Ask for a run of a pipeline, which a daemon begins
///
/// It is written down and waits for a daemon, after a run of the pipeline that goes on. `lakewright run` runs it here.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  lakewright trigger medicine/visits")]
pub(super) struct Trigger {
    #[command(flatten)]
    about: About,
}

/// Pause a schedule: no run until it is resumed
///
/// Runs that were decided before go on to their end, also those that wait. It holds over restarts of the daemon, and new versions of the project.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  lakewright pause medicine/visits")]
pub(super) struct Pause {
    #[command(flatten)]
    about: About,
}

/// Resume a schedule that was paused
///
/// What was missed meanwhile is done as `catchup` in the schedule says.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  lakewright resume medicine/visits")]
pub(super) struct Resume {
    #[command(flatten)]
    about: About,
}

#[derive(clap::Args)]
struct About {
    /// The pipeline, as `domain/name`
    pipeline: String,

    #[command(flatten)]
    project: ProjectArguments,
}

impl Trigger {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        self.about.say(Said::Trigger).await
    }
}

impl Pause {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        self.about.say(Said::Pause).await
    }
}

impl Resume {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        self.about.say(Said::Resume).await
    }
}

/// What is said.
#[derive(Clone, Copy)]
enum Said {
    Trigger,
    Pause,
    Resume,
}

impl About {
    async fn say(self, said: Said) -> Result<(), Failure> {
        let engine = self.project.engine_to_look()?;
        let id = project::pipeline(engine.project(), &self.pipeline)?;
        interruptible(move |_| async move {
            let outcome = match said {
                Said::Trigger => engine.request(&id).await,
                Said::Pause => engine.pause(&id).await,
                Said::Resume => engine.resume(&id).await,
            };
            engine.close().await;
            outcome?;
            screen::answer(&match said {
                Said::Trigger => format!("{id} waits for a daemon to run it\n"),
                Said::Pause => format!("{id} is paused\n"),
                Said::Resume => format!("{id} runs by its schedule again\n"),
            })
        })
        .await
    }
}
