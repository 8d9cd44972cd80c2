//! The reading side: which files a read takes, and how it is cut.
//!
//! Knows listing, columns and splits; the rows themselves are [`super::scan`]'s.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::Files;
use super::format::Format;
use super::layout::{self, Footers, Layout};
use super::listing::{self, Found};
use super::options::{self, ReadOptions};
use super::parquet::{self, Footer};
use super::pattern::Pattern;
use super::place::Place;
use super::scan::{FileScan, Part};
use crate::contract::{From, Read, Scan, Source, Split};
use crate::error::{Error, ErrorKind, Result};
use crate::value::Watermark;

/// A Parquet file larger than this is cut by its row groups, into parts of about this many bytes.
const PART_BYTES: u64 = 128 * 1024 * 1024;

/// How many reasons for column types a description shows.
const SHOWN_REASONS: usize = 3;

/// How many footers are read at once.
const PARALLEL_FOOTERS: usize = 8;

#[async_trait]
impl Source for Files {
    async fn highest(&self, read: &Read) -> Result<Option<Watermark>> {
        let pattern = pattern_of(read)?;
        Ok(listing::watermark(
            &listing::list(&self.place, &pattern).await?,
        ))
    }

    async fn scan(&self, read: &Read) -> Result<Box<dyn Scan>> {
        Ok(Box::new(self.open(read).await?))
    }
}

impl Files {
    /// Opens a read.
    pub(super) async fn open(&self, read: &Read) -> Result<FileScan> {
        let options: ReadOptions = options::parse(&read.options)?;
        let pattern = pattern_of(read)?;
        let found = listing::list(&self.place, &pattern).await?;
        let files = listing::in_window(&found, read.window.as_ref())?;
        // A first read may find nothing yet; without declared columns nobody could say what it found nothing of.
        let until = read.window.as_ref().map(|window| &window.until);
        if found.is_empty() && !(until == Some(&None) && options.schema.is_some()) {
            return Err(listing::nothing(&self.place, &pattern).await);
        }
        let mut layout = layout::of(&self.place, &new_first(&files, found), &options).await?;
        let schema = projected(&layout.schema, read.columns.as_deref())?;
        let mut footers = std::mem::take(&mut layout.footers);
        let target = read.splits.target_rows;
        let splits = cut(&self.place, &files, &layout, target, &mut footers).await?;
        Ok(FileScan {
            place: Arc::clone(&self.place),
            describe: describe(&files, &layout, splits.len()),
            files: files
                .into_iter()
                .map(|file| (file.path.clone(), file))
                .collect(),
            footers,
            layout,
            options,
            schema,
            splits,
            limit: read.limit,
        })
    }
}

fn pattern_of(read: &Read) -> Result<Pattern> {
    match &read.from {
        From::Table(table) => Pattern::parse(table),
        From::Query(_) => Err(
            Error::new(ErrorKind::Unsupported, "files cannot answer a query")
                .help("read the files with `table:` and put the query into a transform"),
        ),
    }
}

/// The files the sample is taken from: those to be read, then those that were read before.
fn new_first(files: &[Found], found: Vec<Found>) -> Vec<Found> {
    let new: std::collections::BTreeSet<&str> =
        files.iter().map(|file| file.path.as_str()).collect();
    let old = found
        .into_iter()
        .filter(|file| !new.contains(file.path.as_str()));
    let mut all = files.to_vec();
    all.extend(old);
    all
}

fn projected(schema: &SchemaRef, columns: Option<&[String]>) -> Result<SchemaRef> {
    let Some(columns) = columns else {
        return Ok(Arc::clone(schema));
    };
    let field = |name: &String| {
        schema.field_with_name(name).cloned().map_err(|_| {
            let names: Vec<_> = schema
                .fields()
                .iter()
                .map(|field| format!("`{}`", field.name()))
                .collect();
            Error::new(
                ErrorKind::NotFound,
                format!("there is no column `{name}` in the files"),
            )
            .help(format!("there are {}", names.join(", ")))
        })
    };
    Ok(Arc::new(Schema::new(
        columns.iter().map(field).collect::<Result<Vec<_>>>()?,
    )))
}

async fn cut(
    place: &Arc<Place>,
    files: &[Found],
    layout: &Layout,
    target_rows: Option<u64>,
    footers: &mut Footers,
) -> Result<Vec<Split>> {
    if layout.format == Format::Parquet {
        let large = files
            .iter()
            .filter(|file| target_rows.is_some() || file.meta.size > PART_BYTES);
        let missing: Vec<Found> = large
            .filter(|file| !footers.contains_key(&file.path))
            .cloned()
            .collect();
        let read = |file: Found| {
            let place = Arc::clone(place);
            async move {
                parquet::footer(&place, &file)
                    .await
                    .map(|footer| (file.path, footer))
            }
        };
        let read: Vec<_> = stream::iter(missing.into_iter().map(read))
            .buffered(PARALLEL_FOOTERS)
            .try_collect()
            .await?;
        footers.extend(read);
    }
    let mut splits = Vec::new();
    for file in files {
        match footers.get(&file.path) {
            Some(footer) => {
                for (groups, rows) in row_groups(footer, target_rows) {
                    splits.push(split(file, Some(groups), Some(rows))?);
                }
            }
            None => splits.push(split(file, None, None)?),
        }
    }
    Ok(splits)
}

fn split(file: &Found, row_groups: Option<Range<usize>>, rows: Option<u64>) -> Result<Split> {
    let name = match &row_groups {
        Some(groups) if groups.start > 0 || groups.len() > 1 => {
            format!("{} row groups {}..{}", file.path, groups.start, groups.end)
        }
        _ => file.path.clone(),
    };
    let part = Part {
        path: file.path.clone(),
        row_groups,
    };
    let payload = serde_json::to_value(part).map_err(|error| {
        Error::new(ErrorKind::Internal, "a split cannot be written down").caused_by(error)
    })?;
    Ok(Split {
        name,
        payload,
        rows,
    })
}

/// Ranges of row groups, each of about the target, and how many rows each has. A file without row groups has one
/// empty range.
fn row_groups(footer: &Footer, target_rows: Option<u64>) -> Vec<(Range<usize>, u64)> {
    let groups = footer.metadata().row_groups();
    let mut ranges = Vec::new();
    let (mut start, mut bytes, mut rows) = (0, 0, 0);
    for (index, group) in groups.iter().enumerate() {
        bytes += u64::try_from(group.compressed_size()).unwrap_or_default();
        rows += u64::try_from(group.num_rows()).unwrap_or_default();
        let full = target_rows.map_or(bytes >= PART_BYTES, |target| rows >= target);
        if full || index + 1 == groups.len() {
            ranges.push((start..index + 1, rows));
            (start, bytes, rows) = (index + 1, 0, 0);
        }
    }
    if ranges.is_empty() {
        ranges.push((0..0, 0));
    }
    ranges
}

fn describe(files: &[Found], layout: &Layout, splits: usize) -> String {
    let bytes: u64 = files.iter().map(|file| file.meta.size).sum();
    let types = if layout.declared {
        "types declared".to_owned()
    } else {
        let mut shown: Vec<&str> = layout.reasons.iter().map(String::as_str).collect();
        shown.truncate(SHOWN_REASONS);
        let others = match layout.reasons.len() - shown.len() {
            0 => String::new(),
            count => format!("; and {count} more"),
        };
        format!("types inferred ({}{others})", shown.join("; "))
    };
    let count = if files.len() == 1 {
        "1 file".to_owned()
    } else {
        format!("{} files", files.len())
    };
    format!(
        "{count} as {}, {bytes} bytes, {splits} splits, {types}",
        layout.format.as_str()
    )
}

/// The files of a scan, by path.
pub(super) type ByPath = BTreeMap<String, Found>;
