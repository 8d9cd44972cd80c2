//! The writing side: one object, uploaded in parts and visible only when it is complete.
//!
//! `replace` writes the object that `table` names. `append` writes one object into the folder that `table` names, called
//! after the run: the same run writes the same name, so that writing it again changes nothing. A stage that is dropped
//! leaves no file; on S3 the parts of an unfinished upload stay invisible until the bucket's lifecycle rule removes them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use object_store::path::{Path, PathPart};
use object_store::{ObjectStoreExt as _, WriteMultipart};

use super::encode::Encoder;
use super::format::{self, Compression, Format};
use super::options::{self, ReadOptions, WriteOptions};
use super::pattern::Pattern;
use super::place::Place;
use super::{Files, failure, layout, listing};
use crate::contract::{Remembered, Sink, Stage, Staged, Write, WriteMode};
use crate::error::{Error, ErrorKind, Result};

/// How large a part of an upload is, in bytes. An object has at most 10 000 parts.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// How many parts are on their way at once.
const PARALLEL_PARTS: usize = 4;

#[async_trait]
impl Sink for Files {
    async fn table(&self, table: &str) -> Result<Option<SchemaRef>> {
        let found = listing::list(&self.place, &Pattern::parse(table)?).await?;
        if found.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            layout::of(&self.place, &found, &ReadOptions::default())
                .await?
                .schema,
        ))
    }

    async fn committed(&self, write: &Write) -> Result<bool> {
        match write.mode {
            WriteMode::Append => {
                let target = Target::of(&self.place, write)?;
                Ok(self.place.head(&target.location).await?.is_some())
            }
            // Replacing a content by the same content changes nothing, so that nobody needs to know.
            WriteMode::Replace | WriteMode::Merge { .. } => Ok(false),
        }
    }

    /// A name is all that a file carries in every format, and whoever takes files away would take the memory with them.
    async fn remembered(&self, _: &str) -> Result<Vec<Remembered>> {
        Ok(Vec::new())
    }

    async fn stage(&self, write: &Write, schema: SchemaRef) -> Result<Box<dyn Stage>> {
        if write.known_by.is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "rows in files cannot be known again",
            )
            .help("load them into a table of the lake"));
        }
        let target = Target::of(&self.place, write)?;
        let encoder = Encoder::new(
            target.format,
            target.compression,
            &target.options,
            plain(&schema),
        )?;
        let upload = self
            .place
            .store
            .put_multipart(&target.location)
            .await
            .map_err(|error| failure::of_store(error, &write.table))?;
        let parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        Ok(Box::new(Upload {
            parts,
            encoder,
            rows: 0,
            path: self.place.relative(&target.location),
        }))
    }
}

/// The schema without the notes that its source made on it.
fn plain(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().clone()))
}

/// The object a write makes.
struct Target {
    location: Path,
    format: Format,
    compression: Compression,
    options: WriteOptions,
}

impl Target {
    fn of(place: &Place, write: &Write) -> Result<Self> {
        let options: WriteOptions = options::parse(&write.options)?;
        let table = Pattern::parse(&write.table)?;
        let path = table.literal().ok_or_else(|| {
            let message = format!("`{}` is a pattern, and a write has one place", write.table);
            Error::new(ErrorKind::InvalidInput, message)
                .help("name a file to replace, or a folder to append to")
        })?;
        let location = place.locate(path)?;
        match write.mode {
            WriteMode::Replace => {
                let (format, compression) =
                    format::of_file(path, options.format, options.compression)?;
                Ok(Self {
                    location,
                    format,
                    compression,
                    options,
                })
            }
            WriteMode::Append => {
                let format = options.format.unwrap_or(Format::Parquet);
                let compression = options.compression.unwrap_or(Compression::None);
                let name = format!(
                    "{}.{}{}",
                    write.run,
                    format.as_str(),
                    compression.extension()
                );
                let location = location.join(PathPart::from(name));
                Ok(Self {
                    location,
                    format,
                    compression,
                    options,
                })
            }
            WriteMode::Merge { .. } => Err(Error::new(
                ErrorKind::Unsupported,
                "files cannot be merged into",
            )
            .help("write with `append` or `replace`, or load into a table of the lake")),
        }
    }
}

struct Upload {
    parts: WriteMultipart,
    encoder: Encoder,
    rows: u64,
    path: String,
}

impl Upload {
    async fn send(parts: &mut WriteMultipart, bytes: Vec<u8>, path: &str) -> Result<()> {
        parts.put(bytes.into());
        parts
            .wait_for_capacity(PARALLEL_PARTS)
            .await
            .map_err(|error| failure::of_store(error, path))
    }
}

#[async_trait]
impl Stage for Upload {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let bytes = self
            .encoder
            .write(batch)
            .map_err(|error| error.with("file", &self.path))?;
        self.rows += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        Self::send(&mut self.parts, bytes, &self.path).await
    }

    async fn finish(self: Box<Self>) -> Result<Box<dyn Staged>> {
        let Self {
            mut parts,
            encoder,
            rows,
            path,
        } = *self;
        let bytes = encoder
            .finish()
            .map_err(|error| error.with("file", &path))?;
        Self::send(&mut parts, bytes, &path).await?;
        parts
            .wait_for_capacity(1)
            .await
            .map_err(|error| failure::of_store(error, &path))?;
        Ok(Box::new(Uploaded { parts, rows, path }))
    }
}

struct Uploaded {
    parts: WriteMultipart,
    rows: u64,
    path: String,
}

#[async_trait]
impl Staged for Uploaded {
    async fn commit(self: Box<Self>) -> Result<u64> {
        let Self { parts, rows, path } = *self;
        parts.finish().await.map(|_| rows).map_err(|error| {
            let error = failure::of_store(error, &path);
            if error.kind() == ErrorKind::PermissionDenied {
                return error;
            }
            let message = format!("the store did not confirm that `{path}` is complete");
            Error::new(ErrorKind::CommitUnknown, message).caused_by(error)
        })
    }
}
