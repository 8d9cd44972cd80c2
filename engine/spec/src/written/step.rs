//! The steps of a pipeline. A step has a name and exactly one of `extract`, `transform`, `check`, `load`.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::MaintenanceSpec;
use crate::read::{At, Named, Raw};

/// A step: a name, and exactly one of `extract`, `transform`, `check`, `load`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepSpec {
    /// Its name, unique in the pipeline; SQL reads its rows by this name.
    pub(crate) name: At<String>,
    /// What it does, for readers.
    #[serde(default)]
    #[expect(dead_code, reason = "for readers of the spec")]
    pub(crate) description: Option<String>,
    /// Steps that must have ended before this one starts. Only for order without data: what a step reads comes first anyway.
    #[serde(default)]
    pub(crate) after: Vec<At<String>>,
    /// Reads a source.
    #[serde(default)]
    pub(crate) extract: Option<At<ExtractSpec>>,
    /// Computes rows with SQL.
    #[serde(default)]
    pub(crate) transform: Option<At<TransformSpec>>,
    /// Holds the rows of a step against rules.
    #[serde(default)]
    pub(crate) check: Option<At<CheckSpec>>,
    /// Writes rows to a table.
    #[serde(default)]
    pub(crate) load: Option<At<LoadSpec>>,
}

/// Reads a source: a table, or the answer of a query.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtractSpec {
    /// The connection's name.
    pub(crate) connection: At<String>,
    /// The table, or for files a path with `*`, `?`, `**`, as the connector writes it.
    #[serde(default)]
    pub(crate) table: Option<At<String>>,
    /// A query in the source's own language, in place of `table`.
    #[serde(default)]
    pub(crate) query: Option<At<QuerySpec>>,
    /// The columns to read. Left out: all.
    #[serde(default)]
    pub(crate) columns: Vec<At<String>>,
    /// All rows each time, or those that are new. Left out: `full`.
    #[serde(default)]
    pub(crate) mode: Option<At<ExtractModeSpec>>,
    /// How the read is cut into parts that are read at the same time. Left out: the connector chooses.
    #[serde(default)]
    pub(crate) splits: Option<SplitsSpec>,
    /// What the connector needs to know about this read; every connector has options of its own.
    #[serde(default)]
    pub(crate) options: Option<At<Raw>>,
}

/// A query in the source's own language.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QuerySpec {
    /// A `.sql` file, relative to this file.
    File(At<String>),
    /// The text itself.
    Sql(At<String>),
}

/// All rows each time, or those that are new.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = incremental_as_a_word)]
pub(crate) enum ExtractModeSpec {
    /// All rows, each time.
    Full,
    /// Rows or files that were not read before. The bare word is enough where files are read.
    Incremental(IncrementalSpec),
    /// Rows that changed since the last read, deleted ones too, where the source tracks them: SQL Server's change tracking.
    ChangeTracking,
    /// Change data capture. Not supported yet.
    Cdc,
}

/// A mapping or the bare word.
fn incremental_as_a_word(schema: &mut Schema) {
    as_a_word(schema, "incremental", "Files that were not read before.");
}

/// Choices that are a mapping where more is said, and else the bare word.
fn modes_as_words(schema: &mut Schema) {
    as_a_word(schema, "append", "Rows are added.");
    as_a_word(schema, "replace", "Rows become the whole content.");
}

fn as_a_word(schema: &mut Schema, word: &str, description: &str) {
    if let Some(choices) = schema
        .get_mut("oneOf")
        .and_then(serde_json::Value::as_array_mut)
    {
        choices.push(serde_json::json!({
            "description": description, "type": "string", "const": word
        }));
    }
}

/// How new rows are known.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncrementalSpec {
    /// The column that grows. Left out only where new files are what is new.
    #[serde(default)]
    pub(crate) watermark: Option<At<String>>,
    /// How far before the last watermark reading starts again: a duration for times (`5m`), a number for numbers.
    #[serde(default)]
    pub(crate) lag: Option<At<LagSpec>>,
    /// The columns that make a row known again when it is read twice.
    #[serde(default)]
    pub(crate) key: Vec<At<String>>,
    /// Whether no two rows share a watermark, and none appears below one that was read.
    #[serde(default)]
    pub(crate) unique: bool,
    /// What becomes of rows whose watermark is NULL.
    #[serde(default)]
    pub(crate) nulls: NullsSpec,
}

/// A lag as it was written: `5m`, `100`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(extend("type" = ["string", "integer"]))]
pub(crate) struct LagSpec(pub(crate) String);

impl<'de> Deserialize<'de> for LagSpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl serde::de::Visitor<'_> for Written {
            type Value = LagSpec;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration or a whole number")
            }

            fn visit_str<E>(self, text: &str) -> Result<LagSpec, E> {
                Ok(LagSpec(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<LagSpec, E> {
                Ok(LagSpec(number.to_string()))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// What becomes of rows whose watermark is NULL.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NullsSpec {
    /// The run fails and names the column.
    #[default]
    Fail,
    /// They are left out.
    Skip,
    /// They are read every time, and known again by their key.
    Read,
}

/// How a read is cut into parts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitsSpec {
    /// The column to cut by.
    #[serde(default)]
    pub(crate) by: Option<At<String>>,
    /// About this many rows a part.
    #[serde(default)]
    pub(crate) target_rows: Option<At<u64>>,
}

/// A query over the pipeline's steps (`from visit`) and the lake's tables (`from medicine.ward`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TransformSpec {
    /// A `.sql` file, relative to this file.
    File(At<String>),
    /// The text itself.
    Sql(At<String>),
}

/// Holds the rows of a step against rules; who reads that step gets what passes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckSpec {
    /// The step whose rows are checked.
    pub(crate) on: At<String>,
    /// The rules, in order.
    pub(crate) rules: At<Vec<RuleSpec>>,
    /// The table that gets rows which a `quarantine` rule takes out. Left out: the loaded table's name with `_quarantine`.
    #[serde(default)]
    pub(crate) quarantine: Option<At<String>>,
}

/// One expectation.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSpec {
    /// Its name, shown when it fails.
    pub(crate) name: At<String>,
    /// An SQL condition on a row (`ward_id IS NOT NULL`) or on all rows together (`count(*) > 0`).
    pub(crate) expect: At<String>,
    /// What happens when it is not true.
    pub(crate) otherwise: At<OtherwiseSpec>,
}

/// What happens to a row, or a run, that fails a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OtherwiseSpec {
    /// It is counted and goes on.
    Warn,
    /// The row is left out.
    Drop,
    /// The row goes to a table beside, with the reason.
    Quarantine,
    /// The run fails and commits nothing.
    Fail,
}

/// Writes the rows of a step to a table of the lake, or of a connection.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadSpec {
    /// The step whose rows are written.
    pub(crate) from: At<String>,
    /// The table: `namespace.table` of the lake, or with `connection` as the connector writes it.
    pub(crate) table: At<String>,
    /// The connection to write to. Left out: the lake.
    #[serde(default)]
    pub(crate) connection: Option<At<String>>,
    /// How rows meet what is there.
    pub(crate) mode: At<LoadModeSpec>,
    /// Partition fields: `month(visit_date)`, `bucket(16, id)`, `region`.
    #[serde(default)]
    pub(crate) partition_by: Vec<At<String>>,
    /// Sort fields: `visit_date`, `amount desc`.
    #[serde(default)]
    pub(crate) sort_by: Vec<At<String>>,
    /// Iceberg table properties.
    #[serde(default)]
    pub(crate) properties: Named<String>,
    /// About how large a data file is to be: `256MiB`.
    #[serde(default)]
    pub(crate) target_file_size: Option<At<String>>,
    /// What happens when the rows' columns differ from the table's.
    #[serde(default)]
    pub(crate) on_schema_change: Option<SchemaChangeSpec>,
    /// What must be true of the table before readers see the rows; with `publish: { mode: audit }` of the pipeline. Conditions
    /// on all rows of the table; `previous(count(*))` is what `count(*)` was before this run.
    #[serde(default)]
    pub(crate) audit: Option<At<Vec<RuleSpec>>>,
    /// How the table is kept in shape.
    #[serde(default)]
    pub(crate) maintenance: Option<MaintenanceSpec>,
    /// Columns that have another name than before, new name first: `{ ward_code: ward_id }`. The table's column is renamed
    /// and keeps its values; where it has the new name already, nothing happens.
    #[serde(default)]
    pub(crate) renamed_from: Named<At<String>>,
    /// What the connector needs to know about this write; every connector has options of its own.
    #[serde(default)]
    pub(crate) options: Option<At<Raw>>,
}

/// How rows meet what is there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(transform = modes_as_words)]
pub(crate) enum LoadModeSpec {
    /// Rows are added: all of them, or those that are new. The bare word is enough for all.
    Append(AppendSpec),
    /// Rows become the whole content, or that of a part. The bare word is enough for the whole.
    Replace(ReplaceSpec),
    /// Rows become the whole content of the partitions that they fall into; others stay as they are.
    ReplacePartitions,
    /// Rows are inserted, or update the row with the same key.
    Merge(MergeSpec),
    /// Rows make the table and fill it. Where it is there, nothing is read for it and nothing loaded.
    CreateOnly,
}

impl LoadModeSpec {
    /// Whether every row that comes is added, also one that came before.
    pub(crate) const fn adds_every_row(&self) -> bool {
        matches!(self, Self::Append(AppendSpec { dedupe: None }))
    }
}

/// Which rows are added.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppendSpec {
    /// Only those that the table does not have. Left out: all.
    #[serde(default)]
    pub(crate) dedupe: Option<At<DedupeSpec>>,
}

/// How a row is known that the table has already.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DedupeSpec {
    /// The columns by which a row is known.
    pub(crate) key: Vec<At<String>>,
    /// Of several rows of one run with one key, the one with the least value in this column is added.
    #[serde(default)]
    pub(crate) by: Option<At<String>>,
    /// Rows with one key are the same only where the times in `by` lie no further apart: `30d`. Left out: however far.
    #[serde(default)]
    pub(crate) within: Option<At<String>>,
}

/// What rows take the place of.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplaceSpec {
    /// An SQL condition on rows of the table: those for which it is true go, and it must be true for all that come. Left
    /// out: all rows go.
    #[serde(default)]
    pub(crate) r#where: Option<At<String>>,
}

/// Which rows are the same, and what becomes of those that differ.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergeSpec {
    /// The columns of the key: no two rows of the table share their values.
    pub(crate) key: Vec<At<String>>,
    /// Of several rows with one key, the one with the greatest value in this column counts. Left out: they are an error.
    #[serde(default)]
    pub(crate) latest_by: Option<At<String>>,
    /// Which rows of the table go. Left out: none.
    #[serde(default)]
    pub(crate) deletes: Option<At<DeletesSpec>>,
    /// How files that hold changed rows are written. Left out: as suits each file, by how many of its rows change.
    #[serde(default)]
    pub(crate) write: Option<At<MergeWriteSpec>>,
    /// How earlier states of a row are kept. Left out: they are not.
    #[serde(default)]
    pub(crate) history: Option<At<HistorySpec>>,
}

/// Which rows of a table a merge deletes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum DeletesSpec {
    /// Those whose key is not among the rows that were read, which must be all that there are.
    ByAbsence,
    /// Those whose key a row has that says so.
    Flagged {
        /// An SQL condition on a row: `op = 'D'`.
        when: At<String>,
        /// Columns that only say so, and are not written to the table.
        #[serde(default)]
        without: Vec<At<String>>,
    },
}

/// How files that hold changed rows are written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MergeWriteSpec {
    /// They are written again with the changes: reading stays as fast as it was.
    CopyOnWrite,
    /// They stay, with a list of the rows that count no more: a merge costs little, reading a little more.
    MergeOnRead,
}

/// How earlier states of a row are kept.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HistorySpec {
    /// A row for every state, with the time it was valid: `valid_from`, `valid_to`, `is_current` beside the columns of the
    /// rows. Times are those in `latest_by`.
    Scd2,
}

/// What happens when the rows' columns differ from the table's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SchemaChangeSpec {
    /// A column that the table does not have. `accept` when left out.
    #[serde(default)]
    pub(crate) add: Option<At<ReactionSpec>>,
    /// A column whose type holds more than the table's. `accept` when left out.
    #[serde(default)]
    pub(crate) widen: Option<At<ReactionSpec>>,
    /// A column whose type holds less than the table's, or something else. `reject` when left out.
    #[serde(default)]
    pub(crate) narrow: Option<At<ReactionSpec>>,
    /// A column that the rows no longer have. `keep` when left out; with `accept` it leaves the table, and only earlier
    /// snapshots have it.
    #[serde(default)]
    pub(crate) drop: Option<At<ReactionSpec>>,
    /// A column that is never NULL in the table, and may be in the rows. `accept` when left out.
    #[serde(default)]
    pub(crate) relax: Option<At<ReactionSpec>>,
    /// Columns in another order than the table's. `keep` when left out; with `accept` the table gets the order of the
    /// rows, and columns that only the table has come last.
    #[serde(default)]
    pub(crate) reorder: Option<At<ReactionSpec>>,
    /// A `partition_by` that is not how the table is cut. `reject` when left out; with `accept` files are cut by it from
    /// now on, and those that are there stay as they are.
    #[serde(default)]
    pub(crate) partition: Option<At<RepartitionSpec>>,
}

/// What a load does about a table that is cut in another way.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RepartitionSpec {
    /// The table is cut in this way from now on, in the same commit as the data.
    Accept,
    /// The run fails before it writes.
    Reject,
}

/// What a load does about one kind of difference.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReactionSpec {
    /// The table changes, in the same commit as the data.
    Accept,
    /// The run fails before it writes.
    Reject,
    /// The table stays as it is.
    Keep,
}
