//! The history of lake tables: what their snapshots are, and what can be done with them.
//!
//! Looks at tables through `lake` and changes at most which snapshot a name means. Only `rollback` knows pipelines: it
//! must, since a table remembers how far its pipelines have read.

mod as_of;
mod diff;
mod next_run;
mod rollback;

use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use spec::model::{Load, LoadMode, Pipeline, Step, StepKind, Target};

pub use self::as_of::{Answer, AsOf};
pub use self::diff::{Diff, DiffCounts};
pub use self::next_run::{Ahead, NextRead};
pub use self::rollback::Rollback;
use crate::engine::Engine;
use crate::lake::{At, LakeTable, Moment, Reference, SnapshotInfo, TableId, TagName};
use crate::open::table_id;

/// The most tables that a message lists.
const LISTED: usize = 10;

/// What there is of a table.
#[derive(Clone, Debug)]
pub struct History {
    /// All snapshots, the newest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// The names that snapshots have.
    pub references: Vec<Reference>,
}

impl Engine {
    /// The snapshots of a table and their names.
    pub async fn history(&self, table: &TableId) -> Result<History> {
        let table = self.lake_table(table).await?;
        Ok(History {
            snapshots: table.snapshots(),
            references: table.references()?,
        })
    }

    /// Gives the snapshot that `at` means, the newest when it is `None`, a name; which one it was.
    pub async fn tag(
        &self,
        table: &TableId,
        name: &TagName,
        at: Option<&At>,
        keep: Option<Duration>,
        replace: bool,
    ) -> Result<Moment> {
        let found = self.lake_table(table).await?;
        let moment = match at {
            Some(at) => found.moment(at)?,
            None => found.newest()?,
        };
        let lake = self.lake().await?;
        lake.set_tag(table, name, moment.snapshot, keep, replace)
            .await?;
        Ok(moment)
    }

    /// Takes a tag away. Its snapshot stays until it expires.
    pub async fn delete_tag(&self, table: &TableId, name: &TagName) -> Result<()> {
        self.lake_table(table).await?;
        self.lake().await?.delete_tag(table, name).await
    }

    /// A table that must be there.
    async fn lake_table(&self, id: &TableId) -> Result<LakeTable> {
        let lake = self.lake().await?;
        if let Some(found) = lake.table(id).await? {
            return Ok(found);
        }
        let names = lake.tables().await?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let error = Error::new(ErrorKind::NotFound, format!("the lake has no table `{id}`"));
        let near = spec::nearest(&id.to_string(), names.iter().map(String::as_str));
        Err(match near {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(listed(&names)),
        })
    }

    /// The loads of the project that write a table, each with its step and pipeline.
    pub(crate) fn loads_of(
        &self,
        table: &TableId,
    ) -> impl Iterator<Item = (&Pipeline, &Step, &Load)> {
        let loads = self.project().pipelines.values().flat_map(|pipeline| {
            let steps = pipeline.steps.iter();
            steps.filter_map(move |step| match &step.kind {
                StepKind::Load(load) => Some((pipeline, step, load)),
                _ => None,
            })
        });
        loads.filter(move |(_, _, load)| {
            matches!(&load.target, Target::Lake(name) if table_id(name) == *table)
        })
    }

    /// The key by which the project merges rows into a table, where it does.
    fn merge_key(&self, table: &TableId) -> Option<Vec<String>> {
        self.loads_of(table)
            .find_map(|(_, _, load)| match &load.mode {
                LoadMode::Merge(merge) => Some(merge.key.clone()),
                _ => None,
            })
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "it has none yet: run a pipeline that loads one".to_owned();
    }
    let shown: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(LISTED) {
        0 => format!("it has {}", shown.join(", ")),
        more => format!("it has {} and {more} more", shown.join(", ")),
    }
}
