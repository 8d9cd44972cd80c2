//! `lakewright query`: SQL over the lake.

use arrow::datatypes::SchemaRef;
use futures::TryStreamExt as _;
use run::history::AsOf;
use run::{BatchStream, Engine};

use crate::destination::Destination;
use crate::exit::Failure;
use crate::export::{Export, Form};
use crate::interrupt::interruptible;
use crate::render::amount::counted;
use crate::render::history::moment as moment_text;
use crate::render::rows::Table;
use crate::screen;

use super::answer::AnswerTo;
use super::project::{self, ProjectArguments};

/// Ask the lake with SQL
///
/// Reads the newest snapshot of every table, named `namespace.table`. The answer goes to stdout or to a file; how many
/// rows it has goes to stderr.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright query 'select ward_id, sum(visits) from medicine.visit_daily group by ward_id'
  lakewright query 'select count(*) from medicine.visit_daily' --at 2026-01-31T18:00:00Z
  lakewright query 'select * from medicine.visit_daily' --format csv > visits.csv
  lakewright query 'select * from medicine.visit_daily' --out visits.parquet")]
pub(super) struct Query {
    /// The query
    sql: String,

    /// Read tables as they were: at a snapshot, a time or a name; `TABLE=MOMENT` for one table, and again for others
    #[arg(long, value_name = "MOMENT")]
    at: Vec<String>,

    #[command(flatten)]
    answer: AnswerTo,

    /// The most rows that `--format table` shows
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,

    /// How much memory the query may use before it spills to disk
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = project::memory)]
    memory: usize,

    #[command(flatten)]
    project: ProjectArguments,
}

impl Query {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let form = self.answer.form()?;
        let engine = self.project.engine(project::settings(self.memory, None))?;
        interruptible(|_| async move {
            match form {
                None => self.show(&engine).await,
                Some(form) => self.export(&engine, form).await,
            }
        })
        .await
    }

    /// The answer's columns and rows; which snapshots it is of is said beside it.
    async fn ask(&self, engine: &Engine) -> Result<(SchemaRef, BatchStream), Failure> {
        if self.at.is_empty() {
            return engine.query(&self.sql).await.map_err(refused);
        }
        let answer = engine
            .query_as_of(&self.sql, &AsOf::read(&self.at)?)
            .await
            .map_err(refused)?;
        for (table, moment) in &answer.read {
            screen::remark(&format!("{table} at {}", moment_text(moment)));
        }
        Ok((answer.schema, answer.rows))
    }

    async fn show(&self, engine: &Engine) -> Result<(), Failure> {
        let (schema, mut batches) = self.ask(engine).await?;
        let mut table = Table::new(&schema, self.limit);
        while let Some(batch) = batches.try_next().await? {
            // What is not shown need not be computed.
            if !table.add(&batch)? {
                break;
            }
        }
        self.answer.give(&table.text())?;
        screen::remark(&table.count());
        Ok(())
    }

    async fn export(&self, engine: &Engine, form: Form) -> Result<(), Failure> {
        let (schema, mut batches) = self.ask(engine).await?;
        let (destination, to) = Destination::open(self.answer.out())?;
        let mut export = Export::start(form, &schema, to)?;
        while let Some(batch) = batches.try_next().await? {
            export.write(&batch)?;
        }
        let rows = export.finish()?;
        destination.complete()?;
        screen::remark(&counted(rows, "row", "rows"));
        Ok(())
    }
}

/// A query without a meaning is a mistake in the command line.
fn refused(error: run::Error) -> Failure {
    match run::findings(&error) {
        Some(found) => Failure::Query(found.clone()),
        None => error.into(),
    }
}
