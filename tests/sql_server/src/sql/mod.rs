//! T-SQL → PostgreSQL.
//!
//! `lexer` and `parse_*` read a batch into the values of `syntax`; `bind` writes queries and changes in PostgreSQL's SQL,
//! with the T-SQL types of what comes out. What no production takes, and what no rule binds, is error 102, never a guess.
//! Knows the catalogue as a value. Does not know a connection.

pub(crate) mod bind;
mod lexer;
mod parse_expression;
mod parse_query;
mod parse_statement;
mod parse_table;
mod parser;
mod syntax;

pub(crate) use lexer::from_hex;
pub(crate) use parse_table::{database_of, schema_and_name};
pub(crate) use parser::{column_list, declarations, parse, view_query};
pub(crate) use syntax::{
    AlterTable, BulkColumn, ColumnDefinition, ConstraintKind, DatabaseOption, Expression,
    Isolation, Name, Query, Statement, TableConstraint,
};
