//! What one run will do, sealed: steps in order, what each reads and writes, and a fingerprint.
//!
//! Made from the graph and from facts that somebody else looked up; making it does no I/O. It holds everything that a
//! run needs except connections and secrets, so that it can be kept as a file and run later; the fingerprint says
//! whether the world is still the one it was made for.

mod change;
mod facts;
mod fingerprint;
mod make;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use change::{Change, Difference};
pub use facts::{ExtractFacts, Facts, Layout, TableFacts};
pub use fingerprint::Fingerprint;

use crate::model::{
    ConnectionName, From, LoadMode, Nulls, OnSchemaChange, PipelineId, Renames, Rule, Splits,
    StepName, TableRef, Target,
};

/// What one run of one pipeline will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// What the pipeline's spec said when the plan was made.
    pub spec: Fingerprint,
    /// The steps, each after all that it reads.
    pub steps: Vec<PlannedStep>,
    /// Whether the tables of the lake become visible in one step, all or none; not part of the fingerprint.
    #[serde(default)]
    pub publishes_together: bool,
    /// Whether tables of the lake become visible only once the audits of the loads hold.
    #[serde(default)]
    pub audits: bool,
    /// Of everything above that decides what the run does.
    pub fingerprint: Fingerprint,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name.
    pub name: StepName,
    /// The steps whose rows it reads, checks resolved.
    pub inputs: Vec<StepName>,
    /// The steps that read its rows.
    pub readers: Vec<StepName>,
    /// The columns of its rows; of what it writes, for a load.
    pub columns: Vec<Column>,
    /// What it does.
    pub action: Action,
}

/// A column, its type in Iceberg's words: `decimal(15, 2)`, `timestamptz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub r#type: String,
    /// Whether it is never NULL.
    pub required: bool,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Reads a source.
    Extract(PlannedExtract),
    /// Computes rows.
    Transform(PlannedTransform),
    /// Holds rows against rules.
    Check(PlannedCheck),
    /// Writes a table.
    Load(PlannedLoad),
}

/// Reads a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedExtract {
    /// Where from.
    pub connection: ConnectionName,
    /// The table or query.
    pub from: From,
    /// The columns asked for; all when empty.
    pub projection: Vec<String>,
    /// The rows that are new; `None` for all of them.
    pub window: Option<PlannedWindow>,
    /// How the read is to be cut.
    pub splits: Splits,
    /// How the source said it would read, for people; not part of the fingerprint.
    pub how: String,
    /// `options:` of the extract.
    pub options: serde_json::Value,
}

/// The rows of a source that are new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedWindow {
    /// The watermark column; `None` for files.
    pub column: Option<String>,
    /// Whether the source tells which rows changed, deleted ones too.
    #[serde(default)]
    pub changes: bool,
    /// Where the last read ended, in the connector's form of a watermark; `None` on the first run.
    pub last: Option<serde_json::Value>,
    /// Where this read starts: `last`, less the lag.
    pub after: Option<serde_json::Value>,
    /// Where it ends.
    pub until: Option<serde_json::Value>,
    /// How rows are neither lost nor doubled at the edge.
    pub edge: WindowEdge,
    /// What becomes of rows whose watermark is NULL.
    pub nulls: Nulls,
}

/// How rows at the lower edge of a window are neither lost nor doubled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowEdge {
    /// The watermark is unique: rows after the last one are new.
    Exclusive,
    /// Rows from the edge on are read again, and those that the table has with the same key and watermark are left out.
    Inclusive {
        /// The columns that make a row known again, the watermark among them.
        key: Vec<String>,
    },
    /// Files that were read are known by name and etag.
    Files,
}

/// Computes rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTransform {
    /// The query.
    pub sql: String,
    /// The lake tables that it reads, each with the snapshot that it reads.
    pub tables: BTreeMap<TableRef, Option<i64>>,
}

/// Holds rows against rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCheck {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Where rows go that a `quarantine` rule takes out.
    pub quarantine: Option<TableRef>,
}

/// Writes a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedLoad {
    /// Where to.
    pub target: Target,
    /// How rows meet what is there.
    pub mode: LoadMode,
    /// What becomes of the table's columns.
    pub change: Change,
    /// The snapshot that the plan was made on; `None` where there is none.
    pub base: Option<i64>,
    /// Partition fields.
    pub partition_by: Vec<String>,
    /// Sort fields.
    pub sort_by: Vec<String>,
    /// Iceberg table properties.
    pub properties: BTreeMap<String, String>,
    /// About how large a data file is to be.
    pub target_file_bytes: Option<u64>,
    /// What was allowed to change.
    pub on_schema_change: OnSchemaChange,
    /// Columns that have another name than before: the old name, by the new one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed_from: Renames,
    /// What must be true of the table before readers see the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audit: Vec<Rule>,
    /// The extracts whose watermarks the commit carries.
    pub watermarks_of: Vec<StepName>,
    /// `options:` of the load.
    pub options: serde_json::Value,
}

impl Plan {
    /// The tables of the lake that the run writes, also those for rows that are set aside.
    pub fn lake_tables(&self) -> impl Iterator<Item = &TableRef> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Load(PlannedLoad { change, .. }) if change.is_idle() => None,
            Action::Load(PlannedLoad {
                target: Target::Lake(table),
                ..
            }) => Some(table),
            Action::Check(check) => check.quarantine.as_ref(),
            Action::Extract(_) | Action::Transform(_) | Action::Load(_) => None,
        })
    }

    /// The step of this name.
    pub fn step(&self, name: &StepName) -> Option<&PlannedStep> {
        self.steps.iter().find(|step| step.name == *name)
    }
}
