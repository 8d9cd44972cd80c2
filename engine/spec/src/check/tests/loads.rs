//! What may meet in a load: how rows were read, and how they are written.

use super::{VISITS, expect, good, run, with};

#[test]
fn incremental_reading_needs_a_key_where_rows_are_added() {
    expect(
        ", lag: 5m, key: [VisitID]",
        "",
        &["key-needed visits.yaml:10:41"],
    );
    expect(", key: [VisitID]", "", &["key-needed visits.yaml:10:41"]);
    let (_, found) = with(", lag: 5m, key: [VisitID]", ", unique: true");
    assert!(found.is_empty(), "{}", found.render(false));
}

#[test]
fn a_part_does_not_replace_the_whole() {
    expect(
        "mode: append",
        "mode: replace",
        &["replace-of-a-part visits.yaml:24:13"],
    );
    let mut files = good();
    files[3].1 = VISITS.replace("mode: append", "mode: replace").replace(
        "mode: { incremental: { watermark: UpdatedAt, lag: 5m, key: [VisitID] } }",
        "mode: full",
    );
    assert!(run(&files).1.is_empty());
}

#[test]
fn history_needs_a_time() {
    expect(
        "mode: append",
        "mode: { merge: { key: [visit_date], history: scd2 } }",
        &["unsupported-mode visits.yaml:24:52"],
    );
}
