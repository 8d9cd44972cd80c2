//! `minio`: a bucket of a MinIO server, or of another that is reached the same way.
//!
//! The same as `s3` with the options such servers need: an endpoint, and the bucket in the path.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::place::Place;
use super::store::S3Options;
use super::{CAPABILITY, Files, options, s3};
use crate::contract::{Capability, Connection, Connector, Opening};
use crate::error::Result;
use crate::secret::SecretRef;

/// Files in a bucket of a MinIO server.
pub(crate) struct Minio;

/// A bucket of a MinIO server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MinioOptions {
    /// The address of the server, `https://host:port`; `http://` only on this machine.
    endpoint: String,
    /// The bucket.
    bucket: String,
    /// The folder of the bucket that paths are relative to; the whole bucket when left out.
    prefix: Option<String>,
    /// The region the server was given; `us-east-1` when left out.
    region: Option<String>,
    /// The access key; together with `secret_key`.
    access_key: Option<SecretRef>,
    /// The secret key; together with `access_key`.
    secret_key: Option<SecretRef>,
    /// The token of temporary keys.
    session_token: Option<SecretRef>,
    /// Sends no credentials at all, for public buckets.
    #[serde(default)]
    anonymous: bool,
    /// Allows an `http://` endpoint on a host other than this machine.
    #[serde(default)]
    allow_http: bool,
}

#[async_trait]
impl Connector for Minio {
    const KIND: &'static str = "minio";
    const CAPABILITY: Capability = CAPABILITY;
    type Options = MinioOptions;
    type ReadOptions = options::ReadOptions;
    type WriteOptions = options::WriteOptions;

    async fn open(options: Self::Options, opening: Opening<'_>) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Files {
            place: Arc::new(place(options, opening)?),
        }))
    }
}

/// The bucket, or the folder in it.
pub(super) fn place(options: MinioOptions, opening: Opening<'_>) -> Result<Place> {
    let options = S3Options {
        bucket: options.bucket,
        prefix: options.prefix,
        region: options.region,
        endpoint: Some(options.endpoint),
        access_key: options.access_key,
        secret_key: options.secret_key,
        session_token: options.session_token,
        anonymous: options.anonymous,
        path_style: true,
        allow_http: options.allow_http,
    };
    s3::place(&options, opening)
}
