//! `lakewright rollback`: a table goes back to an earlier snapshot.

use run::lake::{At, TableId};

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::project::{self, ProjectArguments};

/// Take a table back to an earlier snapshot, and its pipelines with it
///
/// What the later snapshots had brought is read again by the next run: how far a pipeline has read stands in the table,
/// and goes back with it. The later snapshots stay readable by their numbers until they expire. No pipeline that loads
/// the table may be running.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright rollback medicine.visit_daily --to 2026-01-31T18:00:00Z --dry-run
  lakewright rollback medicine.visit_daily --to before-fix

Exit codes:
  0  it went back, or was there already
  1  the table was not made on this snapshot, or the request failed
  4  refused: a pipeline that loads the table is running or has a run to finish, or the table was changed meanwhile")]
pub(super) struct Rollback {
    /// The table, `namespace.table`
    table: TableId,

    /// The snapshot, a time, or a name
    #[arg(long, value_name = "MOMENT")]
    to: At,

    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    project: ProjectArguments,
}

impl Rollback {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let engine = self
            .project
            .engine(project::settings(project::DEFAULT_MEMORY, None))?;
        let Self {
            table, to, dry_run, ..
        } = self;
        let text = interruptible(|_| async move {
            let done = engine.roll_back(&table, &to, dry_run).await;
            engine.close().await;
            Ok(render::rollback::text(&table, &done?, dry_run))
        })
        .await?;
        screen::answer(&text)
    }
}
