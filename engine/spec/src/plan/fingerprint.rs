//! Fingerprints: SHA-256 over the JSON of what decides.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first 16 hexadecimal digits of a SHA-256: enough to tell plans apart, short enough to read out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Of a value's JSON. Maps must be sorted for it to be stable; ours are `BTreeMap`s.
    pub(super) fn of(value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).unwrap_or_default();
        Self(
            format!("{:x}", Sha256::digest(&json))
                .chars()
                .take(16)
                .collect(),
        )
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
