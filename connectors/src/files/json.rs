//! NDJSON: one object a line.
//!
//! Knows JSON. The JSON types decide: a number is `long` or `double`, a text stays `string` (declare `schema:` for
//! dates and exact numbers), and nested values become lists and structs.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema_from_iterator;
use bytes::BytesMut;
use futures::TryStreamExt as _;
use serde_json::{Map, Value};

use super::bytes::ByteStream;
use super::decode::{self, BATCH_ROWS};
use super::failure;
use super::normal::normal;
use crate::contract::BatchStream;
use crate::error::{Error, ErrorKind, Result};

/// The longest line, in bytes.
const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// The rows, decoded into the columns of the schema. `strict` refuses a key that the schema does not have, and a number
/// where it has text.
pub(super) fn rows(
    bytes: ByteStream,
    schema: SchemaRef,
    strict: bool,
    file: &str,
) -> Result<BatchStream> {
    let decoder = ReaderBuilder::new(schema)
        .with_batch_size(BATCH_ROWS)
        .with_strict_mode(strict)
        .with_coerce_primitive(!strict)
        .build_decoder()
        .map_err(|error| {
            failure::bad_data("a column has a type that JSON cannot hold", file).caused_by(error)
        })?;
    Ok(decode::batches(bytes, decoder, file.to_owned()))
}

/// The first objects of a file, until the rows or bytes are enough.
pub(super) async fn sample(
    mut bytes: ByteStream,
    rows: usize,
    limit: usize,
    file: &str,
) -> Result<Vec<Value>> {
    let mut pending = BytesMut::new();
    let mut seen = 0;
    let mut objects = Vec::new();
    loop {
        let more = bytes.try_next().await?;
        let ended = more.is_none();
        if let Some(more) = more {
            seen += more.len();
            pending.extend_from_slice(&more);
        }
        while let Some(line) = next_line(&mut pending, ended) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let object: Map<String, Value> = serde_json::from_slice(&line).map_err(|error| {
                failure::bad_data("a line is not a JSON object", file)
                    .with("row", objects.len() + 1)
                    .caused_by(error)
            })?;
            objects.push(Value::Object(object));
            if objects.len() >= rows {
                return Ok(objects);
            }
        }
        if ended || (seen >= limit && !objects.is_empty()) {
            return Ok(objects);
        }
        if pending.len() > MAX_LINE_BYTES {
            let message = format!("a line is longer than {MAX_LINE_BYTES} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, message).with("file", file));
        }
    }
}

fn next_line(pending: &mut BytesMut, ended: bool) -> Option<BytesMut> {
    match pending.iter().position(|&byte| byte == b'\n') {
        Some(end) => Some(pending.split_to(end + 1)),
        None if ended && !pending.is_empty() => Some(pending.split()),
        None => None,
    }
}

/// A column of a sample: its name, its type, and why it has it.
pub(super) type Inferred = (Field, String);

/// The columns of a sample, in the order in which keys first appear.
pub(super) fn infer(objects: &[Value], file: &str) -> Result<Vec<Inferred>> {
    let mut keys: Vec<&String> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for key in objects
        .iter()
        .filter_map(Value::as_object)
        .flat_map(Map::keys)
    {
        if known.insert(key) {
            keys.push(key);
        }
    }
    let schema = infer_json_schema_from_iterator(objects.iter().map(Ok)).map_err(|error| {
        failure::bad_data("the rows do not agree on the type of a column", file)
            .help("declare `schema:`")
            .caused_by(error)
    })?;
    keys.into_iter()
        .map(|key| column(key, &schema, objects, file))
        .collect()
}

fn column(key: &str, schema: &Schema, objects: &[Value], file: &str) -> Result<Inferred> {
    let inferred = schema
        .field_with_name(key)
        .map_or(&DataType::Utf8, Field::data_type);
    let data_type = normal(inferred).ok_or_else(|| {
        failure::bad_data(
            format!("the column `{key}` has a type the lake does not hold"),
            file,
        )
    })?;
    let decides = |value: &Value| match &data_type {
        DataType::Float64 => value.is_f64(),
        _ => !value.is_null(),
    };
    let found = objects.iter().enumerate().find_map(|(row, object)| {
        object
            .get(key)
            .filter(|value| decides(value))
            .map(|value| (row, value.to_string()))
    });
    let word = crate::column_type::word(&data_type);
    let reason = match found {
        Some((row, value)) => {
            let shown: String = value.chars().take(24).collect();
            format!("{word}, because row {} of `{file}` has `{shown}`", row + 1)
        }
        None => format!("{word}, because no row of the sample has a value"),
    };
    Ok((Field::new(key, data_type, true), reason))
}

/// The schema to decode with: what the target asks for, where JSON can be decoded into it directly.
pub(super) fn decoded_as(target: &SchemaRef, without: impl Fn(&str) -> bool) -> SchemaRef {
    let fields = target
        .fields()
        .iter()
        .filter(|field| !without(field.name()));
    let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.map(nullable).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_types_decide() {
        let objects = [
            serde_json::json!({ "id": 1, "price": 2, "at": "2024-01-01", "tags": ["a"] }),
            serde_json::json!({ "id": 2, "price": 2.5, "more": null }),
        ];
        let got = infer(&objects, "a.ndjson").unwrap();
        let reasons: Vec<_> = got
            .iter()
            .map(|(field, reason)| format!("{}: {reason}", field.name()))
            .collect();
        assert_eq!(reasons[0], "id: long, because row 1 of `a.ndjson` has `1`");
        assert_eq!(
            reasons[1],
            "price: double, because row 2 of `a.ndjson` has `2.5`"
        );
        assert!(
            reasons[2].starts_with("at: string, because row 1"),
            "{reasons:?}"
        );
        assert_eq!(
            reasons[4],
            "more: string, because no row of the sample has a value"
        );
    }
}
