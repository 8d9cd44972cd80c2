//! Secrets: how a spec refers to one, and the value that nobody can print.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Result;

/// A reference to a secret, as a spec writes it: `{ env: NAME }` or `{ file: PATH }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// The environment variable that holds it.
    Env(String),
    /// The file that holds it, relative to the project's folder; one trailing newline is dropped.
    File(PathBuf),
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = SecretRef;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a reference to a secret, `{ env: NAME }` or `{ file: PATH }`")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<SecretRef, E> {
                Err(E::custom(
                    "a secret must not stand in a spec: write `{ env: NAME }` or `{ file: PATH }`",
                ))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<SecretRef, A::Error> {
                use serde::de::Error as _;
                let reference = match map.next_key::<String>()?.as_deref() {
                    Some("env") => SecretRef::Env(map.next_value()?),
                    Some("file") => SecretRef::File(map.next_value()?),
                    Some(other) => return Err(A::Error::unknown_field(other, &["env", "file"])),
                    None => return Err(A::Error::missing_field("env")),
                };
                match map.next_key::<String>()? {
                    None => Ok(reference),
                    Some(_) => Err(A::Error::custom(
                        "a secret has one place: `env` or `file`, not both",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The value of a secret. It has neither `Display` nor `Debug`, so that it cannot reach a log by accident:
///
/// ```compile_fail
/// let password = connectors::Secret::new("hunter2".to_owned());
/// println!("{password:?}");
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that was just resolved.
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Turns references into values. The engine implements it; connectors only ask.
pub trait Secrets: Send + Sync {
    /// The value behind a reference; `NotFound` names the variable or file that is missing, never a value.
    fn resolve(&self, reference: &SecretRef) -> Result<Secret>;
}
