//! The columns of a set of files: declared, or inferred from a sample with the reason for each.
//!
//! Knows the formats and how their columns become one schema; reads no more than a sample.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::format::{self, Compression, Format};
use super::infer::Guess;
use super::listing::Found;
use super::normal::{normal, widen};
use super::options::ReadOptions;
use super::parquet::Footer;
use super::place::Place;
use super::{bytes, csv, failure, hive, ipc, json, parquet};
use crate::column_type;
use crate::error::{Error, ErrorKind, Result};

/// How many files decide about the columns.
const SAMPLE_FILES: usize = 16;

/// How many bytes of a file decide about its column types, decompressed.
const SAMPLE_BYTES: usize = 4 * 1024 * 1024;

/// How many files are sampled at once.
const PARALLEL_SAMPLES: usize = 4;

/// The footers that have been read, by path, so that none is read twice.
pub(super) type Footers = BTreeMap<String, Footer>;

/// The columns of a set of files.
pub(super) struct Layout {
    /// All columns; those of the folders last.
    pub(super) schema: SchemaRef,
    /// How all the files are written.
    pub(super) format: Format,
    /// Whether the user declared the columns.
    pub(super) declared: bool,
    /// Why each column has its type: ``o_totalprice: double, because row 3 of `a.csv` has `12.5` ``.
    pub(super) reasons: Vec<String>,
    /// The footers the sample read.
    pub(super) footers: Footers,
}

/// A column of one file.
struct Column {
    field: Field,
    guess: Option<Guess>,
    reason: String,
}

struct Sampled {
    path: String,
    columns: Vec<Column>,
    footer: Option<Footer>,
}

/// Works out the columns. `files` are all that may be looked at, the ones to be read first.
pub(super) async fn of(
    place: &Arc<Place>,
    files: &[Found],
    options: &ReadOptions,
) -> Result<Layout> {
    let format = one_format(files, options)?;
    let folders = if options.hive_partitions {
        hive::fields(files.iter().map(|file| file.path.as_str()))
    } else {
        Vec::new()
    };
    if let Some(columns) = &options.schema {
        let declared = columns.schema();
        let (names, fields) = with_folders(
            declared.fields().iter().map(|field| field.as_ref().clone()),
            folders,
        );
        return Ok(Layout {
            reasons: names
                .into_iter()
                .map(|name| format!("{name}: declared"))
                .collect(),
            schema: Arc::new(Schema::new(fields)),
            format,
            declared: true,
            footers: Footers::new(),
        });
    }
    let sampled: Vec<Sampled> = stream::iter(files.iter().take(SAMPLE_FILES).cloned())
        .map(|file| sample(Arc::clone(place), file, options.clone()))
        .buffered(PARALLEL_SAMPLES)
        .try_collect()
        .await?;
    merge(sampled, folders, format)
}

fn with_folders(
    fields: impl Iterator<Item = Field>,
    folders: Vec<Field>,
) -> (Vec<String>, Vec<Field>) {
    let mut all: Vec<Field> = fields.collect();
    let new = folders
        .into_iter()
        .filter(|folder| all.iter().all(|field| field.name() != folder.name()));
    let new: Vec<Field> = new.collect();
    all.extend(new);
    (all.iter().map(|field| field.name().clone()).collect(), all)
}

fn one_format(files: &[Found], options: &ReadOptions) -> Result<Format> {
    let mut first: Option<(Format, &str)> = None;
    for file in files {
        let (format, _) = format::of_file(&file.path, options.format, options.compression)?;
        match first {
            None => first = Some((format, &file.path)),
            Some((known, _)) if known == format => {}
            Some((known, path)) => {
                let message = format!(
                    "`{path}` is {} and `{}` is {}: one read has one format",
                    known.as_str(),
                    file.path,
                    format.as_str()
                );
                return Err(Error::new(ErrorKind::InvalidInput, message).help("narrow the pattern"));
            }
        }
    }
    Ok(first.map_or_else(
        || options.format.unwrap_or(Format::Parquet),
        |(format, _)| format,
    ))
}

/// The compression of a file.
pub(super) fn compression(file: &Found, options: &ReadOptions) -> Result<Compression> {
    format::of_file(&file.path, options.format, options.compression)
        .map(|(_, compression)| compression)
}

async fn sample(place: Arc<Place>, file: Found, options: ReadOptions) -> Result<Sampled> {
    let (format, compression) = format::of_file(&file.path, options.format, options.compression)?;
    let rows = options.sample_rows.map_or(usize::MAX, |rows| {
        usize::try_from(rows).unwrap_or(usize::MAX).max(1)
    });
    let mut footer = None;
    let columns = match format {
        Format::Csv => {
            let bytes = bytes::open(&place, &file, compression).await?;
            sample_csv(bytes, csv::Dialect::of(&options)?, rows, &file.path).await?
        }
        Format::Ndjson => {
            let bytes = bytes::open(&place, &file, compression).await?;
            let objects = json::sample(bytes, rows, SAMPLE_BYTES, &file.path).await?;
            let column = |(field, reason)| Column {
                field,
                guess: None,
                reason,
            };
            json::infer(&objects, &file.path)?
                .into_iter()
                .map(column)
                .collect()
        }
        Format::Parquet => {
            let found = parquet::footer(&place, &file).await?;
            let columns = typed(found.schema(), &file.path)?;
            footer = Some(found);
            columns
        }
        Format::Arrow => {
            let bytes = bytes::open(&place, &file, compression).await?;
            typed(&ipc::open(bytes, &file.path).await?.schema, &file.path)?
        }
    };
    Ok(Sampled {
        path: file.path,
        columns,
        footer,
    })
}

async fn sample_csv(
    bytes: bytes::ByteStream,
    dialect: csv::Dialect,
    rows: usize,
    file: &str,
) -> Result<Vec<Column>> {
    let Some(opened) = csv::open(bytes, dialect, file).await? else {
        return Ok(Vec::new());
    };
    let mut guesses: Vec<(String, Guess)> = opened
        .columns
        .iter()
        .map(|name| (name.clone(), Guess::default()))
        .collect();
    let mut batches = opened.rows(|_| true);
    let (mut seen_rows, mut seen_bytes) = (0, 0);
    while seen_rows < rows && seen_bytes < SAMPLE_BYTES {
        let Some(batch) = batches.try_next().await? else {
            break;
        };
        let batch = batch.slice(0, batch.num_rows().min(rows - seen_rows));
        look(&batch, &mut guesses, seen_rows, file);
        seen_rows += batch.num_rows();
        seen_bytes += batch.get_array_memory_size();
    }
    let column = |(name, guess): (String, Guess)| Column {
        field: Field::new(name, guess.data_type(), true),
        reason: guess.reason(),
        guess: Some(guess),
    };
    Ok(guesses.into_iter().map(column).collect())
}

fn look(batch: &RecordBatch, guesses: &mut [(String, Guess)], before: usize, file: &str) {
    for (column, (_, guess)) in batch.columns().iter().zip(guesses) {
        let Some(texts) = column.as_any().downcast_ref::<StringArray>() else {
            continue;
        };
        for (row, value) in texts.iter().enumerate() {
            if let Some(value) = value {
                guess.see(value, || format!("row {} of `{file}`", before + row + 1));
            }
        }
    }
}

fn typed(schema: &SchemaRef, file: &str) -> Result<Vec<Column>> {
    let column = |field: &Arc<Field>| {
        let data_type = normal(field.data_type()).ok_or_else(|| {
            let message = format!(
                "the column `{}` is {}, which the lake does not hold",
                field.name(),
                field.data_type()
            );
            failure::bad_data(message, file)
                .help("leave it out with `columns:`, or declare `schema:`")
        })?;
        let word = column_type::word(&data_type);
        let reason = format!(
            "{word}, because `{file}` says {}",
            column_type::word(field.data_type())
        );
        Ok(Column {
            field: Field::new(field.name(), data_type, field.is_nullable()),
            guess: None,
            reason,
        })
    };
    schema.fields().iter().map(column).collect()
}

fn merge(sampled: Vec<Sampled>, folders: Vec<Field>, format: Format) -> Result<Layout> {
    let mut columns: Vec<Column> = Vec::new();
    let mut footers = Footers::new();
    let first = sampled.iter().map(|file| file.path.clone()).next();
    for (index, file) in sampled.into_iter().enumerate() {
        if file.columns.is_empty() {
            continue;
        }
        for known in &mut columns {
            if file
                .columns
                .iter()
                .all(|column| column.field.name() != known.field.name())
            {
                known.field.set_nullable(true);
            }
        }
        for column in file.columns {
            match columns
                .iter_mut()
                .find(|known| known.field.name() == column.field.name())
            {
                Some(known) => join(known, column, &file.path)?,
                None if index == 0 => columns.push(column),
                None => columns.push(Column {
                    field: column.field.with_nullable(true),
                    ..column
                }),
            }
        }
        footers.extend(file.footer.map(|footer| (file.path, footer)));
    }
    if columns.is_empty() {
        let message = "the files are empty: they do not say which columns there are";
        return Err(Error::new(ErrorKind::InvalidData, message)
            .with("file", first.unwrap_or_default())
            .help("declare `schema:`"));
    }
    let mut reasons: Vec<String> = columns
        .iter()
        .map(|column| format!("{}: {}", column.field.name(), column.reason))
        .collect();
    let known = columns.len();
    let (_, fields) = with_folders(columns.into_iter().map(|column| column.field), folders);
    for folder in fields.iter().skip(known) {
        let word = column_type::word(folder.data_type());
        reasons.push(format!(
            "{}: {word}, because folders have its name",
            folder.name()
        ));
    }
    Ok(Layout {
        schema: Arc::new(Schema::new(fields)),
        format,
        declared: false,
        reasons,
        footers,
    })
}

fn join(known: &mut Column, other: Column, file: &str) -> Result<()> {
    let nullable = known.field.is_nullable() || other.field.is_nullable();
    if let (Some(guess), Some(seen)) = (&mut known.guess, other.guess) {
        guess.merge(seen);
        known.field = Field::new(known.field.name(), guess.data_type(), nullable);
        known.reason = guess.reason();
        return Ok(());
    }
    let (a, b) = (known.field.data_type(), other.field.data_type());
    let wide = widen(a, b).ok_or_else(|| {
        let (a, b) = (column_type::word(a), column_type::word(b));
        let message = format!(
            "the column `{}` is {b} in this file and {a} in others",
            known.field.name()
        );
        failure::bad_data(message, file).help(format!(
            "read these files apart, or declare `schema:`; here it is {}, there {}",
            other.reason, known.reason
        ))
    })?;
    if wide != *a {
        known.reason = other.reason;
    }
    known.field = Field::new(known.field.name(), wide, nullable);
    Ok(())
}
