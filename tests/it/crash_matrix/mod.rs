//! The crash matrix: every pipeline × every point of its run × everything that can go wrong there. After it the tables
//! hold exactly what they must.
//!
//! `kind` has the pipelines, `case` what is a case and how it is judged, `world` what stands around one, `store` the faults
//! of the object store, `table` what is published.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "this is test code: failing is its way of telling"
)]

mod at_random;
mod case;
mod kind;
mod proxy;
mod store;
mod table;
mod world;

use self::case::{cases, in_peace, judge};
use self::kind::KINDS;
use self::world::World;

/// Lets all go wrong that can in one pipeline.
fn everything_goes_wrong(name: &str) {
    let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
    let Some(mut world) = World::new(kind) else {
        return;
    };
    let peace = in_peace(&mut world);
    let cases = cases(kind);
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(what) = judge(&mut world, case, &peace) {
            wrong.push(format!("{name}, {}: {what}", case.fault));
        }
    }
    println!("{name}: {} cases\n\n{}", cases.len(), table::table(&cases));
    assert!(
        wrong.is_empty(),
        "{} of {} cases\n\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n\n")
    );
    world.readers_agree();
}

#[test]
fn a_first_append() {
    everything_goes_wrong("first");
}

#[test]
fn an_append_of_increments() {
    everything_goes_wrong("increments");
}

#[test]
fn two_loads_of_one_extract() {
    everything_goes_wrong("two");
}

#[test]
fn two_loads_in_one_step() {
    everything_goes_wrong("together");
}

#[test]
fn an_audit_of_two_loads() {
    everything_goes_wrong("audited");
}

#[test]
fn a_replace() {
    everything_goes_wrong("replace");
}

#[test]
fn a_merge_that_copies() {
    everything_goes_wrong("copy_on_write");
}

#[test]
fn a_merge_that_lists_deletes() {
    everything_goes_wrong("merge_on_read");
}

#[test]
fn a_quarantine() {
    everything_goes_wrong("quarantine");
}

#[test]
fn an_append_above_a_watermark() {
    everything_goes_wrong("watermark");
}

#[test]
fn a_mart() {
    everything_goes_wrong("mart");
}

#[test]
fn a_catalog_and_state_in_a_database() {
    everything_goes_wrong("database");
}

#[test]
fn a_rest_catalog() {
    everything_goes_wrong("rest");
}
