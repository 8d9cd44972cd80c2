//! A table lives at random, and a table in memory tells at every step what it has to hold.
//!
//! Rows are appended, merged and replaced while columns come, go, get other names and wider types and files are cut in
//! other ways; the table is compacted, snapshots expire; runs and maintenance are killed or fail in the middle, and the
//! same command is given again. After each step the query of all rows has the rows of the model, and a snapshot of before
//! those it had; now and then, and at the end, the other readers agree.
//!
//! `LAKEWRIGHT_TEST_SEED` repeats a life, `LAKEWRIGHT_TEST_STEPS` sets how long it is: more than some hundred need the
//! test runner's `--profile long`.

mod table;
mod world;
mod write;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use self::world::World;
use crate::place::Place;
use crate::services;

const STEPS: u64 = 24;
/// So many steps after each other until the other readers are asked.
const READERS: u64 = 12;

fn lives(place: Place, namespace: &str, part: u64) {
    let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
    let steps = services::number("LAKEWRIGHT_TEST_STEPS").unwrap_or(STEPS) / part;
    println!("LAKEWRIGHT_TEST_SEED={seed}");
    let mut world = World::new(place, namespace, seed);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        for step in 1..=steps {
            world.step();
            if step % READERS == 0 || step == steps {
                world.readers_agree();
            }
        }
    }));
    if let Err(failure) = lived {
        println!("{}", world.told());
        resume_unwind(failure);
    }
    println!("{}", world.summary());
}

#[test]
fn a_table_holds_what_the_model_says() {
    lives(Place::embedded(), "d", 1);
}

#[test]
fn on_a_rest_catalog_with_the_files_in_s3() {
    if let Some(place) = Place::rest() {
        lives(place, &services::fresh_schema(), 4);
    }
}
