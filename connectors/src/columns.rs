//! Columns as a spec declares them.
//!
//! Knows names and the words for types; knows nothing of where the columns are used.

use std::borrow::Cow;
use std::fmt;

use arrow::datatypes::{DataType, Field, Schema};
use schemars::JsonSchema;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::column_type;

/// Declared columns: a mapping `name: type`, or a list of `{ name, type, nullable }`.
#[derive(Debug, Clone)]
pub(crate) struct Columns(Vec<Column>);

/// A declared column.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Column {
    /// The name.
    name: String,
    /// The type, a word like `long` or `decimal(15,2)`.
    #[serde(rename = "type")]
    word: TypeWord,
    /// Whether it may be NULL; `true` when left out.
    #[serde(default = "yes")]
    nullable: bool,
}

const fn yes() -> bool {
    true
}

/// A word for a type, already understood.
#[derive(Debug, Clone, JsonSchema)]
struct TypeWord(#[schemars(with = "String")] DataType);

impl<'de> Deserialize<'de> for TypeWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        column_type::parse(&word).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "no column type named `{word}`: there are {}",
                column_type::WORDS
            ))
        })
    }
}

impl Columns {
    /// The schema they declare.
    pub(crate) fn schema(&self) -> Schema {
        let field =
            |column: &Column| Field::new(&column.name, column.word.0.clone(), column.nullable);
        Schema::new(self.0.iter().map(field).collect::<Vec<_>>())
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnsVisitor)
    }
}

struct ColumnsVisitor;

impl<'de> Visitor<'de> for ColumnsVisitor {
    type Value = Columns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of names to types, or a list of `{ name, type, nullable }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Columns, A::Error> {
        let mut columns = Vec::new();
        while let Some((name, word)) = map.next_entry()? {
            columns.push(Column {
                name,
                word,
                nullable: true,
            });
        }
        distinct(columns)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Columns, A::Error> {
        let mut columns = Vec::new();
        while let Some(column) = list.next_element()? {
            columns.push(column);
        }
        distinct(columns)
    }
}

fn distinct<E: serde::de::Error>(columns: Vec<Column>) -> Result<Columns, E> {
    let mut seen = std::collections::BTreeSet::new();
    for column in &columns {
        if !seen.insert(column.name.as_str()) {
            return Err(E::custom(format!(
                "the column `{}` is declared twice",
                column.name
            )));
        }
    }
    if columns.is_empty() {
        return Err(E::custom("a schema has at least one column"));
    }
    Ok(Columns(columns))
}

impl JsonSchema for Columns {
    fn schema_name() -> Cow<'static, str> {
        "Columns".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let column = generator.subschema_for::<Column>();
        schemars::json_schema!({
            "description": "The columns: a mapping `name: type`, or a list of `{ name, type, nullable }`.",
            "oneOf": [
                { "type": "object", "minProperties": 1, "additionalProperties": { "type": "string" } },
                { "type": "array", "minItems": 1, "items": column }
            ]
        })
    }
}
