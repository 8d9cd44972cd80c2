//! Why the columns of a read have their types, for whoever asks: `plan -v`.
//!
//! Knows which connectors read files; reads no more than a scan's sample.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Files, Local, Minio, S3, local, minio, s3};
use crate::contract::{Connector, Opening, Read};
use crate::error::{Error, ErrorKind, Result};

/// One line a column, ``o_totalprice: double, because row 3 of `a.csv` has `12.5` ``; `None` where connectors of this
/// kind read no files.
pub async fn explain_columns(
    kind: &str,
    options: Value,
    opening: Opening<'_>,
    read: &Read,
) -> Result<Option<Vec<String>>> {
    let place = match kind {
        Local::KIND => local::place(&parsed(options)?, opening)?,
        Minio::KIND => minio::place(parsed(options)?, opening)?,
        S3::KIND => s3::place(&parsed(options)?, opening)?,
        _ => return Ok(None),
    };
    let files = Files {
        place: place.into(),
    };
    Ok(Some(files.open(read).await?.layout.reasons))
}

fn parsed<T: DeserializeOwned>(options: Value) -> Result<T> {
    serde_json::from_value(options).map_err(|error| {
        let message = "the options of the connection do not fit its connector";
        Error::new(ErrorKind::InvalidInput, message).caused_by(error)
    })
}
