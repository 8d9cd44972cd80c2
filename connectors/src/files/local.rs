//! `local`: a folder of this machine.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::local::LocalFileSystem;
use schemars::JsonSchema;
use serde::Deserialize;

use super::place::Place;
use super::{CAPABILITY, Files, options};
use crate::contract::{Capability, Connection, Connector, Opening};
use crate::error::{Error, ErrorKind, Result};

/// Files in a folder of this machine.
pub(crate) struct Local;

/// A folder of this machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalOptions {
    /// The folder, relative to the project's. It is made when something is written into it.
    path: PathBuf,
}

#[async_trait]
impl Connector for Local {
    const KIND: &'static str = "local";
    const CAPABILITY: Capability = CAPABILITY;
    type Options = LocalOptions;
    type ReadOptions = options::ReadOptions;
    type WriteOptions = options::WriteOptions;

    async fn open(options: Self::Options, opening: Opening<'_>) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Files {
            place: Arc::new(place(&options, opening)?),
        }))
    }
}

/// The folder, which need not be there yet.
pub(super) fn place(options: &LocalOptions, opening: Opening<'_>) -> Result<Place> {
    let bad = |error: Box<dyn std::error::Error + Send + Sync>| {
        let message = format!("`{}` is not a usable folder", options.path.display());
        Error::new(ErrorKind::InvalidInput, message).caused_by(error)
    };
    let folder =
        std::path::absolute(opening.root.join(&options.path)).map_err(|error| bad(error.into()))?;
    let root = object_store::path::Path::from_absolute_path(plain(&folder))
        .map_err(|error| bad(error.into()))?;
    let name = format!("folder `{}`", options.path.display());
    let store = Arc::new(LocalFileSystem::new());
    Ok(Place { store, root, name })
}

/// The path without `.` and `..`, which stores do not have.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
