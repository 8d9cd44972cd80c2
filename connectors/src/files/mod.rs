//! Files: one implementation over a store of objects, and the three connectors that open one.
//!
//! Knows paths, formats and stores. Does not know what the rows mean, when they are read, or where they go.

mod bytes;
mod conform;
mod csv;
mod decode;
mod encode;
mod explain;
mod failure;
mod format;
mod hive;
mod infer;
mod ipc;
mod json;
mod layout;
mod listing;
mod local;
mod minio;
mod normal;
mod options;
mod parquet;
mod pattern;
mod place;
mod s3;
mod scan;
mod sink;
mod source;
mod store;

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;

pub use explain::explain_columns;
pub(crate) use local::Local;
pub(crate) use minio::Minio;
pub(crate) use s3::S3;
pub use store::{S3Options, open_store};

use crate::contract::{
    Capability, Connection, Incremental, Sink, SinkCapability, Source, SourceCapability,
};
use crate::error::Result;
use place::Place;

/// What every connector of files can do.
const CAPABILITY: Capability = Capability {
    source: Some(SourceCapability {
        changes: false,
        sessions: false,
        queries: false,
        predicates: false,
        incremental: Incremental::Files,
    }),
    sink: Some(SinkCapability {
        append: true,
        replace: true,
        merge: false,
        remembers: false,
    }),
};

/// A connection: a place with files.
pub(crate) struct Files {
    place: Arc<Place>,
}

#[async_trait]
impl Connection for Files {
    fn source(&self) -> Option<&dyn Source> {
        Some(self)
    }

    fn sink(&self) -> Option<&dyn Sink> {
        Some(self)
    }

    async fn probe(&self) -> Result<String> {
        let place = &self.place;
        let mut listed = place.store.list(Some(&place.root));
        match listed.try_next().await {
            Ok(Some(_)) => Ok(format!("{}, with files", place.name)),
            Ok(None) | Err(object_store::Error::NotFound { .. }) => {
                Ok(format!("{}, without files", place.name))
            }
            Err(error) => Err(failure::of_store(error, &place.name)),
        }
    }
}
