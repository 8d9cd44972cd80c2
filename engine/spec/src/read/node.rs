//! `serde::Deserializer` over a node.

use serde::de::{Deserializer, IntoDeserializer, Visitor};

use super::access::{Elements, Entries, Variant};
use super::error::ReadError;
use super::fault::Reading;
use super::place::{self, PlaceAccess};
use crate::source::Span;
use crate::yaml::{Node, Value};

/// Hands out one node.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a, 'de> {
    pub(super) node: &'de Node,
    /// Where to point for things about a mapping or list as a whole: its key.
    pub(super) anchor: Span,
    pub(super) reading: &'a Reading,
}

impl<'a, 'de> Reader<'a, 'de> {
    pub(super) fn new(node: &'de Node, anchor: Span, reading: &'a Reading) -> Self {
        Self {
            node,
            anchor,
            reading,
        }
    }

    /// Notes where an error happened, unless it happened further in.
    fn located<T>(self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(error) = &result {
            self.reading.locate(self.node, self.anchor, error);
        }
        result
    }

    fn wrong<T>(self, expected: &str) -> Result<T, ReadError> {
        let mut error = ReadError::new(format!(
            "expected {expected}, found {}",
            kind(&self.node.value)
        ));
        let scalar = matches!(
            self.node.value,
            Value::Int(_) | Value::Float(_) | Value::Bool(_)
        );
        if expected == "text" && scalar {
            error = error.help("put it in quotes");
        } else if matches!(self.node.value, Value::Null) {
            error = error.help("write a value after the colon");
        }
        Err(error)
    }

    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => number(*value, visitor),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::Sequence(items) => visitor.visit_seq(Elements::new(items, self.reading)),
            Value::Mapping(entries) => {
                visitor.visit_map(Entries::new(self.node, entries, None, self.reading))
            }
        }
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Int(value) => number(*value, visitor),
            _ => self.wrong("a whole number"),
        }
    }

    fn mapping<V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Mapping(entries) => {
                visitor.visit_map(Entries::new(self.node, entries, fields, self.reading))
            }
            // `load:` with nothing behind it is an empty mapping: the message then names the field that is missing.
            Value::Null => visitor.visit_map(Entries::new(self.node, &[], fields, self.reading)),
            _ => match fields {
                Some(fields) if !fields.is_empty() => {
                    let fields: Vec<String> =
                        fields.iter().map(|field| format!("`{field}`")).collect();
                    self.wrong(&format!("a mapping with {}", fields.join(", ")))
                }
                _ => self.wrong("a mapping"),
            },
        }
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Sequence(items) => visitor.visit_seq(Elements::new(items, self.reading)),
            _ => self.wrong("a list"),
        }
    }

    fn choice<V: Visitor<'de>>(
        self,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let (name, content) = match &self.node.value {
            Value::Text(word) => (word, None),
            Value::Mapping(entries) => match entries.as_slice() {
                [(key, value)] => (&key.text, Some((value, key.span))),
                [] => return self.wrong("one choice"),
                [_, (second, _), ..] => {
                    let error = ReadError::new(format!(
                        "this is one choice; `{}` is a second one",
                        second.text
                    ));
                    return Err(error.help("keep one of them"));
                }
            },
            _ => return self.wrong("a choice: a word, or a mapping with one key"),
        };
        if !variants.contains(&name.as_str()) {
            return Err(ReadError::unknown("choice", name, variants));
        }
        visitor.visit_enum(Variant {
            name,
            content,
            outer: self,
        })
    }
}

fn number<'de, V: Visitor<'de>>(value: i128, visitor: V) -> Result<V::Value, ReadError> {
    if let Ok(value) = i64::try_from(value) {
        return visitor.visit_i64(value);
    }
    match u64::try_from(value) {
        Ok(value) => visitor.visit_u64(value),
        Err(_) => Err(ReadError::new("this number is too large")),
    }
}

/// What a value is, in plain words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Text(_) => "text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}

macro_rules! by {
    ($helper:ident: $($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.located(self.$helper(visitor))
        }
    )*};
}

impl<'de> Reader<'_, 'de> {
    fn boolean<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => self.wrong("`true` or `false`"),
        }
    }

    fn real<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Int(value) => number(*value, visitor),
            _ => self.wrong("a number"),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Text(value) => visitor.visit_borrowed_str(value),
            _ => self.wrong("text"),
        }
    }

    fn nothing<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            _ => self.wrong("nothing"),
        }
    }

    fn optional<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn plain_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.mapping(None, visitor)
    }
}

impl<'de> Deserializer<'de> for Reader<'_, 'de> {
    type Error = ReadError;

    by! { any: deserialize_any }
    by! { boolean: deserialize_bool }
    by! { integer: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
    deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }
    by! { real: deserialize_f32 deserialize_f64 }
    by! { text: deserialize_char deserialize_str deserialize_string deserialize_identifier }
    by! { list: deserialize_bytes deserialize_byte_buf deserialize_seq }
    by! { nothing: deserialize_unit }
    by! { optional: deserialize_option }
    by! { plain_map: deserialize_map }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.located(self.nothing(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == place::NAME {
            return visitor.visit_seq(PlaceAccess::new(self));
        }
        if name == place::RAW {
            return visitor.visit_u32(self.node.id);
        }
        self.located(visitor.visit_newtype_struct(self))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.located(self.list(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.located(self.list(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.located(self.mapping(Some(fields), visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.located(self.choice(variants, visitor))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }
}

impl<'de> IntoDeserializer<'de, ReadError> for Reader<'_, 'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
