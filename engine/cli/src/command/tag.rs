//! `lakewright tag`: names for snapshots.

use std::time::Duration;

use run::Engine;
use run::lake::{At, TableId, TagName};

use crate::exit::Failure;
use crate::interrupt::interruptible;
use crate::render;
use crate::screen;

use super::format::Format;
use super::project::ProjectArguments;

/// The longest time that a tag can be kept, in days: a thousand years.
const MAX_DAYS: u64 = 365_000;

/// Name a snapshot of a table, so that it can be read by the name and does not expire
///
/// Other engines see the name too. Without --at it is the newest snapshot that gets it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright tag medicine.visit_daily year-end-2026 --keep 3650d
  lakewright tag medicine.visit_daily before-fix --at 2026-01-31T18:00:00Z
  lakewright tag medicine.visit_daily --list
  lakewright tag medicine.visit_daily --delete before-fix")]
pub(super) struct Tag {
    /// The table, `namespace.table`
    table: TableId,

    /// The name: letters, digits, `_`, `-` and `.`, the first a letter
    #[arg(required_unless_present_any = ["list", "delete"])]
    name: Option<TagName>,

    /// The snapshot, a time, or another name
    #[arg(long, value_name = "MOMENT", requires = "name")]
    at: Option<At>,

    /// For how long the snapshot is kept, like `365d` or `12h`; as the table's properties say when left out
    #[arg(long, value_name = "TIME", requires = "name", value_parser = parse_keep)]
    keep: Option<Duration>,

    /// Move a tag that is there already
    #[arg(long, requires = "name")]
    replace: bool,

    /// Show all tags and branches
    #[arg(long, conflicts_with_all = ["name", "delete"])]
    list: bool,

    /// Take this tag away
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    delete: Option<TagName>,

    /// How the list is written
    #[arg(long, default_value = "text", requires = "list")]
    format: Format,

    #[command(flatten)]
    project: ProjectArguments,
}

impl Tag {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let engine = self.project.engine_to_look()?;
        interruptible(|_| async move {
            let done = match (&self.name, &self.delete) {
                (Some(name), _) => self.set(&engine, name).await,
                (None, Some(name)) => self.delete(&engine, name).await,
                (None, None) => self.list(&engine).await,
            };
            engine.close().await;
            done
        })
        .await
    }

    async fn set(&self, engine: &Engine, name: &TagName) -> Result<(), Failure> {
        let tagged = engine.tag(&self.table, name, self.at.as_ref(), self.keep, self.replace);
        let moment = render::history::moment(&tagged.await?);
        screen::answer(&format!("{}: tag {name} is {moment}\n", self.table))
    }

    async fn delete(&self, engine: &Engine, name: &TagName) -> Result<(), Failure> {
        engine.delete_tag(&self.table, name).await?;
        screen::answer(&format!("{}: tag {name} is gone\n", self.table))
    }

    async fn list(&self, engine: &Engine) -> Result<(), Failure> {
        let history = engine.history(&self.table).await?;
        match self.format {
            Format::Text => screen::answer(&render::history::references(&history)),
            Format::Json => {
                let references = history.references.iter();
                let json: Vec<_> = references.map(render::history::reference_json).collect();
                screen::answer(&format!("{:#}\n", serde_json::Value::Array(json)))
            }
        }
    }
}

/// Reads `365d` or `12h`.
fn parse_keep(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time to keep: write it like `365d` or `12h`");
    let (number, hours) = match text.strip_suffix('d') {
        Some(days) => (days, 24),
        None => (text.strip_suffix('h').ok_or_else(wrong)?, 1),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(hours)
        .filter(|hours| (1..=MAX_DAYS * 24).contains(hours))
        .map(Duration::from_hours)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_keep() {
        assert_eq!(parse_keep("2d"), Ok(Duration::from_hours(48)));
        assert_eq!(parse_keep("12h"), Ok(Duration::from_hours(12)));
        for bad in [
            "",
            "d",
            "0d",
            "1",
            "1w",
            "-1d",
            "99999999999999999999d",
            "1.5d",
            "999999999d",
        ] {
            assert!(parse_keep(bad).is_err(), "{bad}");
        }
    }
}
