//! The counts in a snapshot's summary.

use std::collections::HashMap;

use iceberg::spec::{SnapshotSummaryCollector, Summary};

/// A total, what adds to it and what takes from it.
const TOTALS: [(&str, &str, &str); 6] = [
    ("total-data-files", "added-data-files", "deleted-data-files"),
    (
        "total-delete-files",
        "added-delete-files",
        "removed-delete-files",
    ),
    ("total-records", "added-records", "deleted-records"),
    ("total-files-size", "added-files-size", "removed-files-size"),
    (
        "total-position-deletes",
        "added-position-deletes",
        "removed-position-deletes",
    ),
    (
        "total-equality-deletes",
        "added-equality-deletes",
        "removed-equality-deletes",
    ),
];

/// The properties of a summary: what the caller says, what the snapshot changed, what there is now.
pub(super) fn properties(
    said: &HashMap<String, String>,
    changed: &SnapshotSummaryCollector,
    before: Option<&Summary>,
) -> HashMap<String, String> {
    let mut properties = said.clone();
    properties.extend(changed.build());
    for (total, added, removed) in TOTALS {
        let before = before.map_or(0, |summary| count(&summary.additional_properties, total));
        let now = before + count(&properties, added) - count(&properties, removed);
        properties.insert(total.to_owned(), now.max(0).to_string());
    }
    properties
}

fn count(properties: &HashMap<String, String>, key: &str) -> i64 {
    properties
        .get(key)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}
