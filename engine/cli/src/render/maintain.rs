//! What maintenance did to each table, or would do.

use std::fmt::Write as _;

use run::lake::{Expired, SetAside};
use run::{Compacted, Done};
use serde_json::{Value, json};

use super::amount::{bytes, count, counted};
use super::error::details;
use super::style::{BAD, CARE, FAINT, GOOD, STRONG, paint};
use crate::command::Outcome;

/// A line for a chore, more where it failed. `width` is that of the longest table's name.
pub(crate) fn line(outcome: &Outcome, width: usize, dry_run: bool) -> String {
    let table = outcome.table.to_string();
    let table = paint(STRONG, format!("{table:<width$}"));
    let chore = format!("{:<7}", outcome.chore);
    let done = match &outcome.done {
        Ok(done) => done,
        Err(error) => {
            let failed = paint(BAD, format!("failed: {}", error.message()));
            let mut text = format!("{table}  {chore}  {failed}\n");
            for line in details(error) {
                let _ = writeln!(text, "  {line}");
            }
            return text;
        }
    };
    let told = match done {
        Done::Off => None,
        Done::NoTable => return format!("{table}  {chore}  {}\n", paint(FAINT, "no table yet")),
        Done::Compacted(done) => compacted(done, dry_run),
        Done::Expired(done) => expired(done),
        Done::SetAside(done) => set_aside(done),
    };
    let told = match (told, done) {
        (_, Done::Off) => paint(FAINT, "off"),
        (None, _) => paint(FAINT, "nothing to do"),
        (Some(told), _) if dry_run => format!("{} {told}", paint(CARE, "would do:")),
        (Some(told), _) => format!("{} {told}", paint(GOOD, "done:")),
    };
    format!("{table}  {chore}  {told}\n")
}

fn compacted(done: &Compacted, dry_run: bool) -> Option<String> {
    let mut parts = Vec::new();
    if done.files > 0 {
        let files = counted(done.files as u64, "file", "files");
        let mut part = format!("{files} of {}", bytes(done.bytes));
        if let Some(into) = done.into.filter(|_| !dry_run) {
            let _ = write!(
                part,
                " into {} of {}",
                count(into as u64),
                bytes(done.into_bytes)
            );
        }
        parts.push(part);
    }
    if done.deleted_rows > 0 {
        let rows = counted(done.deleted_rows, "deleted row", "deleted rows");
        parts.push(format!("{rows} left out"));
    }
    if done.manifests > 0 {
        parts.push(format!("{} manifests merged", count(done.manifests as u64)));
    }
    if done.left > 0 {
        let files = counted(done.left as u64, "file", "files");
        parts.push(format!("{files} left, since others changed them meanwhile"));
    }
    joined(&parts)
}

fn expired(done: &Expired) -> Option<String> {
    let mut parts = Vec::new();
    if done.snapshots > 0 {
        let all = count((done.snapshots + done.kept) as u64);
        parts.push(format!(
            "{} of {all} snapshots",
            count(done.snapshots as u64)
        ));
    }
    if !done.references.is_empty() {
        let names = done.references.join(", ");
        parts.push(format!("the names {names}"));
    }
    if done.files > 0 {
        let files = counted(done.files as u64, "file", "files");
        let rows = (done.bytes > 0).then(|| format!(" with {} of rows", bytes(done.bytes)));
        parts.push(format!("{files}{}", rows.unwrap_or_default()));
    }
    joined(&parts)
}

fn set_aside(done: &SetAside) -> Option<String> {
    let mut parts = Vec::new();
    if done.files > 0 {
        let files = counted(done.files as u64, "file", "files");
        let mut part = format!("{files} of {} set aside", bytes(done.bytes));
        if let Some(to) = &done.to {
            let _ = write!(part, " in {to}");
        }
        parts.push(part);
    }
    if done.removed > 0 {
        let files = counted(done.removed as u64, "file", "files");
        parts.push(format!("{files} of {} removed", bytes(done.removed_bytes)));
    }
    joined(&parts)
}

fn joined(parts: &[String]) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// All that was done, for programs.
pub(crate) fn json(outcomes: &[Outcome]) -> Value {
    let one = |outcome: &Outcome| {
        let mut value = match &outcome.done {
            Ok(Done::Off) => json!({ "status": "off" }),
            Ok(Done::NoTable) => json!({ "status": "no_table" }),
            Ok(Done::Compacted(done)) => json!({
                "status": "done", "files": done.files, "bytes": done.bytes,
                "deleted_rows": done.deleted_rows, "into_files": done.into, "into_bytes": done.into_bytes,
                "manifests": done.manifests, "left_files": done.left,
            }),
            Ok(Done::Expired(done)) => json!({
                "status": "done", "snapshots": done.snapshots, "kept": done.kept,
                "references": done.references, "files": done.files, "bytes": done.bytes,
            }),
            Ok(Done::SetAside(done)) => json!({
                "status": "done", "files": done.files, "bytes": done.bytes, "to": done.to,
                "removed_files": done.removed, "removed_bytes": done.removed_bytes,
            }),
            Err(error) => json!({ "status": "failed", "error": error.message() }),
        };
        if let Some(value) = value.as_object_mut() {
            value.insert("table".to_owned(), outcome.table.to_string().into());
            value.insert("chore".to_owned(), outcome.chore.as_str().into());
        }
        value
    };
    Value::Array(outcomes.iter().map(one).collect())
}
