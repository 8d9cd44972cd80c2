//! Two connectors as the checker sees them, with options of every shape.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess};

use crate::connectors::{
    Capability, Connectors, Incremental, OptionsOf, SinkCapability, SourceCapability,
};

/// Two connectors: one for tables, one for files.
pub(super) struct Two;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "options are only read here, never used")]
struct Database {
    host: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    tags: Vec<u8>,
    #[serde(default)]
    password: Option<Reference>,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    settings: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "options are only read here, never used")]
enum Tls {
    Off,
    Verify { ca: String },
}

/// A type that reads itself, as connectors' references to secrets do.
struct Reference;

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Reference;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a reference to a secret")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Reference, E> {
                Err(E::custom(
                    "a secret must not stand in a spec: write `{ env: NAME }`",
                ))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reference, A::Error> {
                let mut entries = 0;
                while map.next_entry::<String, String>()?.is_some() {
                    entries += 1;
                }
                if entries == 1 {
                    Ok(Reference)
                } else {
                    Err(A::Error::custom("one place, not two"))
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Connectors for Two {
    fn kinds(&self) -> Vec<&'static str> {
        vec!["database", "files"]
    }

    fn capability(&self, kind: &str) -> Option<Capability> {
        let sink = SinkCapability {
            append: true,
            replace: true,
            merge: false,
            remembers: true,
        };
        match kind {
            "database" => Some(Capability {
                source: Some(SourceCapability {
                    sessions: false,
                    queries: true,
                    incremental: Incremental::Column,
                    changes: false,
                }),
                sink: Some(sink),
            }),
            "files" => Some(Capability {
                source: Some(SourceCapability {
                    sessions: false,
                    queries: false,
                    incremental: Incremental::Files,
                    changes: false,
                }),
                sink: None,
            }),
            _ => None,
        }
    }

    fn check_options(
        &self,
        kind: &str,
        place: OptionsOf,
        options: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<(), erased_serde::Error> {
        if kind == "database" && place == OptionsOf::Connection {
            erased_serde::deserialize::<Database>(options).map(drop)
        } else {
            erased_serde::deserialize::<Nothing>(options).map(drop)
        }
    }
}
