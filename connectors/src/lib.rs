//! Connectors: how Lakewright reads and writes other systems.
//!
//! One file or folder per system, all of the same shape, listed in [`registry`]. Knows Arrow and the systems; knows
//! nothing of specs, DataFusion, Iceberg or the engine.

mod background;
mod builders;
mod column_type;
mod columns;
pub mod conformance;
mod contract;
mod duration;
mod error;
mod files;
mod memory;
mod postgres;
mod ranges;
pub mod registry;
mod relational;
mod secret;
mod sql_server;
mod value;
pub mod wrap;

pub use contract::{
    BatchStream, CHANGE, Capability, Connection, Connector, DELETE, Fence, From, Incremental,
    KnownBy, Nulls, Opening, Read, Remembered, Scan, Sink, SinkCapability, Source,
    SourceCapability, Split, SplitBy, Stage, Staged, Stamp, VERSION, Window, Write, WriteMode,
};
pub use error::{Error, ErrorKind, Result};
pub use files::{S3Options, explain_columns, open_store};
pub use secret::{Secret, SecretRef, Secrets};
pub use value::{Comparison, Literal, Predicate, Watermark};
