//! What a plan needs to know of the world, as plain values. Whoever can do I/O looks them up.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Column, PlannedWindow};
use crate::model::{LoadMode, Pipeline, Step, StepKind, StepName, TableRef};

/// What a plan needs to know of the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Of each extract.
    pub extracts: BTreeMap<StepName, ExtractFacts>,
    /// The columns of each transform.
    pub transforms: BTreeMap<StepName, Vec<Column>>,
    /// What each load writes to, by the load's name.
    pub targets: BTreeMap<StepName, TableFacts>,
    /// The newest snapshot of each lake table that a transform reads.
    pub snapshots: BTreeMap<TableRef, Option<i64>>,
    /// Loads that have what the others of their extract still lack: nothing is loaded before those stand there too.
    pub ahead: BTreeSet<StepName>,
    /// Whether the catalog can change all tables that the run writes in one step.
    pub publishes_together: bool,
}

impl Facts {
    /// The loads that leave their tables as they are.
    pub fn idle(&self, pipeline: &Pipeline) -> BTreeSet<StepName> {
        let mut idle = self.kept(pipeline);
        idle.extend(self.ahead.iter().cloned());
        idle
    }

    /// The loads that only make their table, of those tables that are there.
    pub fn kept(&self, pipeline: &Pipeline) -> BTreeSet<StepName> {
        let is_kept = |step: &&Step| {
            let filled = self.targets.get(&step.name);
            matches!(&step.kind, StepKind::Load(load) if load.mode == LoadMode::CreateOnly)
                && filled.is_some_and(|table| table.snapshot.is_some())
        };
        let steps = pipeline.steps.iter().filter(is_kept);
        steps.map(|step| step.name.clone()).collect()
    }
}

/// What a source says of one read.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtractFacts {
    /// The columns it returns.
    pub columns: Vec<Column>,
    /// The rows that are new; `None` for a full read.
    pub window: Option<PlannedWindow>,
    /// How it would be read, in one line.
    pub how: String,
}

/// What is there where a load writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// The columns; `None` where there is no such table.
    pub columns: Option<Vec<Column>>,
    /// The newest snapshot.
    pub snapshot: Option<i64>,
    /// How the table is cut, where the load says otherwise.
    pub partitions: Option<Layout>,
    /// How the table is sorted, where the load says otherwise.
    pub order: Option<Layout>,
}

/// How a table is cut or sorted, and how it is to be: fields as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// As it is.
    pub from: Vec<String>,
    /// As it will be.
    pub to: Vec<String>,
}
