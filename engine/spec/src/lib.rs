//! The spec language: text → Document → Spec → Project → Graph → Plan.
//!
//! Pure: bytes and facts come in, values go out. Knows no network, no file system, no clock, no engine, and of
//! connectors only what it is told ([`Connectors`]).

mod check;
mod connectors;
mod diagnostic;
mod explain;
pub mod graph;
mod meaning;
pub mod model;
pub mod plan;
mod read;
mod render;
mod schemas;
mod source;
mod sql;
mod text;
mod written;
mod yaml;

pub use check::check;
pub use connectors::{
    Capability, Connectors, Incremental, OptionsOf, SinkCapability, SourceCapability,
};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use explain::{codes, explain};
pub use meaning::{SqlFault, SqlFaultKind, SqlOf, Texts, Word, query_syntax};
pub use read::nearest;
pub use schemas::schemas;
pub use source::SourceFile;
pub use sql::{Place as SqlPlace, column_of, previous};
