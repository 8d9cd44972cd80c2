//! A query of the user's, cut so that it can be read as a table.
//!
//! T-SQL has no `WITH` inside parentheses: what stands before the query's own `SELECT` has to stand before ours. Knows
//! strings, quoted names, comments and parentheses; understands nothing else.

/// A query, in its two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    with: String,
    select: String,
}

impl Query {
    /// Cuts a query before its outermost `SELECT`, where it begins with `WITH`.
    pub(super) fn new(text: &str) -> Self {
        let text = text.trim().trim_end_matches(';').trim_end();
        let at = match Words::new(text).next() {
            Some((_, word)) if word.eq_ignore_ascii_case("WITH") => outermost_select(text),
            _ => None,
        };
        let (with, select) = text.split_at_checked(at.unwrap_or(0)).unwrap_or(("", text));
        Self {
            with: with.to_owned(),
            select: select.to_owned(),
        }
    }

    /// The common table expressions, which stand before everything; empty where there are none.
    pub(super) fn with(&self) -> &str {
        &self.with
    }

    /// The query itself.
    pub(super) fn select(&self) -> &str {
        &self.select
    }
}

fn outermost_select(text: &str) -> Option<usize> {
    let mut words = Words::new(text);
    words
        .find(|(_, word)| word.eq_ignore_ascii_case("SELECT"))
        .map(|(at, _)| at)
}

/// The words outside of parentheses, strings, quoted names and comments.
struct Words<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Words<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Goes behind the next occurrence of a text, or to the end.
    fn skip_behind(&mut self, end: &str) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.find(end).map_or(rest.len(), |at| at + end.len());
    }

    /// Goes behind a comment, which may hold others.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(rest) = self.text.get(self.at..).filter(|rest| !rest.is_empty()) {
            let step = match rest {
                rest if rest.starts_with("/*") => {
                    depth += 1;
                    2
                }
                rest if rest.starts_with("*/") => {
                    depth -= 1;
                    2
                }
                rest => rest.chars().next().map_or(1, char::len_utf8),
            };
            self.at += step;
            if depth == 0 {
                return;
            }
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.text.get(self.at..)?;
            let first = rest.chars().next()?;
            if rest.starts_with("--") {
                self.skip_behind("\n");
                continue;
            }
            if rest.starts_with("/*") {
                self.skip_comment();
                continue;
            }
            let (start, length) = (self.at, first.len_utf8());
            self.at += length;
            match first {
                // A doubled end is two strings beside each other, which ends where it has to.
                '\'' => self.skip_behind("'"),
                '"' => self.skip_behind("\""),
                '[' => self.skip_behind("]"),
                '(' => self.depth += 1,
                ')' => self.depth = self.depth.saturating_sub(1),
                first if first.is_alphabetic() || matches!(first, '_' | '@' | '#') => {
                    let word = rest
                        .find(|c: char| {
                            !(c.is_alphanumeric() || matches!(c, '_' | '@' | '#' | '$'))
                        })
                        .unwrap_or(rest.len());
                    self.at = start + word;
                    if self.depth == 0 {
                        return Some((start, rest.get(..word)?));
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> (String, String) {
        let query = Query::new(text);
        (query.with.clone(), query.select)
    }

    #[test]
    fn a_plain_query_stays_whole() {
        assert_eq!(
            cut(" SELECT 1 AS a; "),
            (String::new(), "SELECT 1 AS a".to_owned())
        );
        assert_eq!(cut("SELECT 'WITH'").0, "");
    }

    #[test]
    fn common_tables_go_in_front() {
        let (with, select) = cut(
            "WITH a AS (SELECT 1 AS x /* SELECT ( */), [select] (y) AS (SELECT ')' AS y -- SELECT\n)\nSELECT x FROM a",
        );
        assert!(with.ends_with("\n)\n"), "{with}");
        assert_eq!(select, "SELECT x FROM a");
    }

    #[test]
    fn what_never_selects_is_left_to_the_server() {
        assert_eq!(cut("WITH a AS (SELECT 1)").0, "");
        assert_eq!(cut("WITH '").1, "WITH '");
        assert_eq!(cut("").1, "");
        assert_eq!(cut("/* /* */ WITH").1, "/* /* */ WITH");
    }
}
