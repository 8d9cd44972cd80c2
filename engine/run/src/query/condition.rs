//! A condition on rows of a table as a filter of its files.

use std::sync::Arc;

use arrow::datatypes::Schema;
use connectors::{Error, ErrorKind, Result};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use super::{Session, from_datafusion};

/// A condition with its constants computed, in the types of the columns: what can tell files apart.
pub(crate) fn filter(session: &Session, sql: &str, schema: &Schema) -> Result<Expr> {
    let schema = DFSchema::try_from(schema.clone()).map_err(from_datafusion)?;
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone()));
    let simplifier = ExprSimplifier::new(context.build());
    session
        .context()
        .parse_sql_expr(sql, &schema)
        .and_then(|expr| simplifier.coerce(expr, &schema))
        .and_then(|expr| simplifier.simplify(expr))
        .map_err(from_datafusion)
}

/// Refuses a condition that is true now and may be false in a moment: rows that come and rows that are there are not
/// looked at at the same time, and a run may be repeated.
pub(crate) fn lasting(session: &Session, sql: &str, schema: &Schema) -> Result<()> {
    let schema = DFSchema::try_from(schema.clone()).map_err(from_datafusion)?;
    let context = session.context();
    let expr = context.parse_sql_expr(sql, &schema);
    let expr = expr.map_err(from_datafusion)?;
    let mut changes = None;
    let walked = expr.apply(|expr| {
        if let Expr::ScalarFunction(call) = expr
            && call.func.signature().volatility != Volatility::Immutable
        {
            changes = Some(call.func.name().to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(from_datafusion)?;
    match changes {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("`where` uses `{name}`, which is not the same each time"),
        )
        .help("write the value itself: `day >= date '2026-01-01'`")),
    }
}
