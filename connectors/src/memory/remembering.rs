//! What a table remembers: the runs that wrote to it, and the stamp of each load's newest commit.
//!
//! Knows writes; knows nothing of rows.

use std::collections::BTreeMap;

use crate::contract::{Remembered, Stamp, Write};
use crate::error::{Error, ErrorKind, Result};

/// The writes of a table, in the order of their commits.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    commits: Vec<Remembered>,
}

impl Memory {
    /// Whether this run has written.
    pub(super) fn knows(&self, run: &str) -> bool {
        self.commits.iter().any(|commit| commit.run == run)
    }

    /// The newest commit of each load, and those without a stamp; the newest first.
    pub(super) fn newest(&self) -> Vec<Remembered> {
        let mut newest: Vec<Remembered> = Vec::new();
        for commit in self.commits.iter().rev() {
            let older = commit.stamp.as_ref().is_some_and(|stamp| {
                newest
                    .iter()
                    .filter_map(|newer| newer.stamp.as_ref())
                    .any(|newer| same_load(newer, stamp))
            });
            if !older {
                newest.push(commit.clone());
            }
        }
        newest
    }

    /// Remembers a write; `false` where its run has written before.
    pub(super) fn take(&mut self, write: &Write) -> Result<bool> {
        if self.knows(&write.run) {
            return Ok(false);
        }
        let stamp = match &write.stamp {
            Some(stamp) => Some(self.following(stamp, write.after)?),
            None => None,
        };
        let position = self.commits.last().map_or(1, |last| last.position + 1);
        self.commits.push(Remembered {
            position,
            run: write.run.clone(),
            stamp,
        });
        Ok(true)
    }

    /// The stamp, with the watermarks of the commit that it follows.
    fn following(&self, stamp: &Stamp, after: Option<i64>) -> Result<Stamp> {
        let of_load = |commit: &&Remembered| {
            let there = commit.stamp.as_ref();
            there.is_some_and(|there| same_load(there, stamp))
        };
        let last = self.commits.iter().rev().find(of_load);
        if last.map(|last| last.position) != after {
            return Err(Error::new(
                ErrorKind::Conflict,
                "another run of this load was committed meanwhile",
            )
            .retry(false));
        }
        let mut watermarks: BTreeMap<String, String> = last
            .and_then(|last| last.stamp.as_ref())
            .map(|last| last.watermarks.clone())
            .unwrap_or_default();
        watermarks.extend(stamp.watermarks.clone());
        Ok(Stamp {
            watermarks,
            ..stamp.clone()
        })
    }
}

fn same_load(one: &Stamp, other: &Stamp) -> bool {
    one.pipeline == other.pipeline && one.load == other.load
}
