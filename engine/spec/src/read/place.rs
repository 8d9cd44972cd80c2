//! Values that remember where they stood: [`At`], [`Named`], [`Raw`].
//!
//! `serde` has no word for places. These types ask for a newtype of a name that only our reader knows, and get a
//! sequence `file, start, end, value`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};

use super::error::ReadError;
use super::node::Reader;
use crate::source::{FileId, Span};
use crate::yaml::{Key, Value};

/// The newtype that asks for a place.
pub(super) const NAME: &str = "$spec::At";
/// The newtype that asks for a node's number.
pub(super) const RAW: &str = "$spec::Raw";

/// A value and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Placed<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Placed<T> {
            type Value = At<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<At<T>, A::Error> {
                let mut part = || {
                    access
                        .next_element::<u32>()?
                        .ok_or_else(|| A::Error::custom("a place has three parts"))
                };
                let span = Span {
                    file: FileId(part()?),
                    start: part()?,
                    end: part()?,
                };
                let value = access
                    .next_element()?
                    .ok_or_else(|| A::Error::custom("a place has a value"))?;
                Ok(At { value, span })
            }
        }

        deserializer.deserialize_newtype_struct(NAME, Placed(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A part of a document that only somebody else understands, by its node's number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Raw(pub(crate) u32);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("options")
            }

            fn visit_u32<E>(self, id: u32) -> Result<Raw, E> {
                Ok(Raw(id))
            }
        }

        deserializer.deserialize_newtype_struct(RAW, Number)
    }
}

impl JsonSchema for Raw {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Options".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

/// A mapping whose keys are names that the user chose, in the order they were written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named<T>(pub(crate) Vec<(At<String>, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for All<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = access.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }

        deserializer.deserialize_map(All(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": value })
    }
}

/// Hands out `file, start, end`, then the value.
pub(super) struct PlaceAccess<'a, 'de> {
    reader: Reader<'a, 'de>,
    next: u8,
}

impl<'a, 'de> PlaceAccess<'a, 'de> {
    pub(super) fn new(reader: Reader<'a, 'de>) -> Self {
        Self { reader, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for PlaceAccess<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.next = self.next.saturating_add(1);
        // A block may be long: its key says better where it is.
        let span = match self.reader.node.value {
            Value::Mapping(_) | Value::Sequence(_) | Value::Null => self.reader.anchor,
            _ => self.reader.node.span,
        };
        match part(span, self.next) {
            Some(number) => seed.deserialize(number).map(Some),
            None => seed.deserialize(self.reader).map(Some),
        }
    }
}

/// The same for a key.
pub(super) struct KeyPlace<'de> {
    key: &'de Key,
    next: u8,
}

impl<'de> KeyPlace<'de> {
    pub(super) fn new(key: &'de Key) -> Self {
        Self { key, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for KeyPlace<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.next = self.next.saturating_add(1);
        match part(self.key.span, self.next) {
            Some(number) => seed.deserialize(number).map(Some),
            None => seed
                .deserialize(BorrowedStrDeserializer::new(&self.key.text))
                .map(Some),
        }
    }
}

fn part(span: Span, number: u8) -> Option<U32Deserializer<ReadError>> {
    let part = match number {
        1 => span.file.0,
        2 => span.start,
        3 => span.end,
        _ => return None,
    };
    Some(part.into_deserializer())
}
