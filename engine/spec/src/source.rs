//! The files of a project and places in them.
//!
//! Knows bytes, lines and columns; knows nothing of what the text means.

use std::collections::BTreeMap;

/// One file of a project. The engine gives all `*.yaml`, `*.yml` and `*.sql` files below the project's folder.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path relative to the project's folder, with `/` between the parts.
    pub path: String,
    /// What is in it, unread.
    pub bytes: Vec<u8>,
}

/// A file by its number in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(pub(crate) u32);

/// A part of a file, in bytes: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// The start of a file, for findings about the whole of it.
    pub(crate) const fn start_of(file: FileId) -> Self {
        Self {
            file,
            start: 0,
            end: 0,
        }
    }

    /// From the start of this to the end of `last`.
    pub(crate) fn to(self, last: Self) -> Self {
        Self {
            end: last.end.max(self.end),
            ..self
        }
    }
}

/// A line and a column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A file as text, with the places where its lines start.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    lines: Vec<usize>,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let starts = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts).collect();
        Self { path, text, lines }
    }

    /// The line and column of a byte.
    pub(crate) fn position(&self, offset: u32) -> Position {
        let offset = (offset as usize).min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self
            .text
            .get(start..offset)
            .map_or(1, |before| before.chars().count() + 1);
        Position { line, column }
    }

    /// The byte of a line and a column.
    pub(crate) fn offset(&self, position: Position) -> u32 {
        let start = self.lines.get(position.line.saturating_sub(1)).copied();
        let start = start.unwrap_or(self.text.len());
        let line = self.text.get(start..).unwrap_or_default();
        let before: usize = line
            .chars()
            .take(position.column.saturating_sub(1))
            .take_while(|c| *c != '\n')
            .map(char::len_utf8)
            .sum();
        u32::try_from(start + before).unwrap_or(u32::MAX)
    }

    /// The text between two bytes; empty where that is not a part of the text.
    pub(crate) fn slice(&self, start: u32, end: u32) -> &str {
        self.text
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }
}

/// All files of a project, in the order of their paths.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<Source>,
    by_path: BTreeMap<String, FileId>,
}

impl Sources {
    /// Takes a file in; text that is not UTF-8 is kept with `�` where it is broken, so that its place can be shown.
    pub(crate) fn add(&mut self, path: String, text: String) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.by_path.insert(path.clone(), id);
        self.files.push(Source::new(path, text));
        id
    }

    /// The file of this number.
    pub(crate) fn get(&self, id: FileId) -> Option<&Source> {
        self.files.get(id.0 as usize)
    }

    /// The file of this path.
    pub(crate) fn find(&self, path: &str) -> Option<(FileId, &Source)> {
        let id = *self.by_path.get(path)?;
        Some((id, self.get(id)?))
    }

    /// All paths, sorted.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("a".into(), "é: x\nb".into());
        assert_eq!(source.position(4), Position { line: 1, column: 4 });
        assert_eq!(source.position(6), Position { line: 2, column: 1 });
        assert_eq!(source.position(999), Position { line: 2, column: 2 });
        assert_eq!(source.offset(Position { line: 1, column: 4 }), 4);
        assert_eq!(source.offset(Position { line: 9, column: 9 }), 7);
    }
}
