//! `lakewright history`: the snapshots of a table.

use run::lake::TableId;

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::format::Format;
use super::project::ProjectArguments;

/// List the snapshots of a table: when, by which run, how many rows
///
/// The newest comes first. Snapshots that the table as it is now was not made on, as after a rollback, are marked with
/// `-`; they can be read until they expire. Rows that a merge only copied count among those added and removed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright history medicine.visit_daily
  lakewright history medicine.visit_daily --format json | jq '.[0].run'")]
pub(super) struct History {
    /// The table, `namespace.table`
    table: TableId,

    /// How many snapshots are listed
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,

    /// How they are written
    #[arg(long, default_value = "text")]
    format: Format,

    #[command(flatten)]
    project: ProjectArguments,
}

impl History {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let engine = self.project.engine_to_look()?;
        let table = self.table;
        let mut history =
            interruptible(|_| async move { Ok(engine.history(&table).await?) }).await?;
        let all = history.snapshots.len();
        history.snapshots.truncate(self.limit);
        match self.format {
            Format::Json => screen::answer(&format!("{:#}\n", render::history::json(&history))),
            Format::Text if all == 0 => {
                screen::remark("the table has no snapshot yet");
                Ok(())
            }
            Format::Text => {
                screen::answer(&render::history::text(&history))?;
                if all > self.limit {
                    screen::remark(&format!("the newest {} of {all}", self.limit));
                }
                Ok(())
            }
        }
    }
}
