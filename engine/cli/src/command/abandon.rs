//! `lakewright runs abandon`: gives up a run that can never be finished.

use run::state::RunId;

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::project::ProjectArguments;

/// Give up an interrupted run that can never be finished
///
/// A run that has committed some of its tables is gone on with by every later `run`, by the plan it was started with.
/// Where that cannot be any more, because a source has lost a column or a file, this ends it. Nothing is deleted: what
/// was committed stays, and the next run starts afresh; what that means is said of each table. It is refused where
/// some loads of an incremental extract have committed and others have not: no later run could serve them all.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright runs
  lakewright runs abandon 019ab0c2-5b7e-7d3c-9a51-6f0e3c1d2b4a

Exit codes: 0 given up, 1 no such run, it has ended, or it is refused, 2 not a whole run ID, 4 it is running")]
pub(super) struct Abandon {
    /// The run's whole ID: the beginning of one is not enough here
    #[arg(value_name = "RUN_ID")]
    run: String,
}

impl Abandon {
    pub(super) async fn execute(self, project: &ProjectArguments) -> Result<(), Failure> {
        let run: RunId = self.run.parse().map_err(|_| {
            Failure::usage(format!("`{}` is not the whole ID of a run", self.run))
                .help("`lakewright runs` lists them")
        })?;
        let engine = project.engine_to_look()?;
        let abandoned = interruptible(|_| async move {
            let done = engine.abandon(run).await;
            engine.close().await;
            Ok(done?)
        })
        .await?;
        screen::answer(&render::abandoned::text(&abandoned))
    }
}
