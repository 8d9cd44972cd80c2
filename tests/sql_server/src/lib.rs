//! A server that speaks TDS, for tests: SQL Server's protocol and T-SQL in front of a PostgreSQL.
//!
//! No SQL Server can be installed where the tests run. This takes its place: [`Server::start`] listens, clients that
//! nobody here wrote log in, and what they say in T-SQL is answered by PostgreSQL. What it does not know gets error 102
//! and never a guess, so a test that passes here does not rest on one.
//!
//! `wire` knows the protocol, `types` the types, `sql` turns T-SQL into PostgreSQL's SQL, `catalog` knows what tables
//! there are, `session` runs statements, `faults` lets things go wrong. Written from the public documents MS-TDS and
//! Transact-SQL reference.

mod catalog;
mod certificate;
mod connection;
mod error;
mod faults;
mod server;
mod session;
mod sql;
mod types;
mod wire;

pub use certificate::Certificate;
pub use faults::Fault;
pub use server::{Failure, Options, Server};
pub use wire::Encryption;
