//! `lakewright maintain`: the project's tables are kept in shape.

use clap::ValueEnum;
use run::lake::TableId;
use run::{Chore, Done, Engine, Result};

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::format::Format;
use super::project::{self, ProjectArguments};

/// Keep tables in shape: merge small files, expire snapshots, set orphaned files aside
///
/// Does what `maintenance:` says in the project, its domains and loads, for the tables that its pipelines write, and for
/// no others. Changes no row. Pipelines may run meanwhile. Stopped in the middle, it leaves nothing half done; the next
/// call goes on.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright maintain --dry-run
  lakewright maintain medicine.visit_daily --only compact
  lakewright maintain --only expire,orphans --format json

Exit codes:
  0  all is done, or there was nothing to do
  1  something failed; the rest was done")]
pub(super) struct Maintain {
    /// The tables, `namespace.table`; all that the project's pipelines write when left out
    tables: Vec<TableId>,

    /// Only these of compact, expire, orphans
    #[arg(
        long,
        value_name = "CHORES",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    only: Vec<ChoreName>,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// How it is written
    #[arg(long, default_value = "text")]
    format: Format,

    /// How much memory sorting may use before it spills to disk
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = project::memory)]
    memory: usize,

    #[command(flatten)]
    project: ProjectArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ChoreName {
    Compact,
    Expire,
    Orphans,
}

impl From<ChoreName> for Chore {
    fn from(name: ChoreName) -> Self {
        match name {
            ChoreName::Compact => Self::Compact,
            ChoreName::Expire => Self::Expire,
            ChoreName::Orphans => Self::Orphans,
        }
    }
}

/// A chore for a table, and what came of it.
pub(crate) struct Outcome {
    pub(crate) table: TableId,
    pub(crate) chore: Chore,
    pub(crate) done: Result<Done>,
}

impl Maintain {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let engine = self.project.engine(project::settings(self.memory, None))?;
        let Self {
            mut tables,
            only,
            dry_run,
            format,
            ..
        } = self;
        for table in &tables {
            engine.require_own(table)?;
        }
        if tables.is_empty() {
            tables.extend(engine.own_tables());
        }
        let chosen = only.iter().map(|name| Chore::from(*name));
        let chosen: Vec<Chore> = chosen.collect();
        let mut chores = Chore::ALL.to_vec();
        chores.retain(|chore| chosen.is_empty() || chosen.contains(chore));
        let failed = interruptible(|_| async move {
            let done = all(&engine, &tables, &chores, (dry_run, format)).await;
            engine.close().await;
            done
        })
        .await?;
        if failed {
            Err(Failure::Reported)
        } else {
            Ok(())
        }
    }
}

/// Does all chores, and tells of each as soon as it is done; whether one failed.
async fn all(
    engine: &Engine,
    tables: &[TableId],
    chores: &[Chore],
    (dry_run, format): (bool, Format),
) -> Result<bool, Failure> {
    let width = tables.iter().map(|table| table.to_string().chars().count());
    let width = width.max().unwrap_or(0);
    let mut outcomes = Vec::new();
    for table in tables {
        for chore in chores {
            let outcome = Outcome {
                table: table.clone(),
                chore: *chore,
                done: Box::pin(engine.maintain(table, *chore, dry_run)).await,
            };
            if matches!(format, Format::Text) {
                screen::answer(&render::maintain::line(&outcome, width, dry_run))?;
            }
            outcomes.push(outcome);
        }
    }
    if matches!(format, Format::Json) {
        screen::answer(&format!("{:#}\n", render::maintain::json(&outcomes)))?;
    } else if outcomes.is_empty() {
        screen::remark("no pipeline of the project writes a table of the lake");
    }
    Ok(outcomes.iter().any(|outcome| outcome.done.is_err()))
}
