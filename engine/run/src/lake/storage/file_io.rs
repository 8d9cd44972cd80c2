//! The Iceberg library's view of files, over an object store.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use iceberg::io::{
    FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use iceberg::{Error, ErrorKind, Result};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::stores::Stores;

/// Bytes a file is buffered for before it becomes a multipart upload, and the size of a part.
const PART_BYTES: usize = 8 << 20;
/// Parts of one file on their way at once.
const PARTS_IN_FLIGHT: usize = 2;

/// Makes [`ObjectStorage`]. The library asks for factories it could send elsewhere; ours only works where it was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ObjectStorageFactory {
    #[serde(skip)]
    stores: Option<Arc<Stores>>,
}

impl ObjectStorageFactory {
    /// A factory for these stores.
    pub(super) const fn of(stores: Arc<Stores>) -> Self {
        Self {
            stores: Some(stores),
        }
    }
}

#[typetag::serde(name = "LakewrightObjectStorageFactory")]
impl StorageFactory for ObjectStorageFactory {
    fn build(&self, _: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(ObjectStorage {
            stores: self.stores.clone(),
        }))
    }
}

/// Files over an object store.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ObjectStorage {
    #[serde(skip)]
    stores: Option<Arc<Stores>>,
}

impl ObjectStorage {
    fn at(&self, address: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
        let stores = self.stores.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::PreconditionFailed,
                "file access cannot be sent between processes",
            )
        })?;
        stores.at(address).map_err(|error| {
            Error::new(ErrorKind::DataInvalid, "a file has no store").with_source(error)
        })
    }
}

/// Wraps an error of the store with the file it is about.
fn about(address: &str) -> impl Fn(object_store::Error) -> Error + '_ {
    move |error| {
        Error::new(ErrorKind::Unexpected, "the object store failed")
            .with_context("file", address)
            .with_source(error)
    }
}

#[async_trait]
#[typetag::serde(name = "LakewrightObjectStorage")]
impl Storage for ObjectStorage {
    async fn exists(&self, address: &str) -> Result<bool> {
        let (store, path) = self.at(address)?;
        match store.head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(about(address)(error)),
        }
    }

    async fn metadata(&self, address: &str) -> Result<FileMetadata> {
        let (store, path) = self.at(address)?;
        Ok(FileMetadata {
            size: store.head(&path).await.map_err(about(address))?.size,
        })
    }

    async fn read(&self, address: &str) -> Result<Bytes> {
        let (store, path) = self.at(address)?;
        let found = store.get(&path).await.map_err(about(address))?;
        found.bytes().await.map_err(about(address))
    }

    async fn reader(&self, address: &str) -> Result<Box<dyn FileRead>> {
        let (store, path) = self.at(address)?;
        Ok(Box::new(Reader {
            store,
            path,
            address: address.to_owned(),
        }))
    }

    async fn write(&self, address: &str, bytes: Bytes) -> Result<()> {
        let (store, path) = self.at(address)?;
        store
            .put(&path, bytes.into())
            .await
            .map_err(about(address))?;
        Ok(())
    }

    async fn writer(&self, address: &str) -> Result<Box<dyn FileWrite>> {
        let (store, path) = self.at(address)?;
        let inner =
            BufWriter::with_capacity(store, path, PART_BYTES).with_max_concurrency(PARTS_IN_FLIGHT);
        Ok(Box::new(Writer {
            inner,
            address: address.to_owned(),
        }))
    }

    async fn delete(&self, address: &str) -> Result<()> {
        let (store, path) = self.at(address)?;
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(about(address)(error)),
        }
    }

    async fn delete_prefix(&self, address: &str) -> Result<()> {
        let (store, path) = self.at(address)?;
        let found = store.list(Some(&path)).map_ok(|file| file.location).boxed();
        store
            .delete_stream(found)
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(about(address))
    }

    async fn delete_stream(&self, mut addresses: BoxStream<'static, String>) -> Result<()> {
        while let Some(address) = addresses.next().await {
            self.delete(&address).await?;
        }
        Ok(())
    }

    fn new_input(&self, address: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), address.to_owned()))
    }

    fn new_output(&self, address: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), address.to_owned()))
    }
}

/// Reads ranges of one file.
struct Reader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    address: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        self.store
            .get_range(&self.path, range)
            .await
            .map_err(about(&self.address))
    }
}

/// Writes one file; small ones in a single put, so that a manifest is one request.
struct Writer {
    inner: BufWriter,
    address: String,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.inner.put(bytes).await.map_err(about(&self.address))
    }

    async fn close(&mut self) -> Result<()> {
        self.inner.shutdown().await.map_err(|error| {
            Error::new(ErrorKind::Unexpected, "a file could not be closed")
                .with_context("file", &self.address)
                .with_source(error)
        })
    }
}
