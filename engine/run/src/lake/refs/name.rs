//! The names that tags may have: never one that could be read as a snapshot or a time.

use std::fmt;
use std::str::FromStr;

use connectors::{Error, ErrorKind};
use iceberg::spec::MAIN_BRANCH;

/// The most bytes of a name.
const MAX_BYTES: usize = 128;

/// The name of a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagName(String);

impl TagName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TagName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if text == MAIN_BRANCH {
            return wrong("`main` is the table itself, and no tag".to_owned());
        }
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return wrong("a tag starts with a letter".to_owned());
        }
        if text.len() > MAX_BYTES {
            return wrong(format!("a tag has at most {MAX_BYTES} characters"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        match text.chars().find(|c| !fits(*c)) {
            Some(c) => wrong(format!(
                "a tag has letters, digits, `_`, `-` and `.`; this has `{}`",
                c.escape_debug()
            )),
            None => Ok(Self(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_no_snapshot_and_no_time() {
        for good in ["before", "v1.2", "end-of-2026", "Q4_2026", "a"] {
            assert_eq!(good.parse::<TagName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(MAX_BYTES + 1);
        for bad in [
            "",
            "main",
            "7",
            "2026-01-01",
            "a b",
            "a=b",
            "a/b",
            "é",
            "a\n",
            &long,
        ] {
            assert!(bad.parse::<TagName>().is_err(), "{bad}");
        }
    }
}
