//! Names: each kind of name is a type of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// There is nothing.
    Empty,
    /// It is longer than 128 bytes.
    TooLong,
    /// It has a character that names of this kind do not have.
    BadCharacter(char),
    /// It starts with a character that may only follow.
    BadStart(char),
    /// It does not have the parts that names of this kind have, `first.second`.
    BadParts(&'static str),
}

/// The most bytes a name may have.
pub(crate) const MAX_LEN: usize = 128;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name must not be empty"),
            Self::TooLong => write!(f, "a name has at most {MAX_LEN} bytes"),
            Self::BadCharacter(c) => {
                write!(f, "a name has letters, digits and `_`; this has `{c}`")
            }
            Self::BadStart(c) => write!(
                f,
                "a name starts with a letter or `_`; this starts with `{c}`"
            ),
            Self::BadParts(form) => write!(f, "this name has two parts, `{form}`"),
        }
    }
}

/// Letters, digits and underscores, not starting with a digit: a name that SQL takes without quotes. Connections,
/// domains and pipelines may have `-` too.
fn check(text: &str, dash: bool) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(NameError::TooLong);
    }
    for (i, c) in text.chars().enumerate() {
        if c == '_' || c.is_alphabetic() {
            continue;
        }
        let may_follow = c.is_numeric() || (dash && c == '-');
        if !may_follow {
            return Err(NameError::BadCharacter(c));
        }
        if i == 0 {
            return Err(NameError::BadStart(c));
        }
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident dash $dash:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text, $dash).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text, $dash).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of a connection.
    ConnectionName dash true;
    /// The name of a domain.
    DomainName dash true;
    /// The name of a pipeline, unique in its domain.
    PipelineName dash true;
    /// The name of a step, unique in its pipeline; other steps' SQL reads it as a table.
    StepName dash false;
}

impl std::error::Error for NameError {}

/// The name of a column, as its source writes it.
pub type ColumnName = String;

/// A pipeline: `domain/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PipelineId {
    /// The domain that owns it.
    pub domain: DomainName,
    /// Its name there.
    pub name: PipelineName,
}

impl FromStr for PipelineId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (domain, name) = text
            .split_once('/')
            .ok_or(NameError::BadParts("domain/name"))?;
        Ok(Self {
            domain: domain.parse()?,
            name: name.parse()?,
        })
    }
}

/// A table of the lake: `namespace.name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableRef {
    /// The Iceberg namespace.
    pub namespace: String,
    /// The table's name.
    pub name: String,
}

impl FromStr for TableRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (namespace, name) = text
            .split_once('.')
            .ok_or(NameError::BadParts("namespace.table"))?;
        check(namespace, true)?;
        check(name, false)?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

macro_rules! pairs {
    ($($name:ident: $first:ident $separator:literal $second:ident;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}{}", self.$first, $separator, self.$second)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(pair: $name) -> Self {
                pair.to_string()
            }
        }
    )*};
}

pairs! {
    PipelineId: domain "/" name;
    TableRef: namespace "." name;
}
