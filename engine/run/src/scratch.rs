//! A folder for the time of a run.

use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind, Result};

/// A folder of one attempt. It goes with everything in it when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder, empty: what a dead process left there goes first.
    pub(crate) fn create(parent: &Path, run: &str) -> Result<Self> {
        let path = parent.join(format!("lakewright-{run}"));
        let failed = |error: std::io::Error| {
            Error::new(
                ErrorKind::Unavailable,
                "the run has no folder for its temporary files",
            )
            .with("folder", path.display())
            .caused_by(error)
            .retry(false)
        };
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        std::fs::create_dir_all(&path).map_err(failed)?;
        Ok(Self(path))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about a folder that will not go; the next attempt of the run tries again.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
