//! What all relational sources do alike: columns by their names, splits as they are written down.
//!
//! Knows no system: each has its own columns and its own parts.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contract::Split;
use crate::error::{Error, ErrorKind, Result};

/// A column as a system describes it.
pub(crate) trait Named {
    fn name(&self) -> &str;
}

/// The column of this name, or the error that lists which there are.
pub(crate) fn column<'a, C: Named>(columns: &'a [C], name: &str) -> Result<&'a C> {
    columns
        .iter()
        .find(|column| column.name() == name)
        .ok_or_else(|| {
            let names: Vec<_> = columns
                .iter()
                .map(|column| format!("`{}`", column.name()))
                .collect();
            Error::new(ErrorKind::NotFound, format!("there is no column `{name}`"))
                .help(format!("the columns are {}", names.join(", ")))
        })
}

/// The columns that are wanted, in that order; all where none are named.
pub(crate) fn projected<C: Named + Clone>(all: &[C], wanted: Option<&[String]>) -> Result<Vec<C>> {
    match wanted {
        None => Ok(all.to_vec()),
        Some(names) => names
            .iter()
            .map(|name| column(all, name).cloned())
            .collect(),
    }
}

/// A part of a read, by its name.
pub(crate) fn split(name: String, part: &impl Serialize, rows: Option<u64>) -> Result<Split> {
    let payload = serde_json::to_value(part).map_err(|error| {
        Error::new(ErrorKind::Internal, "a split cannot be written down").caused_by(error)
    })?;
    Ok(Split {
        name,
        payload,
        rows,
    })
}

/// The part that a split stands for.
pub(crate) fn part<P: DeserializeOwned>(split: &Split) -> Result<P> {
    serde_json::from_value(split.payload.clone()).map_err(|error| {
        Error::new(ErrorKind::Internal, "a split cannot be read back")
            .with("split", &split.name)
            .caused_by(error)
    })
}
