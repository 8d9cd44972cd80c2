//! `lakewright diff`: the rows in which two moments of a table differ.

use run::Engine;
use run::history::Diff as Difference;
use run::lake::{At, TableId};

use crate::destination::Destination;
use crate::exit::Failure;
use crate::export::{Export, Form};
use crate::interrupt::interruptible;
use crate::render;
use crate::render::rows::Table;
use crate::screen;

use super::answer::AnswerTo;
use super::project::{self, ProjectArguments};

/// Show the rows in which two moments of a table differ
///
/// Only files that the two snapshots do not share are read, so that the cost grows with what changed. With a key, a
/// removed and an added row with the same key are one that changed; without, rows are compared whole. The key is that
/// of the load that merges into the table, where there is one.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright diff medicine.visit_daily 2026-01-31 main
  lakewright diff medicine.visit_daily before-fix main --key visit_date,ward_id
  lakewright diff medicine.visit_daily 4711 main --out changes.parquet")]
pub(super) struct Diff {
    /// The table, `namespace.table`
    table: TableId,

    /// The first moment: a snapshot, a time, or a name
    from: At,

    /// The second moment
    to: At,

    /// The columns that make a row known again
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    key: Option<Vec<String>>,

    #[command(flatten)]
    answer: AnswerTo,

    /// The most rows that `--format table` shows
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// How much memory the comparison may use before it spills to disk
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = project::memory)]
    memory: usize,

    #[command(flatten)]
    project: ProjectArguments,
}

impl Diff {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let form = self.answer.form()?;
        let engine = self.project.engine(project::settings(self.memory, None))?;
        interruptible(|_| async move { self.compare(&engine, form).await }).await
    }

    async fn compare(&self, engine: &Engine, form: Option<Form>) -> Result<(), Failure> {
        let key = self.key.clone();
        let difference = engine.diff(&self.table, &self.from, &self.to, key).await?;
        match form {
            None => self.show(difference).await,
            Some(form) => self.export(difference, form).await,
        }
    }

    async fn show(&self, mut difference: Difference) -> Result<(), Failure> {
        let mut rows = Table::new(difference.schema(), self.limit);
        // All rows are counted; the first are shown.
        let mut room = self.limit > 0;
        while let Some(batch) = difference.next().await? {
            room = room && rows.add(&batch)?;
        }
        let summary = render::diff::summary(&self.table, &difference);
        let counts = difference.counts();
        if self.limit == 0 || counts.added + counts.removed + counts.changed == 0 {
            return self.answer.give(&summary);
        }
        self.answer.give(&format!("{summary}\n{}", rows.text()))?;
        screen::remark(&rows.count());
        Ok(())
    }

    async fn export(&self, mut difference: Difference, form: Form) -> Result<(), Failure> {
        let (destination, to) = Destination::open(self.answer.out())?;
        let mut export = Export::start(form, difference.schema(), to)?;
        while let Some(batch) = difference.next().await? {
            export.write(&batch)?;
        }
        export.finish()?;
        destination.complete()?;
        screen::remark(render::diff::summary(&self.table, &difference).trim_end());
        Ok(())
    }
}
