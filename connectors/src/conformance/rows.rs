//! Rows as text, so that those of any system can be compared.

use arrow::array::{Array as _, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt as _;

use super::promise;
use crate::contract::{Scan, Split};
use crate::error::Result;

/// Rows without an order: each a list of values as text, NULL as `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Vec<Vec<Option<String>>>);

impl Rows {
    /// The rows of a batch.
    pub fn of(batch: &RecordBatch) -> Result<Self> {
        let mut rows = Self::default();
        rows.add(batch)?;
        Ok(rows.sorted())
    }

    /// All rows of a scan, checking that every batch has its schema.
    pub(super) async fn scanned(scan: &dyn Scan) -> Result<Self> {
        let mut rows = Self::default();
        for split in scan.splits() {
            rows.0.extend(Self::of_split(scan, split).await?.0);
        }
        Ok(rows.sorted())
    }

    /// The rows of one split.
    pub(super) async fn of_split(scan: &dyn Scan, split: &Split) -> Result<Self> {
        let mut rows = Self::default();
        let mut batches = scan.read(split).await?;
        while let Some(batch) = batches.try_next().await? {
            has_schema(&batch, &scan.schema())?;
            rows.add(&batch)?;
        }
        Ok(rows.sorted())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self.sorted()
    }

    /// Whether every row of the other is here, as often as there.
    pub fn holds(&self, other: &Self) -> bool {
        let mut mine = self.0.iter();
        other.0.iter().all(|row| mine.any(|own| own == row))
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let options = FormatOptions::default();
        let formatters = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options));
        let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let values = batch.columns().iter().zip(&formatters);
            self.0.push(
                values
                    .map(|(column, text)| column.is_valid(row).then(|| text.value(row).to_string()))
                    .collect(),
            );
        }
        Ok(())
    }

    fn sorted(mut self) -> Self {
        self.0.sort();
        self
    }
}

fn has_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<()> {
    promise(
        batch.schema() == *schema,
        "no batch has another schema than its scan",
        || {
            format!(
                "{:?} instead of {:?}",
                batch.schema().fields(),
                schema.fields()
            )
        },
    )
}
