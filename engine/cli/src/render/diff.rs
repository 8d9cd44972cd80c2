//! The difference of two snapshots, summed up.

use std::fmt::Write as _;

use run::history::Diff;
use run::lake::TableId;

use super::amount::{count, counted};
use super::history::moment;
use super::style::{FAINT, STRONG, paint};

/// What was compared, how many rows differ, and how many files that took.
pub(crate) fn summary(table: &TableId, diff: &Diff) -> String {
    let counts = diff.counts();
    let rows = |number, what: &str| format!("{} {what}", counted(number, "row", "rows"));
    let mut differences = vec![rows(counts.added, "added"), rows(counts.removed, "removed")];
    if !diff.key.is_empty() {
        differences.push(rows(counts.changed, "changed"));
    }
    let mut text = format!(
        "{}  {}\n",
        paint(STRONG, table),
        paint(STRONG, differences.join(", "))
    );
    let mut fact = |label: &str, value: &str| {
        let _ = writeln!(text, "  {}  {value}", paint(FAINT, format!("{label:<7}")));
    };
    fact("from", &moment(&diff.from));
    fact("to", &moment(&diff.to));
    if diff.key.is_empty() {
        fact("key", "none: rows are compared whole");
    } else {
        fact("key", &diff.key.join(", "));
    }
    let (new, dropped) = &diff.columns;
    if !new.is_empty() {
        fact("columns", &format!("new: {}", new.join(", ")));
    }
    if !dropped.is_empty() {
        fact("columns", &format!("dropped: {}", dropped.join(", ")));
    }
    let files = diff.files;
    fact(
        "files",
        &format!(
            "{} read, {} in both not read",
            count(files.before + files.after),
            count(files.shared)
        ),
    );
    text
}
