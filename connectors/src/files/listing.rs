//! The files of a pattern, and which of them a read takes.
//!
//! Knows names, sizes and etags; opens no file.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::failure;
use super::pattern::Pattern;
use super::place::{self, Place};
use crate::contract::Window;
use crate::error::{Error, ErrorKind, Result};
use crate::value::Watermark;

/// More files than this are not listed.
const MAX_FILES: usize = 1_000_000;

/// How many names a message about a missing file shows.
const NEARBY: usize = 5;

/// A file as the listing saw it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its path relative to the place.
    pub(super) path: String,
    /// What the store said of it.
    pub(super) meta: ObjectMeta,
}

impl Found {
    /// What tells this content from another.
    pub(super) fn pin(&self) -> String {
        place::pin(&self.meta)
    }
}

/// All files of the pattern, by path.
pub(super) async fn list(place: &Place, pattern: &Pattern) -> Result<Vec<Found>> {
    if let Some(path) = pattern.literal() {
        let location = place.locate(path)?;
        if let Some(meta) = place.head(&location).await? {
            return Ok(vec![Found {
                path: path.to_owned(),
                meta,
            }]);
        }
    }
    let folder = place.locate(pattern.folder())?;
    let mut listed = place.store.list(Some(&folder));
    let mut found = Vec::new();
    loop {
        let meta = match listed.try_next().await {
            Ok(Some(meta)) => meta,
            Ok(None) | Err(object_store::Error::NotFound { .. }) => break,
            Err(error) => return Err(failure::of_store(error, pattern.folder())),
        };
        let path = place.relative(&meta.location);
        if !pattern.matches(&path) || path.ends_with('/') {
            continue;
        }
        if found.len() == MAX_FILES {
            let message = format!("`{}` means more than {MAX_FILES} files", pattern.text());
            return Err(Error::new(ErrorKind::LimitExceeded, message).help("narrow the pattern"));
        }
        found.push(Found { path, meta });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The error for a pattern without a file, with the names that are near.
pub(super) async fn nothing(place: &Place, pattern: &Pattern) -> Error {
    let error = Error::new(
        ErrorKind::NotFound,
        format!("no file matches `{}` in {}", pattern.text(), place.name),
    );
    let mut folder = pattern.folder();
    loop {
        let Ok(location) = place.locate(folder) else {
            return error;
        };
        let names = names_in(place, &location).await;
        if !names.is_empty() {
            let here = if folder.is_empty() {
                place.name.clone()
            } else {
                format!("`{folder}`")
            };
            return error.help(format!("in {here} there are {}", names.join(", ")));
        }
        match folder.rsplit_once('/') {
            Some((parent, _)) => folder = parent,
            None if folder.is_empty() => {
                return error.help("there is no file at all: check the path of the connection");
            }
            None => folder = "",
        }
    }
}

async fn names_in(place: &Place, folder: &Path) -> Vec<String> {
    let Ok(listed) = place.store.list_with_delimiter(Some(folder)).await else {
        return Vec::new();
    };
    let folders = listed.common_prefixes.iter().map(|path| (path, "/"));
    let files = listed.objects.iter().map(|meta| (&meta.location, ""));
    let name = |(path, end): (&Path, &str)| path.filename().map(|name| format!("`{name}{end}`"));
    let mut names: Vec<_> = folders
        .chain(files)
        .filter_map(name)
        .take(NEARBY + 1)
        .collect();
    if names.len() > NEARBY {
        names.truncate(NEARBY);
        names.push("others".to_owned());
    }
    names
}

/// The watermark of a listing; `None` where there are no files.
pub(super) fn watermark(found: &[Found]) -> Option<Watermark> {
    let files: BTreeMap<_, _> = found
        .iter()
        .map(|file| (file.path.clone(), file.pin()))
        .collect();
    (!files.is_empty()).then_some(Watermark::Files(files))
}

/// The files of the window: those of `until` that `after` does not have with the same content. A file of `until`
/// that must be read and is gone or changed is a conflict: its rows cannot be had any more.
pub(super) fn in_window(found: &[Found], window: Option<&Window>) -> Result<Vec<Found>> {
    let Some(window) = window else {
        return Ok(found.to_vec());
    };
    if let Some(column) = &window.column {
        let message = format!("files cannot be read by the watermark column `{column}`");
        return Err(Error::new(ErrorKind::Unsupported, message)
            .help("leave `watermark` out: the files that are new are what is read"));
    }
    let none = BTreeMap::new();
    let after = files_of(window.after.as_ref())?.unwrap_or(&none);
    let until = files_of(window.until.as_ref())?.unwrap_or(&none);
    let by_path: BTreeMap<&str, &Found> = found
        .iter()
        .map(|file| (file.path.as_str(), file))
        .collect();
    let mut chosen = Vec::new();
    for (path, pin) in until {
        if after.get(path) == Some(pin) {
            continue;
        }
        match by_path.get(path.as_str()) {
            Some(file) if file.pin() == *pin => chosen.push((*file).clone()),
            Some(_) => return Err(failure::changed(path)),
            None => {
                let message = format!("the file `{path}` was removed before it was read");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
    }
    Ok(chosen)
}

fn files_of(watermark: Option<&Watermark>) -> Result<Option<&BTreeMap<String, String>>> {
    match watermark {
        None => Ok(None),
        Some(Watermark::Files(files)) => Ok(Some(files)),
        Some(Watermark::Value(_)) => Err(Error::new(
            ErrorKind::InvalidInput,
            "the watermark of this read is a value, and files have none",
        )
        .help("the source of the step was changed: reset its watermark")),
    }
}
