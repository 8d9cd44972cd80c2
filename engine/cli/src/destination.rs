//! Where a long answer goes: stdout, or a file that appears only when it is whole.
//!
//! Knows nothing of what is written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use connectors::{Error, ErrorKind};

use crate::exit::Failure;

/// Where a long answer goes. Dropped before it is complete, it leaves no file behind.
pub(crate) struct Destination {
    /// The unfinished file and its name to be; `None` for stdout.
    file: Option<(PathBuf, PathBuf)>,
}

impl Destination {
    /// Opens the file beside which the answer grows, or stdout.
    pub(crate) fn open(out: Option<&Path>) -> Result<(Self, Box<dyn Write + Send>), Failure> {
        let Some(out) = out else {
            return Ok((Self { file: None }, Box::new(BufWriter::new(io::stdout()))));
        };
        let mut part = out.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|error| unwritable(&part, error))?;
        Ok((
            Self {
                file: Some((part, out.to_owned())),
            },
            Box::new(BufWriter::new(file)),
        ))
    }

    /// Gives the file its name, once everything is in it.
    pub(crate) fn complete(mut self) -> Result<(), Failure> {
        if let Some((part, out)) = self.file.take() {
            std::fs::rename(&part, &out).map_err(|error| unwritable(&out, error))?;
        }
        Ok(())
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some((part, _)) = &self.file {
            // What cannot be removed now is overwritten by the next answer.
            drop(std::fs::remove_file(part));
        }
    }
}

fn unwritable(file: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, "the file cannot be written")
        .with("file", file.display())
        .caused_by(error)
        .retry(false)
}
