//! A folder for the time of a run.

use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind, Result};

use crate::failpoint::{self, Point};

/// Makes folders that only this user may look into: what is spilled there are rows of the sources.
fn private() -> std::fs::DirBuilder {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// A folder of one attempt. It goes with everything in it when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder, empty: what another process left there goes first. It is this one's alone, by the token of its
    /// lease: a process that has stood still takes nothing away from who goes on with the run.
    pub(crate) fn create(parent: &Path, run: &str, token: i64) -> Result<Self> {
        let of_run = Self::of(parent, run);
        let path = of_run.join(token.to_string());
        let failed = |error: std::io::Error| {
            Error::new(
                ErrorKind::Unavailable,
                "the run has no folder for its temporary files",
            )
            .with("folder", path.display())
            .caused_by(error)
            .retry(false)
        };
        match std::fs::remove_dir_all(&of_run) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        private().create(&path).map_err(failed)?;
        Ok(Self(path))
    }

    /// Removes what a dead process left there of a run that needs it no more.
    pub(crate) fn remove(parent: &Path, run: &str) {
        // Nothing can be done about a folder that will not go.
        let _ = std::fs::remove_dir_all(Self::of(parent, run));
    }

    fn of(parent: &Path, run: &str) -> PathBuf {
        parent.join(format!("lakewright-{run}"))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about a folder that will not go; the next attempt of the run tries again.
        failpoint::passing(Point::CleanScratch);
        let _ = std::fs::remove_dir_all(&self.0);
        if let Some(of_run) = self.0.parent() {
            // Unless another process has its own in it.
            let _ = std::fs::remove_dir(of_run);
        }
        failpoint::passed(Point::CleanScratch);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_may_look_into_it() {
        let root = std::env::temp_dir().join(format!("scratch-test-{}", std::process::id()));
        let parent = root.join("a");
        let scratch = Scratch::create(&parent, "run", 7).unwrap();
        let folders = [scratch.path(), &parent, &root];
        let modes = folders.map(|folder| {
            let folder = std::fs::metadata(folder).unwrap();
            folder.permissions().mode() & 0o777
        });
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(modes, [0o700; 3]);
    }
}
