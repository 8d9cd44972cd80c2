//! Kills at points drawn by chance, of runs and of the runs that go on with them.
//!
//! `LAKEWRIGHT_TEST_KILLS` sets how many runs are killed, `LAKEWRIGHT_TEST_SEED` repeats what was drawn.

use std::collections::BTreeSet;

use run::failpoint::Side;

use super::kind::{KINDS, Kind, To};
use super::world::World;
use crate::kills::Numbers;
use crate::services;

const KILLS: u64 = 30;
/// Kills in a row of one run at most.
const IN_A_ROW: u64 = 3;

/// A kill at a point that the pipeline comes by.
fn drawn(kind: &Kind, numbers: &mut Numbers) -> String {
    let mut below = |end: u64| numbers.next() % end;
    let (point, times) = kind.reached[usize::try_from(below(kind.reached.len() as u64)).unwrap()];
    let side = Side::BOTH[usize::try_from(below(2)).unwrap()];
    format!("{point}.{side}=kill@{}", 1 + below(times))
}

#[test]
fn runs_are_killed_and_killed_again() {
    let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
    let kills = services::number("LAKEWRIGHT_TEST_KILLS").unwrap_or(KILLS);
    println!("LAKEWRIGHT_TEST_SEED={seed}");
    let mut numbers = Numbers(seed);
    let kinds: Vec<&Kind> = KINDS
        .iter()
        .filter(|kind| kind.to == To::Embedded)
        .collect();
    let worlds = kinds.into_iter().filter_map(World::new);
    let mut worlds: Vec<World> = worlds.collect();
    let (mut killed, mut met) = (0, BTreeSet::new());
    while killed < kills {
        let which = usize::try_from(numbers.next() % worlds.len() as u64).unwrap();
        let world = &mut worlds[which];
        met.insert(which);
        world.reset();
        world.arrives(world.kind.faulted);
        let mut story = vec![world.kind.name.to_owned()];
        let mut over = false;
        for _ in 0..=numbers.next() % IN_A_ROW {
            let fault = drawn(world.kind, &mut numbers);
            let ran = world.run(&fault);
            // A run that goes on does not come by every point.
            let came_by = ran.told.contains(&format!("failpoint: {fault}"));
            assert!(
                came_by || ran.status.success(),
                "{story:?} {fault}\n{}",
                ran.told
            );
            killed += u64::from(came_by);
            story.push(fault);
            over = ran.is_over();
            if over {
                break;
            }
        }
        if !over {
            let ran = world.run("");
            assert!(ran.status.success(), "{story:?}, seed {seed}\n{}", ran.told);
        }
        let expected = world.kind.expected(world.kind.faulted);
        assert_eq!(world.content(), expected, "{story:?}, seed {seed}");
    }
    println!("{killed} runs were killed");
    // Chance may have left one out, in which there is nothing to read yet.
    for which in met {
        worlds[which].readers_agree();
    }
}
