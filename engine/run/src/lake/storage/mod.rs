//! The files of tables: one object store for a local folder and for the S3 API.
//!
//! Knows paths and bytes; knows nothing of tables, catalogs and commits.

mod file_io;
mod stores;

use std::collections::HashMap;
use std::sync::Arc;

use connectors::{Error, ErrorKind, Result};
use iceberg::io::{FileIO, FileIOBuilder};
use object_store::ObjectStore;
use object_store::aws::AwsCredentialProvider;
use object_store::path::Path;
use uuid::Uuid;

use self::file_io::ObjectStorageFactory;
use self::stores::Stores;
use super::id::TableId;
use super::options::WarehouseOptions;

/// Where new tables go, and how files anywhere in the lake are read and written.
pub(super) struct Warehouse {
    root: String,
    options: WarehouseOptions,
    stores: Arc<Stores>,
}

impl Warehouse {
    /// A warehouse; nothing is read or written yet.
    pub(super) fn open(options: WarehouseOptions) -> Result<Self> {
        let root = match &options {
            WarehouseOptions::Local { path } => {
                let path = std::path::absolute(path).map_err(|error| {
                    Error::new(
                        ErrorKind::InvalidInput,
                        "the path of the warehouse is not usable",
                    )
                    .with("path", path.display())
                    .caused_by(error)
                })?;
                format!("file://{}", path.display())
            }
            WarehouseOptions::S3(s3) => {
                let prefix = s3.prefix.trim_matches('/');
                let slash = if prefix.is_empty() { "" } else { "/" };
                format!("s3://{}{slash}{prefix}", s3.bucket)
            }
        };
        let root = root.trim_end_matches('/').to_owned();
        let stores = Arc::new(Stores::open(&options));
        Ok(Self {
            root,
            options,
            stores,
        })
    }

    /// Where a table that does not exist yet will be. The identifier in it keeps the files of a table that is dropped
    /// and made again apart.
    pub(super) fn place(&self, id: &TableId, uuid: Uuid) -> String {
        let hex = uuid.simple().to_string();
        let short = hex.get(..8).unwrap_or(&hex);
        format!("{}/{}/{}-{short}", self.root, id.namespace, id.name)
    }

    /// File access with the keys of the warehouse.
    pub(super) fn file_io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(ObjectStorageFactory::of(Arc::clone(&self.stores)))).build()
    }

    /// The store that holds an address, and the path in it.
    pub(super) fn at(&self, address: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        self.stores.at(address)
    }

    /// Whether the files are behind an interface that keys open.
    pub(super) const fn takes_keys(&self) -> bool {
        matches!(self.options, WarehouseOptions::S3(_))
    }

    /// Whether the project itself has keys to the files.
    pub(super) const fn has_keys(&self) -> bool {
        matches!(&self.options, WarehouseOptions::S3(s3) if s3.access_key.is_some())
    }

    /// File access with keys that a catalog hands out for one table, in the place that it tells (`s3.region` and so on).
    pub(super) fn vended_io(
        &self,
        place: &HashMap<String, String>,
        keys: AwsCredentialProvider,
    ) -> FileIO {
        let WarehouseOptions::S3(s3) = &self.options else {
            return self.file_io();
        };
        let options = stores::in_place(s3.clone(), place);
        let stores = Arc::new(Stores::with_keys(options, keys));
        FileIOBuilder::new(Arc::new(ObjectStorageFactory::of(stores))).build()
    }

    /// Where new tables go.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Asks whether the storage answers; one line for people.
    pub(super) async fn probe(&self) -> Result<String> {
        self.stores.probe(&self.root).await?;
        Ok(self.root.clone())
    }
}
