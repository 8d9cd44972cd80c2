//! Columns: Arrow's, Iceberg's, and how a table's columns follow those of the rows that arrive.
//!
//! Pure: knows types, not files.

mod change;
mod conform;
mod order;
mod rename;
mod types;

pub use change::{Evolution, OnSchemaChange, Reaction, Retyped, TableChange};
pub(super) use change::{compare, evolve};
pub(super) use conform::Conform;
pub(super) use order::require_same_order;
pub(super) use rename::renamed;
pub(super) use types::{column, fresh, readable, type_word};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type, as Iceberg writes it: `decimal(15,2)`, `timestamptz`, `list<string>`.
    pub type_: String,
    /// Whether every row has a value.
    pub required: bool,
}
