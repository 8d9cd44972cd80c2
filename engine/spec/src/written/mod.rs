//! What was written: specs as their files say them, typed and unchecked.
//!
//! Every field's comment is its description in the JSON Schema. Only closed choices are enums, and those are externally
//! tagged: `flatten`, `untagged` and inner tags lose places. Knows nothing of what may run (see `model`).

mod connection;
mod domain;
mod maintenance;
mod pipeline;
mod project;
mod secret;
mod step;

pub(crate) use connection::{ConnectionSpec, LimitsSpec, WindowSpec};
pub(crate) use domain::DomainSpec;
pub(crate) use maintenance::{CompactSpec, ExpireSpec, MaintenanceSpec, OrphansSpec};
pub(crate) use pipeline::{
    CatchupSpec, OverlapSpec, PipelineSpec, PublishModeSpec, PublishTablesSpec, ScheduleSpec,
};
pub(crate) use project::{
    CatalogSpec, DefaultsSpec, EnvironmentSpec, LakeSpec, ProjectSpec, RetrySpec, S3Spec,
    StateSpec, WarehouseSpec,
};
pub(crate) use secret::SecretSpec;
pub(crate) use step::{
    CheckSpec, DedupeSpec, DeletesSpec, ExtractModeSpec, ExtractSpec, IncrementalSpec,
    LoadModeSpec, LoadSpec, MergeSpec, MergeWriteSpec, NullsSpec, OtherwiseSpec, QuerySpec,
    ReactionSpec, RepartitionSpec, ReplaceSpec, RuleSpec, StepSpec, TransformSpec,
};
