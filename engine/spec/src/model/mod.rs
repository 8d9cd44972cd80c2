//! What may run: the checked form of everything a project says.
//!
//! Only `check` makes these; nothing here can refer to something that does not exist. Knows nothing of files, text
//! positions or YAML (see `written` for what was written) and nothing of how things run.

mod connection;
mod maintenance;
mod name;
mod pipeline;
mod project;
mod schedule;
mod step;

pub use connection::{Connection, Limits, TimeWindow};
pub use maintenance::{Compact, Expire, Maintenance, Orphans};
pub use name::{
    ColumnName, ConnectionName, DomainName, NameError, PipelineId, PipelineName, StepName, TableRef,
};
pub use pipeline::{Backoff, Pipeline, Retry};
pub use project::{Catalog, Domain, Lake, Project, S3Place, SecretRef, StateStore, Warehouse};
pub use schedule::{Catchup, Cron, Overlap, Schedule};
pub use step::{
    Check, Dedupe, Deletes, Extract, ExtractMode, From, IS_CURRENT, Lag, Load, LoadMode, Merge,
    MergeWrite, Nulls, OnSchemaChange, Otherwise, Reaction, Renames, Rule, Splits, Step, StepKind,
    Target, Transform, VALID_FROM, VALID_TO, WatermarkBy,
};
