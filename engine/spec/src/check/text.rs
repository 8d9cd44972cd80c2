//! Where a text lies that has a language of its own: SQL in a `.sql` file, or in a YAML scalar.

use crate::source::{FileId, Source, Span};
use crate::sql::Place;

/// A text, and where each of its lines starts in a file.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) value: String,
    file: FileId,
    /// For each line of `value` the byte of the file it starts at; `None` where YAML folded or escaped it.
    lines: Vec<Option<u32>>,
    /// What to point to where a line is not known.
    whole: Span,
}

impl Text {
    /// A whole file.
    pub(super) fn of_file(file: FileId, source: &Source) -> Self {
        let value = source.text.clone();
        let mut start = 0_u32;
        let mut lines = Vec::new();
        for line in value.split_inclusive('\n') {
            lines.push(Some(start));
            start = start.saturating_add(len(line));
        }
        let whole = Span { file, start: 0, end: value.find('\n').map_or(start, |end| len(value.get(..end).unwrap_or(""))) };
        Self { value, file, lines, whole }
    }

    /// A YAML scalar: plain, quoted, or a block whose lines are indented.
    pub(super) fn of_scalar(value: &str, span: Span, source: &Source) -> Self {
        let written = source.slice(span.start, span.end);
        let lines = if written.starts_with(['|', '>']) {
            block_lines(value, span, source)
        } else {
            let quote = u32::from(written.starts_with(['"', '\'']));
            let inner = written.get(quote as usize..).unwrap_or_default();
            vec![inner.starts_with(value).then(|| span.start + quote)]
        };
        Self { value: value.to_owned(), file: span.file, lines, whole: span }
    }

    /// The whole of it, or its first line.
    pub(super) fn whole(&self) -> Span {
        self.whole
    }

    /// The place in the file of a place in the text.
    pub(super) fn span(&self, place: Option<Place>) -> Span {
        place.and_then(|place| self.place(place)).unwrap_or(self.whole)
    }

    fn place(&self, place: Place) -> Option<Span> {
        let index = usize::try_from(place.line.checked_sub(1)?).ok()?;
        let start = (*self.lines.get(index)?)?;
        let line = self.value.split('\n').nth(index)?;
        let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
        let before: usize = line.chars().take(column).map(char::len_utf8).sum();
        let length = usize::try_from(place.length).ok()?;
        let inside: usize = line.chars().skip(column).take(length).map(char::len_utf8).sum();
        let start = start.saturating_add(u32::try_from(before).ok()?);
        Some(Span { file: self.file, start, end: start.saturating_add(u32::try_from(inside).ok()?) })
    }
}

fn len(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// Finds each line of a block scalar in the file: the lines after `|`, less their indentation.
fn block_lines(value: &str, span: Span, source: &Source) -> Vec<Option<u32>> {
    let from = source.text.get(span.start as usize..).unwrap_or_default();
    let mut start = span.start;
    let mut written = from.split_inclusive('\n');
    start = start.saturating_add(written.next().map_or(0, len));
    let mut lines = Vec::new();
    let mut whole = true;
    for line in value.split('\n') {
        let Some(raw) = written.next() else { break };
        let text = raw.trim_end_matches(['\n', '\r']);
        // A folded block joins lines: from the first that does not match on, no place is known.
        whole = whole && text.ends_with(line) && text.strip_suffix(line).is_some_and(|lead| lead.trim().is_empty());
        lines.push(whole.then(|| start + len(text) - len(line)));
        start = start.saturating_add(len(raw));
    }
    lines
}
