//! Splits rows by partition.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch, StructArray, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::row::{RowConverter, SortField};
use connectors::{Error, ErrorKind, Result};
use iceberg::arrow::{PartitionValueCalculator, arrow_struct_to_literal};
use iceberg::spec::{Literal, PartitionSpec, Schema, Struct, StructType};

use super::shape::Shape;
use crate::lake::failure::failed;

/// Splits rows by partition.
pub(in crate::lake) struct Splitter {
    calculator: PartitionValueCalculator,
    partition_type: StructType,
}

impl Splitter {
    /// The splitter of a table; `None` where it is not partitioned.
    pub(in crate::lake) fn of(shape: &Shape) -> Result<Option<Self>> {
        Self::by(&shape.spec, &shape.schema)
    }

    /// The splitter that cuts rows with these columns in this way; `None` where it does not cut them.
    pub(in crate::lake) fn by(spec: &PartitionSpec, schema: &Schema) -> Result<Option<Self>> {
        if spec.is_unpartitioned() {
            return Ok(None);
        }
        let unusable = || failed("the table's partitions cannot be computed");
        let partition_type = spec.partition_type(schema).map_err(unusable())?;
        let calculator = PartitionValueCalculator::try_new(spec, schema).map_err(unusable())?;
        Ok(Some(Self {
            calculator,
            partition_type,
        }))
    }

    /// The rows of each partition, in their order. Copies, so that a partition that waits does not keep the rows of
    /// others in memory.
    pub(super) fn split(&self, rows: &RecordBatch) -> Result<Vec<(Struct, RecordBatch)>> {
        let (partitions, members) = self.grouped(rows)?;
        let alone = members.len() == 1;
        let part = |(partition, members)| {
            let part = if alone {
                rows.clone()
            } else {
                take_record_batch(rows, &UInt32Array::from(members))?
            };
            Ok((partition, part))
        };
        partitions.into_iter().zip(members).map(part).collect()
    }

    /// The partitions that rows fall into.
    pub(in crate::lake) fn partitions_of(&self, rows: &RecordBatch) -> Result<Vec<Struct>> {
        Ok(self.grouped(rows)?.0)
    }

    /// The partitions that rows fall into, and the numbers of the rows of each.
    fn grouped(&self, rows: &RecordBatch) -> Result<(Vec<Struct>, Vec<Vec<u32>>)> {
        let values = self
            .calculator
            .calculate(rows)
            .map_err(failed("the partitions of rows cannot be computed"))?;
        let columns = values
            .as_any()
            .downcast_ref::<StructArray>()
            .ok_or_else(malformed)?;
        let fields = columns
            .columns()
            .iter()
            .map(|c| SortField::new(c.data_type().clone()))
            .collect();
        let keys = RowConverter::new(fields)?.convert_columns(columns.columns())?;
        let mut groups: HashMap<&[u8], usize> = HashMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        for (row, key) in (0u32..).zip(keys.iter()) {
            let group = *groups.entry(key.data()).or_insert_with(|| {
                members.push(Vec::new());
                members.len() - 1
            });
            if let Some(members) = members.get_mut(group) {
                members.push(row);
            }
        }
        let firsts: Vec<u32> = members
            .iter()
            .filter_map(|rows| rows.first().copied())
            .collect();
        Ok((self.partitions(&values, firsts)?, members))
    }

    /// The partition values at some rows.
    fn partitions(&self, values: &arrow::array::ArrayRef, rows: Vec<u32>) -> Result<Vec<Struct>> {
        let values = take(values, &UInt32Array::from(rows), None)?;
        let literals = arrow_struct_to_literal(&values, &self.partition_type)
            .map_err(failed("the partitions of rows cannot be read"))?;
        let of = |literal| match literal {
            Some(Literal::Struct(partition)) => Ok(partition),
            _ => Err(malformed()),
        };
        literals.into_iter().map(of).collect()
    }
}

fn malformed() -> Error {
    Error::new(
        ErrorKind::Internal,
        "partition values have an unexpected form",
    )
}
