//! Entries of mappings, elements of lists, and choices.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::ReadError;
use super::fault::Reading;
use super::node::{Reader, kind};
use super::place::{self, KeyPlace};
use crate::source::Span;
use crate::yaml::{Key, Node, Value};

/// The entries of a mapping that were not cut out, without unknown fields where the fields are known.
pub(super) struct Entries<'a, 'de> {
    mapping: &'de Node,
    rest: std::slice::Iter<'de, (Key, Node)>,
    fields: Option<&'static [&'static str]>,
    current: Option<(&'de Key, &'de Node)>,
    reading: &'a Reading,
}

impl<'a, 'de> Entries<'a, 'de> {
    pub(super) fn new(
        mapping: &'de Node,
        entries: &'de [(Key, Node)],
        fields: Option<&'static [&'static str]>,
        reading: &'a Reading,
    ) -> Self {
        Self {
            mapping,
            rest: entries.iter(),
            fields,
            current: None,
            reading,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        for (key, node) in self.rest.by_ref() {
            if self.reading.is_cut(node) {
                continue;
            }
            if let Some(fields) = self.fields
                && !fields.contains(&key.text.as_str())
            {
                self.reading.unknown_field(self.mapping, key, fields);
                continue;
            }
            self.current = Some((key, node));
            let read = seed.deserialize(KeyReader { key });
            if let Err(error) = &read {
                self.reading.locate(node, key.span, error);
                self.reading.surround(node);
            }
            return read.map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some((key, node)) = self.current.take() else {
            return Err(ReadError::new("a value was asked for before its key"));
        };
        let read = seed.deserialize(Reader::new(node, key.span, self.reading));
        if let Err(error) = &read {
            // Types that read a value by themselves may refuse it after it was handed out.
            self.reading.locate(node, key.span, error);
            self.reading.surround(node);
        }
        read
    }
}

/// The elements of a list that were not cut out.
pub(super) struct Elements<'a, 'de> {
    rest: std::slice::Iter<'de, Node>,
    reading: &'a Reading,
}

impl<'a, 'de> Elements<'a, 'de> {
    pub(super) fn new(items: &'de [Node], reading: &'a Reading) -> Self {
        Self {
            rest: items.iter(),
            reading,
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        for node in self.rest.by_ref() {
            if self.reading.is_cut(node) {
                continue;
            }
            let anchor = first_key(node);
            let read = seed.deserialize(Reader::new(node, anchor, self.reading));
            if let Err(error) = &read {
                self.reading.locate(node, anchor, error);
                self.reading.surround(node);
            }
            return read.map(Some);
        }
        Ok(None)
    }
}

/// Where to point for things about an element as a whole: its first key with its value, if that is short.
fn first_key(node: &Node) -> Span {
    match &node.value {
        Value::Mapping(entries) => match entries.first() {
            Some((key, value))
                if !matches!(value.value, Value::Mapping(_) | Value::Sequence(_)) =>
            {
                key.span.to(value.span)
            }
            Some((key, _)) => key.span,
            None => node.span,
        },
        _ => node.span,
    }
}

/// A choice: a word, or a mapping with one key.
pub(super) struct Variant<'a, 'de> {
    pub(super) name: &'de str,
    pub(super) content: Option<(&'de Node, Span)>,
    pub(super) outer: Reader<'a, 'de>,
}

/// What stands behind a choice that is only a word.
static NOTHING: Node = Node {
    id: u32::MAX,
    span: Span {
        file: crate::source::FileId(0),
        start: 0,
        end: 0,
    },
    value: Value::Null,
};

impl<'a, 'de> Variant<'a, 'de> {
    /// What stands behind the word; where nothing does, missing fields are reported at the word.
    fn reader(&self) -> Reader<'a, 'de> {
        match self.content {
            Some((node, anchor)) => Reader::new(node, anchor, self.outer.reading),
            None => Reader::new(&NOTHING, self.outer.node.span, self.outer.reading),
        }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let name = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.content {
            None
            | Some((
                Node {
                    value: Value::Null, ..
                },
                _,
            )) => Ok(()),
            Some((
                Node {
                    value: Value::Mapping(entries),
                    ..
                },
                _,
            )) if entries.is_empty() => Ok(()),
            Some((node, _)) => {
                let message = format!("`{}` takes nothing, found {}", self.name, kind(&node.value));
                let error =
                    ReadError::new(message).help(format!("write the bare word `{}`", self.name));
                self.outer.reading.locate(node, node.span, &error);
                Err(error)
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self.reader())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.reader().deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.reader().deserialize_struct("", fields, visitor)
    }
}

/// A key: text, with a place for those who ask.
struct KeyReader<'de> {
    key: &'de Key,
}

impl<'de> Deserializer<'de> for KeyReader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_borrowed_str(&self.key.text)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == place::NAME {
            return visitor.visit_seq(KeyPlace::new(self.key));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_enum(BorrowedStrDeserializer::new(&self.key.text))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}
