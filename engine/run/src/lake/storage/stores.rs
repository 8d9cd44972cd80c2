//! Finds the object store and the path in it for an address (`file:///…`, `s3://bucket/…`).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use connectors::{Error, ErrorKind, Result};
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, AwsCredentialProvider};
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use crate::lake::failure::store_failed;
use crate::lake::options::{S3Options, WarehouseOptions};

/// The ways `s3://` is spelled by other engines.
const S3_SCHEMES: [&str; 3] = ["s3://", "s3a://", "s3n://"];

/// The object stores behind one set of options.
pub(super) enum Stores {
    /// The local file system, from its root.
    Local(Arc<dyn ObjectStore>),
    /// One client a bucket, made when the bucket is first met.
    S3 {
        options: Box<S3Options>,
        /// Keys that change while they are in use, in place of those of the options.
        keys: Option<AwsCredentialProvider>,
        buckets: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
    },
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold keys.
        f.write_str(match self {
            Self::Local(_) => "local files",
            Self::S3 { .. } => "S3 buckets",
        })
    }
}

impl Stores {
    /// The stores; no connection is made yet.
    pub(super) fn open(options: &WarehouseOptions) -> Self {
        match options {
            WarehouseOptions::Local { .. } => Self::Local(Arc::new(LocalFileSystem::new())),
            WarehouseOptions::S3(s3) => Self::S3 {
                options: Box::new(s3.clone()),
                keys: None,
                buckets: Mutex::default(),
            },
        }
    }

    /// S3 with keys that change while they are in use.
    pub(super) fn with_keys(options: S3Options, keys: AwsCredentialProvider) -> Self {
        Self::S3 {
            options: Box::new(options),
            keys: Some(keys),
            buckets: Mutex::default(),
        }
    }

    /// The store that holds an address, and the path in it.
    pub(super) fn at(&self, address: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let (store, path) = match self {
            Self::Local(store) => {
                let path = address
                    .strip_prefix("file://")
                    .or(address.strip_prefix("file:"));
                (Arc::clone(store), path.unwrap_or(address))
            }
            Self::S3 {
                options,
                keys,
                buckets,
            } => {
                let rest = S3_SCHEMES
                    .iter()
                    .find_map(|scheme| address.strip_prefix(scheme));
                let (bucket, path) = rest
                    .and_then(|rest| rest.split_once('/'))
                    .unwrap_or(("", address));
                (bucket_store(options, keys.as_ref(), buckets, bucket)?, path)
            }
        };
        if path.contains("://") {
            return Err(Error::new(ErrorKind::Unsupported, "the file is outside the warehouse's storage")
                .with("file", address)
                .help("a lake reads files of one kind of storage: give the catalog and the warehouse the same one"));
        }
        let path = Path::parse(path.trim_start_matches('/')).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "the path of a file is not usable")
                .with("file", address)
                .caused_by(error)
        })?;
        Ok((store, path))
    }

    /// Asks whether the storage answers. A local folder that is not there yet is fine: the first write makes it.
    pub(super) async fn probe(&self, root: &str) -> Result<()> {
        let (store, path) = self.at(root)?;
        match store.list(Some(&path)).next().await {
            None | Some(Ok(_) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Some(Err(error)) => {
                Err(store_failed("the warehouse does not answer")(error).with("warehouse", root))
            }
        }
    }
}

/// The client of one bucket.
fn bucket_store(
    options: &S3Options,
    keys: Option<&AwsCredentialProvider>,
    buckets: &Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
    bucket: &str,
) -> Result<Arc<dyn ObjectStore>> {
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = buckets.get(bucket) {
        return Ok(Arc::clone(store));
    }
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(options.region.as_deref().unwrap_or("us-east-1"))
        .with_virtual_hosted_style_request(!options.path_style)
        .with_allow_http(options.allow_http);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(key) = &options.access_key {
        builder = builder.with_access_key_id(key.expose());
    }
    if let Some(key) = &options.secret_key {
        builder = builder.with_secret_access_key(key.expose());
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.expose());
    }
    if let Some(keys) = keys {
        builder = builder.with_credentials(Arc::clone(keys));
    }
    let store = builder
        .build()
        .map_err(store_failed("the options of the bucket do not fit"))?;
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    buckets.insert(bucket.to_owned(), Arc::clone(&store));
    Ok(store)
}

/// The options with what a catalog tells about the place of one table's files.
pub(super) fn in_place(mut options: S3Options, place: &HashMap<String, String>) -> S3Options {
    if options.endpoint.is_none() {
        options.endpoint = place.get("s3.endpoint").cloned();
    }
    if let Some(region) = place
        .get("s3.region")
        .or_else(|| place.get("client.region"))
    {
        options.region = Some(region.clone());
    }
    if place
        .get("s3.path-style-access")
        .is_some_and(|value| value == "true")
    {
        options.path_style = true;
    }
    options
}
