//! The deserializer's error: what is wrong in plain words. Values are never repeated in it: one could be a secret.

use std::fmt::{self, Display};

use serde::de::{Expected, Unexpected};

/// What is wrong with a value; where, is known to whoever handed the value out.
#[derive(Debug)]
pub(crate) struct ReadError {
    pub(crate) message: String,
    pub(crate) kind: Kind,
    pub(crate) help: Option<String>,
    pub(crate) suggestion: Option<String>,
}

/// What kind of mistake it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WrongValue,
    UnknownField,
    Missing(String),
}

impl ReadError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            kind: Kind::WrongValue,
            help: None,
            suggestion: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A word that is not one of the known ones.
    pub(crate) fn unknown(what: &str, word: &str, known: &[&str]) -> Self {
        let mut error = Self::new(format!("there is no {what} `{word}` here"));
        match nearest(word, known.iter().copied()) {
            Some(near) => {
                error.help = Some(format!("did you mean `{near}`?"));
                error.suggestion = Some(near.to_owned());
            }
            None => error.help = one_of(known),
        }
        error
    }
}

/// The words that are known, in a sentence; nothing where nothing is known.
fn one_of(known: &[&str]) -> Option<String> {
    let mut words: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    words.sort_unstable();
    (!words.is_empty()).then(|| format!("known here: {}", words.join(", ")))
}

/// The known word that is most like this one, if any is.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    let near = known.into_iter().map(|candidate| {
        let distance = strsim::osa_distance(&lower, &candidate.to_lowercase());
        (distance, candidate)
    });
    near.filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

impl Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

fn plain(unexpected: &Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a truth value",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "text",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map | Unexpected::NewtypeStruct => "a mapping",
        _ => "something else",
    }
}

impl serde::de::Error for ReadError {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", plain(&unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Signed(_) | Unexpected::Unsigned(_) | Unexpected::Float(_) => {
                Self::new(format!("this number is out of range: expected {expected}"))
            }
            _ => Self::new(format!(
                "expected {expected}, found other {}",
                plain(&unexpected)
            )),
        }
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, found {length} entries"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("choice", variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self {
            kind: Kind::UnknownField,
            ..Self::unknown("field", field, expected)
        }
    }

    fn missing_field(field: &'static str) -> Self {
        let kind = Kind::Missing(field.to_owned());
        Self {
            kind,
            ..Self::new(format!("the field `{field}` is missing"))
        }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the field `{field}` is here twice"))
    }
}
