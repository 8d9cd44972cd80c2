//! The one integration-test binary: every suite is a module, so that DataFusion is linked once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests tell by failing, and say on stderr what they skip"
)]

mod abandon;
mod audit;
mod audit_edges;
mod checks;
mod contention;
mod crash;
#[cfg(debug_assertions)]
mod crash_matrix;
mod create_only;
mod daemon;
mod database;
mod dedupe;
mod doctor;
mod eight_writers;
mod estate;
mod evolution;
mod evolution_edges;
mod evolution_nested;
mod files;
mod history;
mod incremental;
mod interrupt;
mod kept;
mod kills;
mod lake;
mod maintain;
mod maintain_beside;
mod maintain_files;
mod memory;
mod merge;
mod merge_bloom;
mod merge_choice;
mod merge_edges;
#[cfg(debug_assertions)]
mod model;
mod named_columns;
mod one_load;
mod partitions;
mod place;
mod plan;
mod postgres;
mod quickstart;
mod readers;
mod replace_where;
mod rest;
mod resume;
mod scene;
mod schedule;
mod schemas;
mod secrets;
mod services;
mod shares;
mod sql_errors;
mod sql_server;
mod state;
mod states;
#[cfg(debug_assertions)]
mod takeover;
mod tidy;
mod together;
mod ui;
mod values;
