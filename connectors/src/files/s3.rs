//! `s3`: a bucket of Amazon S3, or of anything that speaks its protocol.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::path::Path;

use super::place::Place;
use super::store::{S3Options, open_store};
use super::{CAPABILITY, Files, options};
use crate::contract::{Capability, Connection, Connector, Opening};
use crate::error::{Error, ErrorKind, Result};

/// Files in a bucket.
pub(crate) struct S3;

#[async_trait]
impl Connector for S3 {
    const KIND: &'static str = "s3";
    const CAPABILITY: Capability = CAPABILITY;
    type Options = S3Options;
    type ReadOptions = options::ReadOptions;
    type WriteOptions = options::WriteOptions;

    async fn open(options: Self::Options, opening: Opening<'_>) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Files {
            place: Arc::new(place(&options, opening)?),
        }))
    }
}

/// The bucket, or the folder in it.
pub(super) fn place(options: &S3Options, opening: Opening<'_>) -> Result<Place> {
    let store = open_store(options, opening.secrets)?;
    let prefix = options.prefix.as_deref().unwrap_or_default();
    let root = Path::parse(prefix).map_err(|error| {
        let message = format!("`{prefix}` is not a folder of a bucket");
        Error::new(ErrorKind::InvalidInput, message).caused_by(error)
    })?;
    let name = format!("bucket `{}`", options.bucket);
    Ok(Place { store, root, name })
}
