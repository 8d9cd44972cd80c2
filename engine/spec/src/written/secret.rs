//! `{ env: NAME }` or `{ file: PATH }`.

use schemars::JsonSchema;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::read::At;

/// A reference to a secret; never the secret itself.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretSpec {
    /// The environment variable that holds it.
    Env(At<String>),
    /// The file that holds it, relative to the project's folder.
    File(At<String>),
}

/// Where a secret may be.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Env,
    File,
}

impl<'de> Deserialize<'de> for SecretSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor)
    }
}

struct ReferenceVisitor;

impl<'de> Visitor<'de> for ReferenceVisitor {
    type Value = SecretSpec;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a reference to a secret, `{ env: NAME }` or `{ file: PATH }`")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretSpec, E> {
        Err(E::custom(
            "a secret must not stand in a spec: write `{ env: NAME }` or `{ file: PATH }`",
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSpec, A::Error> {
        let secret = match map.next_key::<Place>()? {
            Some(Place::Env) => SecretSpec::Env(map.next_value()?),
            Some(Place::File) => SecretSpec::File(map.next_value()?),
            None => return Err(A::Error::missing_field("env")),
        };
        match map.next_key::<String>()? {
            None => Ok(secret),
            Some(_) => Err(A::Error::custom(
                "a secret has one place: `env` or `file`, not both",
            )),
        }
    }
}
