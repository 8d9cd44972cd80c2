//! Which columns a query makes into other types, so that a value that is none of a type can be told by its column.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::sentence::types;

/// A column that is cast, and to what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cast {
    pub(crate) column: String,
    pub(crate) r#type: String,
}

/// The columns that a query casts. Those of the queries that it reads are not looked at.
pub(crate) fn casts(plan: &LogicalPlan) -> BTreeSet<Cast> {
    let mut found = BTreeSet::new();
    // Nothing here can fail: what is walked is only looked at.
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Cast(cast) = expr {
                    let r#type = types(&cast.field.data_type().to_string());
                    found.extend(cast.expr.column_refs().into_iter().map(|column| Cast {
                        column: column.name.clone(),
                        r#type: r#type.clone(),
                    }));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found
}
