//! The four kinds of step: extract, transform, check, load.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ColumnName, ConnectionName, StepName, TableRef};

/// A node of a pipeline's DAG.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its name, by which other steps read its rows.
    pub name: StepName,
    /// Steps that must have ended before this one starts, without data between them.
    pub after: Vec<StepName>,
    /// What it does.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum StepKind {
    /// Reads a source.
    Extract(Extract),
    /// Computes rows with SQL.
    Transform(Transform),
    /// Holds rows against rules; those who read the checked step get what passes.
    Check(Check),
    /// Writes rows to a table.
    Load(Load),
}

/// Reads a source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Extract {
    /// Where from.
    pub connection: ConnectionName,
    /// The table or query.
    pub from: From,
    /// The columns wanted; all when empty.
    pub columns: Vec<ColumnName>,
    /// All rows, or those that are new.
    pub mode: ExtractMode,
    /// How the read is cut.
    pub splits: Splits,
    /// `options:` as written, checked against the connector.
    pub options: serde_json::Value,
}

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// A table, or files by pattern.
    Table(String),
    /// The answer of a query; the text, wherever it was written.
    Query(String),
}

/// All rows, or those that are new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ExtractMode {
    /// All rows, each time.
    Full,
    /// Rows or files that were not read before.
    Incremental(WatermarkBy),
}

/// How new rows are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkBy {
    /// The column that grows; `None` where new files are what is new.
    pub column: Option<ColumnName>,
    /// Whether the source tells which rows changed, deleted ones too: `column` is the version of the change.
    pub changes: bool,
    /// How far before the last watermark reading starts again.
    pub lag: Option<Lag>,
    /// The columns that make a row known again when it is read twice.
    pub key: Vec<ColumnName>,
    /// Whether no two rows share a watermark and none appears below one that was read.
    pub unique: bool,
    /// What becomes of rows whose watermark is NULL.
    pub nulls: Nulls,
}

/// How far before the last watermark reading starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lag {
    /// Of a time.
    Time(Duration),
    /// Of a number.
    Number(u64),
}

/// What becomes of rows whose watermark is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// The run fails and names the column.
    #[default]
    Fail,
    /// They are left out.
    Skip,
    /// They are read every time, and known again by their key.
    Read,
}

/// How a read is cut.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Splits {
    /// The column to cut by; the connector chooses when `None`.
    pub by: Option<ColumnName>,
    /// About this many rows a split.
    pub target_rows: Option<u64>,
}

/// Computes rows with SQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transform {
    /// The query; the text, wherever it was written.
    pub sql: String,
    /// The steps of this pipeline that it reads.
    pub reads: Vec<StepName>,
    /// The lake tables that it reads.
    pub tables: Vec<TableRef>,
}

/// Holds rows against rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whose rows.
    pub on: StepName,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The table that gets the rows which a `quarantine` rule took out; `None` where there is no such rule.
    pub quarantine: Option<TableRef>,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name, shown when it fails.
    pub name: String,
    /// The SQL condition that must be true (false and NULL both fail).
    pub expect: String,
    /// Whether the condition is about all rows together (`count(*) > 0`) and not about each.
    pub aggregate: bool,
    /// What happens when it is not.
    pub otherwise: Otherwise,
}

/// What happens to a row, or a run, that fails a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// It is counted and goes on.
    Warn,
    /// The row is left out.
    Drop,
    /// The row goes to a table beside, with the reason.
    Quarantine,
    /// The run fails and commits nothing.
    Fail,
}

/// Writes rows to a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Whose rows.
    pub from: StepName,
    /// Where to.
    pub target: Target,
    /// How they meet what is there.
    pub mode: LoadMode,
    /// Partition fields as written: `month(visit_date)`; empty for none.
    pub partition_by: Vec<String>,
    /// Sort fields as written: `visit_date desc`; empty for none.
    pub sort_by: Vec<String>,
    /// Iceberg table properties.
    pub properties: BTreeMap<String, String>,
    /// About how large a data file is to be, in bytes.
    pub target_file_bytes: Option<u64>,
    /// What happens when the rows' columns differ from the table's.
    pub on_schema_change: OnSchemaChange,
    /// Columns that have another name than before: the old name, by the new one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed_from: Renames,
    /// What must be true of the table before readers see the rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audit: Vec<Rule>,
    /// `options:` as written, checked against the connector.
    pub options: serde_json::Value,
}

/// The old names of columns, by their new ones.
pub type Renames = BTreeMap<ColumnName, ColumnName>;

/// Where a load writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A table of the lake.
    Lake(TableRef),
    /// A table or path of a connection.
    Connection {
        /// The connection.
        connection: ConnectionName,
        /// The table or path, in the connector's way of writing it.
        table: String,
    },
}

/// How rows meet what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadMode {
    /// Rows are added.
    Append,
    /// Rows are added that the table does not have.
    AppendNew(Dedupe),
    /// Rows become the whole content.
    Replace,
    /// Rows take the place of those for which this SQL condition is true, as it is for all that come.
    ReplaceWhere(String),
    /// Rows become the whole content of the partitions that they fall into.
    ReplacePartitions,
    /// Rows are inserted, or update the row with the same key.
    Merge(Merge),
    /// Rows make the table and fill it. Where it is there, nothing is loaded.
    CreateOnly,
}

/// How a row is known that a table has already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedupe {
    /// The columns of the key.
    pub key: Vec<ColumnName>,
    /// Of several rows with one key, the one with the least value in this column is added.
    pub by: Option<ColumnName>,
    /// How far apart the times in `by` may lie for rows with one key to be the same; however far when `None`. `by` is
    /// there where this is.
    pub within: Option<Duration>,
}

/// Which rows are the same, and what becomes of those that differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// The columns of the key.
    pub key: Vec<ColumnName>,
    /// Of several rows with one key, the one with the greatest value in this column counts; `None` where that is an
    /// error.
    pub latest_by: Option<ColumnName>,
    /// Which rows of the table go.
    pub deletes: Deletes,
    /// How files that hold changed rows are written.
    pub write: MergeWrite,
    /// Whether earlier states of a row are kept, each as a row of its own, with [`VALID_FROM`], [`VALID_TO`] and
    /// [`IS_CURRENT`]; `latest_by` is there then.
    pub history: bool,
}

/// The column that tells from when on a row was so, where history is kept.
pub const VALID_FROM: &str = "valid_from";
/// The column that tells since when a row is so no more; NULL while it is.
pub const VALID_TO: &str = "valid_to";
/// The column that tells whether a row is so now.
pub const IS_CURRENT: &str = "is_current";

/// Which rows of a table a merge deletes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletes {
    /// None.
    Never,
    /// Those whose key is not among the rows.
    ByAbsence,
    /// Those whose key a row has for which a condition is true.
    Flagged {
        /// The condition, in SQL.
        when: String,
        /// Columns that are not written to the table.
        without: Vec<ColumnName>,
    },
}

impl Deletes {
    /// Columns of the rows that are not written to the table.
    pub fn without(&self) -> &[ColumnName] {
        match self {
            Self::Flagged { without, .. } => without,
            Self::Never | Self::ByAbsence => &[],
        }
    }
}

/// How files that hold changed rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeWrite {
    /// As suits each: again where it is small or has lost many rows, else as merge on read.
    #[default]
    ByFile,
    /// Again, with the changes.
    CopyOnWrite,
    /// Not at all: position deletes list the rows that count no more.
    MergeOnRead,
}

/// What happens when the rows' columns differ from the table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnSchemaChange {
    /// A column that the table does not have.
    pub add: Reaction,
    /// A column whose type holds more than the table's.
    pub widen: Reaction,
    /// A column whose type holds less than the table's, or something else.
    pub narrow: Reaction,
    /// A column that the rows no longer have.
    pub drop: Reaction,
    /// A column that is never NULL in the table, and may be in the rows.
    #[serde(default = "accept")]
    pub relax: Reaction,
    /// Columns in another order.
    #[serde(default = "keep")]
    pub reorder: Reaction,
    /// A table that is cut in another way.
    #[serde(default = "reject")]
    pub partition: Reaction,
}

// Plans that were recorded before these could be said mean what was done then.
const fn accept() -> Reaction {
    Reaction::Accept
}

const fn keep() -> Reaction {
    Reaction::Keep
}

const fn reject() -> Reaction {
    Reaction::Reject
}

/// What a load does about one kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// The table changes, in the same commit as the data.
    Accept,
    /// The run fails before it writes.
    Reject,
    /// The table stays as it is.
    Keep,
}

impl Default for OnSchemaChange {
    fn default() -> Self {
        Self {
            add: Reaction::Accept,
            widen: Reaction::Accept,
            narrow: Reaction::Reject,
            drop: Reaction::Keep,
            relax: Reaction::Accept,
            reorder: Reaction::Keep,
            partition: Reaction::Reject,
        }
    }
}
