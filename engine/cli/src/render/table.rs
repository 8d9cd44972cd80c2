//! Columns that line up: no boxes, numbers to the right.
//!
//! Knows widths of text; knows nothing of what stands in it.

use anstream::adapter::strip_str;
use unicode_width::UnicodeWidthStr;

/// To which side a column leans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows of cells that are still to be lined up.
pub(crate) struct Columns {
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    pub(crate) const fn new(aligns: Vec<Align>) -> Self {
        Self {
            aligns,
            rows: Vec::new(),
        }
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// All rows, two blanks between columns, none at the end of a line.
    pub(crate) fn text(&self) -> String {
        let mut widths = vec![0; self.aligns.len()];
        for row in &self.rows {
            for (most, cell) in widths.iter_mut().zip(row) {
                *most = width(cell).max(*most);
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (i, ((cell, align), most)) in row.iter().zip(&self.aligns).zip(&widths).enumerate()
            {
                if i > 0 {
                    line.push_str("  ");
                }
                let blanks = " ".repeat(most.saturating_sub(width(cell)));
                match align {
                    Align::Left => line.extend([cell.as_str(), &blanks]),
                    Align::Right => line.extend([blanks.as_str(), cell]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// How wide a cell is on the screen, colours not counted.
fn width(cell: &str) -> usize {
    strip_str(cell).to_string().width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lean_right_and_lines_have_no_blank_end() {
        let mut columns = Columns::new(vec![Align::Left, Align::Right, Align::Left]);
        columns.row(vec!["a".into(), "1".into(), "x".into()]);
        columns.row(vec!["long".into(), "1000".into(), String::new()]);
        assert_eq!(columns.text(), "a        1  x\nlong  1000\n");
    }
}
