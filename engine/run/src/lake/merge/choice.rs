//! Which files a merge writes again, and of which it only lists the rows that go, where nobody says.
//!
//! Chosen file by file, when it is known which rows change and before any of them is written. Writing a file again costs
//! its size; a list costs little now, and every reader a little until maintenance takes it away. A file never has more
//! than one list of ours, and none that maintenance would act on the next time.

use std::collections::BTreeSet;

use super::GoneRows;
use super::candidates::{Candidate, Candidates};

/// So many of the hundred rows of a file must be gone to write it again: where maintenance begins, too.
const REWRITE_PERCENT: u64 = 10;
/// A file of fewer bytes is written again in any case: a list costs as much to write, and more to read.
const SMALL_FILE_BYTES: u64 = 1 << 20;

/// What happens to the files of which rows go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Those that stay, with a list of the rows that count no more.
    pub listed: BTreeSet<u32>,
    /// How many are written again.
    pub rewritten: usize,
    /// How many rows there are to write.
    pub rows: u64,
}

impl Choice {
    /// What was chosen, for people; `None` where no row goes.
    pub fn told(&self) -> Option<String> {
        let files = |count| match count {
            1 => "1 file".to_owned(),
            _ => format!("{count} files"),
        };
        let listed = self.listed.len();
        let again = format!("writes {} again", files(self.rewritten));
        let lists = format!(
            "lists the rows that go of {}, since fewer than {REWRITE_PERCENT} in 100 do",
            files(listed)
        );
        match (self.rewritten, listed) {
            (0, 0) => None,
            (_, 0) => Some(again),
            (0, _) => Some(lists),
            _ => Some(format!("{again}, and {lists}")),
        }
    }
}

impl Candidates {
    /// What is best done with the files that these rows are in.
    pub fn choose(&self, gone: &GoneRows) -> Choice {
        self.choice(gone, is_rewritten)
    }

    /// The same where all files are written again.
    pub fn all_again(&self, gone: &GoneRows) -> Choice {
        self.choice(gone, |_, _| true)
    }

    fn choice(&self, gone: &GoneRows, again: impl Fn(&Candidate, u64) -> bool) -> Choice {
        let mut choice = Choice::default();
        for (number, places) in &gone.0 {
            let Some(file) = self.files().get(*number as usize) else {
                continue;
            };
            if again(file, (places | &file.gone).len()) {
                choice.rewritten += 1;
                choice.rows += file.live.file.record_count();
            } else {
                choice.listed.insert(*number);
                choice.rows += places.len();
            }
        }
        choice
    }
}

/// Whether a file is better written again that will have lost so many of its rows.
fn is_rewritten(file: &Candidate, gone: u64) -> bool {
    let data = &file.live.file;
    data.file_size_in_bytes() < SMALL_FILE_BYTES
        || gone.saturating_mul(100) >= data.record_count().saturating_mul(REWRITE_PERCENT)
}
