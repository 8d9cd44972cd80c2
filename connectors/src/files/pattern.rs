//! Which files a `table:` means: a path, a folder, or a pattern with `*`, `?`, `**`.
//!
//! Pure: knows text only.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::{Error, ErrorKind, Result};

/// A pattern of paths, relative to the connection.
pub(super) struct Pattern {
    text: String,
    folder: String,
    matcher: Option<GlobMatcher>,
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("`{text}` is not a pattern of paths: {why}"),
            )
            .help("write it relative to the connection, like `orders/*.csv.gz`")
        };
        let trimmed = text.trim_end_matches('/');
        if trimmed.is_empty() {
            return Err(bad("it is empty"));
        }
        if trimmed.starts_with('/') || trimmed.split('/').any(|part| part == "..") {
            return Err(bad("it leaves the folder of the connection"));
        }
        let trimmed = trimmed.trim_start_matches("./");
        if !trimmed.contains(['*', '?', '[', '{', '\\']) {
            return Ok(Self {
                text: trimmed.to_owned(),
                folder: trimmed.to_owned(),
                matcher: None,
            });
        }
        let glob = GlobBuilder::new(trimmed)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| bad("its wildcards are malformed").caused_by(error))?;
        let literal = trimmed
            .split('/')
            .take_while(|part| !part.contains(['*', '?', '[', '{', '\\']));
        let folder = literal.collect::<Vec<_>>().join("/");
        Ok(Self {
            text: trimmed.to_owned(),
            folder,
            matcher: Some(glob.compile_matcher()),
        })
    }

    /// The pattern as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The longest folder that holds every match, to list from; empty for all.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// The path itself, where there is no wildcard.
    pub(super) fn literal(&self) -> Option<&str> {
        self.matcher.is_none().then_some(self.text.as_str())
    }

    /// Whether a path below [`Self::folder`] is meant. Names that begin with `_` or `.` are marks that other tools
    /// leave (`_SUCCESS`, `.crc`), not data; they match only where the pattern spells them out.
    pub(super) fn matches(&self, path: &str) -> bool {
        let tail = path.strip_prefix(self.folder.as_str()).unwrap_or(path);
        let hidden = tail.split('/').any(|part| part.starts_with(['_', '.']));
        if hidden
            && !self.text.contains("/_")
            && !self.text.contains("/.")
            && !self.text.starts_with(['_', '.'])
        {
            return false;
        }
        self.matcher
            .as_ref()
            .is_none_or(|matcher| matcher.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stop_at_folders_and_double_ones_do_not() {
        let one = Pattern::parse("orders/*.csv").unwrap();
        assert_eq!(one.folder(), "orders");
        assert!(one.matches("orders/a.csv"));
        assert!(!one.matches("orders/2024/a.csv"));
        assert!(!one.matches("orders/_tmp.csv"));
        let deep = Pattern::parse("orders/**/*.csv").unwrap();
        assert!(deep.matches("orders/2024/01/a.csv"));
        assert!(deep.matches("orders/a.csv"));
    }

    #[test]
    fn a_path_without_wildcards_is_a_file_or_a_folder() {
        let plain = Pattern::parse("orders/").unwrap();
        assert_eq!(plain.literal(), Some("orders"));
        assert!(plain.matches("orders/x/a.csv"));
    }

    #[test]
    fn a_pattern_stays_inside() {
        assert!(Pattern::parse("../x").is_err());
        assert!(Pattern::parse("/etc/*").is_err());
        assert!(Pattern::parse("").is_err());
    }
}
