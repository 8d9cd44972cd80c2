//! Kills of the binary at random moments, wherever the machine is slow or fast.
//!
//! How long a command takes is learnt as the test goes on: a command that ends before its kill tells its own length. A
//! test goes on until enough kills came in time, so that none of them says anything about the speed of a machine.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::services;

/// How long a command is left alone between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(1);

/// A small generator of numbers that a seed repeats (`SplitMix64`).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The kills of a test: so many in time, each at a moment of its own.
pub(crate) struct Kills {
    numbers: Numbers,
    wanted: u64,
    in_time: u64,
    tries: u64,
    length: Duration,
}

impl Kills {
    /// As many kills as `LAKEWRIGHT_TEST_KILLS` says, or `wanted`; the moments come from `LAKEWRIGHT_TEST_SEED`, which is
    /// told. `command` is run once, to learn how long it takes.
    pub(crate) fn new<T>(wanted: u64, command: impl FnOnce() -> T) -> Self {
        let seed = services::number("LAKEWRIGHT_TEST_SEED").unwrap_or_else(services::random);
        println!("LAKEWRIGHT_TEST_SEED={seed}");
        let started = Instant::now();
        drop(command());
        Self {
            numbers: Numbers(seed),
            wanted: services::number("LAKEWRIGHT_TEST_KILLS").unwrap_or(wanted),
            in_time: 0,
            tries: 0,
            length: started.elapsed(),
        }
    }

    /// The number of the next kill, counted from one; none once enough came in time.
    pub(crate) fn another(&mut self) -> Option<u64> {
        if self.in_time == self.wanted {
            println!("{} kills, {} of them in time", self.tries, self.in_time);
            return None;
        }
        assert!(
            self.tries < 10 * self.wanted,
            "{} of {} kills came in time",
            self.in_time,
            self.tries
        );
        self.tries += 1;
        Some(self.tries)
    }

    /// Kills the command at a random moment; whether it was still at work then.
    pub(crate) fn strike(&mut self, mut child: Child) -> bool {
        let started = Instant::now();
        let length = u64::try_from(self.length.as_micros()).unwrap().max(1);
        let moment = Duration::from_micros(self.numbers.next() % length);
        while started.elapsed() < moment {
            if let Some(ended) = child.try_wait().unwrap() {
                assert!(ended.success(), "it failed before its kill: {ended}");
                self.length = started.elapsed();
                return false;
            }
            std::thread::sleep(LOOK);
        }
        child.kill().unwrap();
        let killed = !child.wait().unwrap().success();
        if !killed {
            self.length = started.elapsed();
        }
        self.in_time += u64::from(killed);
        killed
    }

    /// Runs a command that is not killed, and takes it for the measure if it is the longest so far: the kills reach the
    /// end of every command, and those that come too late correct it.
    pub(crate) fn spare<T>(&mut self, command: impl FnOnce() -> T) {
        let started = Instant::now();
        drop(command());
        self.length = self.length.max(started.elapsed());
    }
}
