//! Where a text lies that has a language of its own: SQL in a `.sql` file, or in a YAML scalar.

use crate::source::{FileId, Source, Span};
use crate::sql::Place;

/// A text, and where each of its lines starts in a file.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    file: FileId,
    /// For each line of `value` the byte of the file it starts at; `None` where YAML folded or escaped it.
    lines: Vec<Option<u32>>,
    /// What to point to where a line is not known.
    whole: Span,
}

impl Text {
    /// A whole file.
    pub(crate) fn of_file(file: FileId, source: &Source) -> Self {
        let value = source.text.clone();
        let mut start = 0_u32;
        let mut lines = Vec::new();
        for line in value.split_inclusive('\n') {
            lines.push(Some(start));
            start = start.saturating_add(len(line));
        }
        let whole = Span {
            file,
            start: 0,
            end: value
                .find('\n')
                .map_or(start, |end| len(value.get(..end).unwrap_or(""))),
        };
        Self {
            value,
            file,
            lines,
            whole,
        }
    }

    /// A YAML scalar: plain, quoted, or a block whose lines are indented.
    pub(crate) fn of_scalar(value: &str, span: Span, source: &Source) -> Self {
        let lines = scalar_lines(value, span, source);
        Self {
            value: value.to_owned(),
            file: span.file,
            lines,
            whole: span,
        }
    }

    /// The whole of it, or its first line.
    pub(crate) fn whole(&self) -> Span {
        self.whole
    }

    /// Its first line that is not empty.
    pub(crate) fn first_line(&self) -> Span {
        let mut numbered = self.value.split('\n').zip(1..);
        let first = numbered.find(|(line, _)| !line.trim().is_empty());
        self.span(first.map(|(line, number)| {
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            Place {
                line: number,
                column: u64::try_from(indent).unwrap_or(0).saturating_add(1),
                length: u64::try_from(line.trim().chars().count()).unwrap_or(1),
            }
        }))
    }

    /// The place in the file of a place in the text.
    pub(crate) fn span(&self, place: Option<Place>) -> Span {
        place
            .and_then(|place| self.place(place))
            .unwrap_or(self.whole)
    }

    fn place(&self, place: Place) -> Option<Span> {
        let index = usize::try_from(place.line.checked_sub(1)?).ok()?;
        let start = (*self.lines.get(index)?)?;
        let line = self.value.split('\n').nth(index)?;
        let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
        let before: usize = line.chars().take(column).map(char::len_utf8).sum();
        let length = usize::try_from(place.length).ok()?;
        let inside: usize = line
            .chars()
            .skip(column)
            .take(length)
            .map(char::len_utf8)
            .sum();
        let start = start.saturating_add(u32::try_from(before).ok()?);
        Some(Span {
            file: self.file,
            start,
            end: start.saturating_add(u32::try_from(inside).ok()?),
        })
    }
}

fn len(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

/// Finds each line of a scalar in the file: the first after a quote, others after their indentation.
fn scalar_lines(value: &str, span: Span, source: &Source) -> Vec<Option<u32>> {
    let written = source.slice(span.start, span.end);
    let mut start = span.start;
    let mut lines = Vec::new();
    let mut verbatim = true;
    let mut raws = written.split_inclusive('\n');
    for (number, line) in value.split('\n').enumerate() {
        let Some(raw) = raws.next() else { break };
        let lead = if number == 0 {
            usize::from(raw.starts_with(['"', '\'']))
        } else {
            let text = raw.trim_end_matches(['\n', '\r']);
            text.len().saturating_sub(line.len())
        };
        // A folded or escaped text differs from what is written: from there on, no place is known.
        let blank = raw
            .get(..lead)
            .is_some_and(|lead| number == 0 || lead.trim().is_empty());
        verbatim = verbatim && blank && raw.get(lead..).is_some_and(|rest| rest.starts_with(line));
        lines.push(verbatim.then(|| start.saturating_add(u32::try_from(lead).unwrap_or(u32::MAX))));
        start = start.saturating_add(len(raw));
    }
    lines
}
