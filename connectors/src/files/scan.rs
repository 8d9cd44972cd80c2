//! One read of pinned files.
//!
//! Knows how each format becomes batches of the scan's schema; chooses no files.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::conform::{Conform, Typing};
use super::format::Format;
use super::layout::{self, Footers, Layout};
use super::listing::Found;
use super::options::ReadOptions;
use super::place::Place;
use super::source::ByPath;
use super::{bytes, csv, failure, hive, ipc, json, parquet};
use crate::contract::{BatchStream, Scan, Split};
use crate::error::{Error, ErrorKind, Result};

/// What a split says: a file, or some row groups of it.
#[derive(Serialize, Deserialize)]
pub(super) struct Part {
    /// The file.
    pub(super) path: String,
    /// The row groups; the whole file when `None`.
    pub(super) row_groups: Option<Range<usize>>,
}

/// One read: the files, each pinned, and the columns they have together.
pub(super) struct FileScan {
    pub(super) place: Arc<Place>,
    pub(super) files: ByPath,
    pub(super) footers: Footers,
    pub(super) layout: Layout,
    pub(super) options: ReadOptions,
    pub(super) schema: SchemaRef,
    pub(super) splits: Vec<Split>,
    pub(super) limit: Option<u64>,
    pub(super) describe: String,
}

#[async_trait]
impl Scan for FileScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn splits(&self) -> &[Split] {
        &self.splits
    }

    fn describe(&self) -> String {
        self.describe.clone()
    }

    async fn read(&self, split: &Split) -> Result<BatchStream> {
        let part =
            Part::deserialize(&split.payload).map_err(|error| foreign(split).caused_by(error))?;
        let file = self.files.get(&part.path).ok_or_else(|| foreign(split))?;
        let rows = match self.layout.format {
            Format::Csv => self.csv(file).await?,
            Format::Ndjson => self.ndjson(file).await?,
            Format::Parquet => self.parquet(file, part.row_groups).await?,
            Format::Arrow => self.arrow(file).await?,
        };
        Ok(match self.limit {
            Some(limit) => limited(rows, limit),
            None => rows,
        })
    }
}

fn foreign(split: &Split) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("the split `{}` is not of this scan", split.name),
    )
}

impl FileScan {
    async fn csv(&self, file: &Found) -> Result<BatchStream> {
        let compression = layout::compression(file, &self.options)?;
        let bytes = bytes::open(&self.place, file, compression).await?;
        let dialect = csv::Dialect::of(&self.options)?;
        let Some(mut opened) = csv::open(bytes, dialect, &file.path).await? else {
            return Ok(stream::empty().boxed());
        };
        if self.layout.declared {
            opened.rename(self.own_columns(file))?;
        }
        self.refuse_unknown(opened.columns.iter().map(String::as_str), file)?;
        let rows = opened.rows(|name| self.wants(name));
        Ok(self.conform(rows, file, Typing::Texts))
    }

    async fn ndjson(&self, file: &Found) -> Result<BatchStream> {
        let compression = layout::compression(file, &self.options)?;
        let bytes = bytes::open(&self.place, file, compression).await?;
        let folders = self.folders(file);
        // Inferred columns are all decoded: only then is a key that the sample did not have an error, not a loss.
        let strict = !self.layout.declared;
        let own = |schema| json::decoded_as(schema, |name| folders.contains_key(name));
        let mut decoded = own(&self.schema);
        if strict || decoded.fields().is_empty() {
            decoded = own(&self.layout.schema);
        }
        let rows = json::rows(bytes, decoded, strict, &file.path)?;
        Ok(self.conform(rows, file, Typing::Texts))
    }

    async fn parquet(&self, file: &Found, groups: Option<Range<usize>>) -> Result<BatchStream> {
        let footer = match self.footers.get(&file.path) {
            Some(footer) => footer.clone(),
            None => parquet::footer(&self.place, file).await?,
        };
        self.refuse_unknown(
            footer
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().as_str()),
            file,
        )?;
        let rows = parquet::rows(&self.place, file, footer, groups, |name| self.wants(name))?;
        Ok(self.conform(rows, file, self.typing()))
    }

    async fn arrow(&self, file: &Found) -> Result<BatchStream> {
        let compression = layout::compression(file, &self.options)?;
        let opened = ipc::open(
            bytes::open(&self.place, file, compression).await?,
            &file.path,
        )
        .await?;
        self.refuse_unknown(
            opened
                .schema
                .fields()
                .iter()
                .map(|field| field.name().as_str()),
            file,
        )?;
        Ok(self.conform(opened.rows(), file, self.typing()))
    }

    fn wants(&self, column: &str) -> bool {
        self.schema.field_with_name(column).is_ok()
    }

    const fn typing(&self) -> Typing {
        if self.layout.declared {
            Typing::Declared
        } else {
            Typing::Inferred
        }
    }

    fn folders(&self, file: &Found) -> BTreeMap<String, Option<String>> {
        if self.options.hive_partitions {
            hive::columns(&file.path)
        } else {
            BTreeMap::new()
        }
    }

    /// The columns that stand in the file itself.
    fn own_columns(&self, file: &Found) -> Vec<String> {
        let folders = self.folders(file);
        let names = self
            .layout
            .schema
            .fields()
            .iter()
            .map(|field| field.name().clone());
        names.filter(|name| !folders.contains_key(name)).collect()
    }

    /// A column that the sample did not have would be lost without a word.
    fn refuse_unknown<'a>(
        &self,
        mut columns: impl Iterator<Item = &'a str>,
        file: &Found,
    ) -> Result<()> {
        if self.layout.declared {
            return Ok(());
        }
        match columns.find(|name| self.layout.schema.field_with_name(name).is_err()) {
            None => Ok(()),
            Some(name) => {
                let message =
                    format!("the column `{name}` is in this file and in none of the sample");
                Err(failure::bad_data(message, &file.path)
                    .help("declare `schema:` with the columns you want"))
            }
        }
    }

    fn conform(&self, rows: BatchStream, file: &Found, typing: Typing) -> BatchStream {
        let mut conform = Conform {
            target: Arc::clone(&self.schema),
            file: file.path.clone(),
            constants: self.folders(file),
            typing,
            rows: 0,
        };
        let fit = rows.map(move |batch| batch.and_then(|batch| conform.apply(&batch)));
        fused(fit.boxed())
    }
}

/// Ends after the first error: what follows one is not rows.
fn fused(rows: BatchStream) -> BatchStream {
    let state = Some(rows);
    stream::unfold(state, |state| async move {
        let mut rows = state?;
        match rows.next().await? {
            Ok(batch) => Some((Ok(batch), Some(rows))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// Stops after so many rows.
fn limited(rows: BatchStream, limit: u64) -> BatchStream {
    stream::unfold((rows, limit), |(mut rows, left)| async move {
        if left == 0 {
            return None;
        }
        let batch = match rows.next().await? {
            Ok(batch) => batch,
            Err(error) => return Some((Err(error), (rows, 0))),
        };
        let keep = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(batch.num_rows());
        let kept = u64::try_from(keep).unwrap_or(left);
        Some((Ok(batch.slice(0, keep)), (rows, left - kept)))
    })
    .boxed()
}
