//! A condition on rows, evaluated batch by batch.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use connectors::{Error, ErrorKind, Result};
use datafusion::common::DFSchema;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::PhysicalExpr;

use super::{Session, from_datafusion};

/// A SQL condition, ready to be held against batches of one schema.
pub(crate) struct RowCondition(Arc<dyn PhysicalExpr>);

impl RowCondition {
    /// Plans a condition for rows of this schema.
    pub(crate) fn plan(session: &Session, sql: &str, schema: &Schema) -> Result<Self> {
        let context = session.context();
        let schema = DFSchema::try_from(schema.clone()).map_err(from_datafusion)?;
        let condition = context
            .parse_sql_expr(sql, &schema)
            .and_then(|expr| context.create_physical_expr(expr, &schema))
            .map_err(from_datafusion)?;
        let r#type = condition
            .data_type(schema.as_arrow())
            .map_err(from_datafusion)?;
        if r#type != DataType::Boolean {
            return Err(not_a_condition(&r#type));
        }
        Ok(Self(condition))
    }

    /// Which rows pass: those for which the condition is true. NULL is not true.
    pub(crate) fn passes(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let value = self.0.evaluate(batch).map_err(from_datafusion)?;
        let array = value
            .into_array(batch.num_rows())
            .map_err(from_datafusion)?;
        let passes = array
            .as_any()
            .downcast_ref::<BooleanArray>()
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidInput,
                    "an expectation must be true or false",
                )
                .with("type", array.data_type())
            })?;
        Ok(if passes.null_count() == 0 {
            passes.clone()
        } else {
            arrow::compute::prep_null_mask_filter(passes)
        })
    }
}

impl RowCondition {
    /// The columns that it is about, by their numbers, in order.
    pub(crate) fn columns(&self) -> Vec<usize> {
        let columns = collect_columns(&self.0);
        let numbers: BTreeSet<usize> = columns.iter().map(Column::index).collect();
        numbers.into_iter().collect()
    }
}

/// An expectation that is a number, or text.
pub(crate) fn not_a_condition(r#type: &DataType) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "an expectation must be true or false",
    )
    .with("type", r#type)
    .help("compare it with something: `amount > 0`")
}
