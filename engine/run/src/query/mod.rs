//! Where rows meet DataFusion: the session and its memory, joins, sources and streams as tables, spooled rows.
//!
//! With `lake`'s table provider the only place that knows DataFusion.

mod casts;
mod columns;
pub(crate) mod condition;
mod counted;
mod date_part;
mod expression;
mod failure;
mod fault;
mod join;
mod locate;
mod memory;
mod name;
mod partial;
mod predicate;
mod sentence;
mod session;
mod source_table;
mod spool;
mod stream_table;
mod value;

pub(crate) use casts::{Cast, casts};
pub(crate) use columns::columns_of;
pub(crate) use expression::{RowCondition, not_a_condition};
pub(crate) use failure::from_datafusion;
pub(crate) use fault::{duplicate, faults_of, listed, no_condition};
pub(crate) use name::quoted;
pub use session::LEAST_MEMORY_BYTES;
pub(crate) use session::{Resources, Session};
pub(crate) use source_table::{SourceTable, Watch};
pub(crate) use spool::Spool;
pub(crate) use stream_table::stream_table;
pub(crate) use value::bad_value_of;
