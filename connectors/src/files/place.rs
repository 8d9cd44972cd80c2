//! Where a connection's files lie: a store, and a folder of it.
//!
//! Knows paths; knows nothing of patterns and formats.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};

use super::failure;
use crate::error::{Error, ErrorKind, Result};

/// A store and the folder in it that all paths of the connection are relative to.
pub(super) struct Place {
    /// The store.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The folder.
    pub(super) root: Path,
    /// How messages call it: ``folder `data` ``, ``bucket `lake` ``.
    pub(super) name: String,
}

impl Place {
    /// The full path of a relative one. Refuses what would leave the place.
    pub(super) fn locate(&self, relative: &str) -> Result<Path> {
        let bad = || {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{relative}` is not a path inside {}", self.name),
            )
            .help("write it relative to the connection, without `..` and without a leading `/`")
        };
        if relative.starts_with('/') {
            return Err(bad());
        }
        let tail = Path::parse(relative).map_err(|error| bad().caused_by(error))?;
        Ok(self.root.parts().chain(tail.parts()).collect())
    }

    /// The path relative to the place; the whole path where it lies outside.
    pub(super) fn relative(&self, location: &Path) -> String {
        let full = location.as_ref();
        let root = self.root.as_ref();
        full.strip_prefix(root)
            .map_or(full, |tail| tail.trim_start_matches('/'))
            .to_owned()
    }

    /// What the store knows of a file; `None` where there is none (or where the path is a folder).
    pub(super) async fn head(&self, location: &Path) -> Result<Option<ObjectMeta>> {
        match self.store.head(location).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure::of_store(error, self.relative(location))),
        }
    }
}

/// What tells one content of a file from another: the etag, or size and time where the store has none.
pub(super) fn pin(meta: &ObjectMeta) -> String {
    meta.e_tag
        .clone()
        .unwrap_or_else(|| format!("{}-{}", meta.size, meta.last_modified.timestamp_micros()))
}
