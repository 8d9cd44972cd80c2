//! The pipelines that the matrix lets fail: what they read, how they load it, what their tables must hold.
//!
//! Rows come in deliveries; the first is loaded in peace, the second meets the fault. Knows nothing of faults but at which
//! points the load of the second delivery comes by, and how often.

use std::collections::BTreeMap;

use run::failpoint::Point;

/// Rows of one delivery.
const ROWS: u64 = 10;

/// Where rows come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// A folder; each delivery is a file. Four of its ids were in the one before.
    Files,
    /// A table of a database. No id comes twice.
    Database,
}

/// Where a pipeline loads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// A lake in the project's folder.
    Embedded,
    /// A lake whose catalog is in a database, as the state is.
    Database,
    /// A lake behind a REST catalog, in a bucket.
    Rest,
    /// A table of a database.
    Mart,
}

/// What a table holds of all rows that came.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    /// All.
    Every,
    /// The last of each id.
    Latest,
    /// Those that the check lets pass, and those that it does not.
    Passed,
    Rejected,
}

/// Where a pipeline meets more than kills. Elsewhere another pipeline comes by the same code, and meets the rest.
#[derive(Clone, Copy)]
pub(super) enum Fails {
    Everywhere,
    /// Where somebody else is told to change something, and at checks.
    AtReplies,
    Nowhere,
}

impl Fails {
    pub(super) fn at(self, point: Point) -> bool {
        match self {
            Self::Everywhere => true,
            Self::AtReplies => {
                let audits = [Point::AuditBranch, Point::AuditVerdict, Point::AuditForward];
                point.has_reply() || point == Point::CheckVerdict || audits.contains(&point)
            }
            Self::Nowhere => false,
        }
    }
}

/// A pipeline.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// For the table that is published.
    pub(super) what: &'static str,
    pub(super) from: From,
    pub(super) to: To,
    /// Its steps; `NS` stands for the namespace.
    pub(super) steps: &'static str,
    pub(super) tables: &'static [(&'static str, Holds)],
    /// The delivery that meets the fault.
    pub(super) faulted: u64,
    /// Where it meets more than kills.
    pub(super) fails: Fails,
    /// Points that the load of that delivery comes by, and how often at the least.
    pub(super) reached: &'static [(Point, u64)],
}

/// The rows of a delivery: id and value.
pub(super) fn rows(from: From, delivery: u64) -> Vec<(u64, u64)> {
    let apart = match from {
        From::Files => ROWS - 4,
        From::Database => ROWS,
    };
    let first = (delivery - 1) * apart + 1;
    let row = |id| (id, delivery * 1000 + id);
    (first..first + ROWS).map(row).collect()
}

impl Kind {
    /// What the tables hold after so many deliveries: table, id and value, sorted.
    pub(super) fn expected(&self, deliveries: u64) -> Vec<String> {
        let all: Vec<(u64, u64)> = (1..=deliveries)
            .flat_map(|delivery| rows(self.from, delivery))
            .collect();
        let mut expected = Vec::new();
        for (table, holds) in self.tables {
            let mut held: Vec<(u64, u64)> = match holds {
                Holds::Every => all.clone(),
                Holds::Latest => all
                    .iter()
                    .copied()
                    .collect::<BTreeMap<_, _>>()
                    .into_iter()
                    .collect(),
                Holds::Passed => all
                    .iter()
                    .copied()
                    .filter(|(_, value)| value % 5 != 0)
                    .collect(),
                Holds::Rejected => all
                    .iter()
                    .copied()
                    .filter(|(_, value)| value % 5 == 0)
                    .collect(),
            };
            held.sort_unstable();
            expected.extend(
                held.iter()
                    .map(|(id, value)| format!("{table},{id},{value}")),
            );
        }
        expected.sort();
        expected
    }

    /// Whether a second run of the same rows is another append of them.
    pub(super) fn reads_all_again(&self) -> bool {
        self.faulted == 1
    }
}

macro_rules! reached {
    ($($point:ident $times:literal),* $(,)?) => { &[$((Point::$point, $times)),*] };
}

/// All pipelines.
pub(super) const KINDS: [Kind; 13] = [
    Kind {
        name: "first",
        what: "an append of a full read that makes its table, in partitions",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv' } }
  - { name: t, load: { from: rows, table: NS.t, mode: append, partition_by: ['bucket(2, id)'] } }",
        tables: &[("t", Holds::Every)],
        faulted: 1,
        fails: Fails::Everywhere,
        reached: reached! { StateStarted 1, ReadSplit 1, FileOpen 2, FileClose 2, LoadStage 1, StateStep 2, CommitManifest 1, CommitManifestList 1, CommitMetadata 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "increments",
        what: "an append of files that are new",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: append } }",
        tables: &[("t", Holds::Every)],
        faulted: 2,
        fails: Fails::Nowhere,
        reached: reached! { StateStarted 1, ReadSplit 1, FileOpen 1, FileClose 1, LoadStage 1, StateStep 2, CommitManifest 1, CommitManifestList 1, CommitMetadata 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "two",
        what: "two loads of one incremental extract, one after the other",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: append } }
  - { name: u, load: { from: rows, table: NS.u, mode: { merge: { key: [id], latest_by: value } } } }
publish: { tables: one_by_one }",
        tables: &[("t", Holds::Every), ("u", Holds::Latest)],
        faulted: 2,
        fails: Fails::Everywhere,
        reached: reached! { StateStarted 1, ReadSplit 1, StepSpool 4, MergeIncoming 1, MergeCandidates 1, MergeRewrite 1, FileOpen 3, FileClose 3, LoadStage 1, StateStep 3, CommitManifest 3, CommitManifestList 2, CommitMetadata 2, CommitSwap 2, StateCommitted 2, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "together",
        what: "the same in one step",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: append } }
  - { name: u, load: { from: rows, table: NS.u, mode: { merge: { key: [id], latest_by: value } } } }",
        tables: &[("t", Holds::Every), ("u", Holds::Latest)],
        faulted: 2,
        fails: Fails::Everywhere,
        reached: reached! { StateStarted 1, ReadSplit 1, StepSpool 4, MergeIncoming 1, MergeCandidates 1, MergeRewrite 1, FileOpen 3, FileClose 3, LoadStage 1, StateStep 3, CommitManifest 3, CommitManifestList 2, CommitMetadata 2, CommitSwap 1, StateCommitted 2, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "audited",
        what: "the same, audited on branches before",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: append, audit: [{ name: grows, expect: count(*) > previous(count(*)), otherwise: fail }] } }
  - { name: u, load: { from: rows, table: NS.u, mode: { merge: { key: [id], latest_by: value } } } }
publish: { mode: audit }",
        tables: &[("t", Holds::Every), ("u", Holds::Latest)],
        faulted: 2,
        fails: Fails::AtReplies,
        reached: reached! { StateStarted 1, ReadSplit 1, StepSpool 4, MergeIncoming 1, MergeCandidates 1, MergeRewrite 1, FileOpen 3, FileClose 3, LoadStage 1, StateStep 4, CommitManifest 3, CommitManifestList 2, CommitMetadata 4, CommitSwap 3, AuditBranch 2, AuditVerdict 1, AuditForward 1, StateCommitted 2, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "replace",
        what: "a table whose whole content is replaced",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv' } }
  - { name: t, load: { from: rows, table: NS.t, mode: replace } }",
        tables: &[("t", Holds::Every)],
        faulted: 2,
        fails: Fails::Nowhere,
        reached: reached! { StateStarted 1, ReadSplit 2, FileOpen 1, FileClose 1, LoadStage 1, StateStep 2, CommitManifest 2, CommitManifestList 1, CommitMetadata 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "copy_on_write",
        what: "a merge that writes files again",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: { merge: { key: [id], write: copy_on_write } } } }",
        tables: &[("t", Holds::Latest)],
        faulted: 2,
        fails: Fails::Everywhere,
        reached: reached! { StateStarted 1, ReadSplit 1, StepSpool 2, MergeIncoming 1, MergeCandidates 1, MergeRewrite 1, FileOpen 2, FileClose 2, StateStep 2, CommitManifest 2, CommitManifestList 1, CommitMetadata 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "merge_on_read",
        what: "a merge that lists deleted rows",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: { merge: { key: [id], write: merge_on_read } } } }",
        tables: &[("t", Holds::Latest)],
        faulted: 2,
        fails: Fails::Nowhere,
        reached: reached! { StateStarted 1, ReadSplit 1, StepSpool 2, MergeIncoming 1, MergeCandidates 1, MergeRewrite 1, FileOpen 1, FileClose 1, StateStep 2, CommitManifest 2, CommitManifestList 1, CommitMetadata 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "quarantine",
        what: "an append behind a check that sets rows aside",
        from: From::Files,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - name: sane
    check:
      on: rows
      rules:
        - { name: some, expect: 'count(*) > 0', otherwise: fail }
        - { name: odd, expect: 'value % 5 <> 0', otherwise: quarantine }
  - { name: t, load: { from: sane, table: NS.t, mode: append } }",
        tables: &[("t", Holds::Passed), ("t_quarantine", Holds::Rejected)],
        faulted: 2,
        fails: Fails::AtReplies,
        reached: reached! { StateStarted 1, ReadSplit 1, FileOpen 2, FileClose 2, LoadStage 1, CheckVerdict 1, StateStep 5, CommitManifest 2, CommitManifestList 2, CommitMetadata 2, CommitSwap 1, StateCommitted 2, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "watermark",
        what: "an append of the rows of a database above a watermark",
        from: From::Database,
        to: To::Embedded,
        steps: "
  - { name: rows, extract: { connection: source, table: public.t, mode: { incremental: { watermark: at, key: [id] } } } }
  - { name: t, load: { from: rows, table: NS.t, mode: append } }",
        tables: &[("t", Holds::Every)],
        faulted: 2,
        fails: Fails::Nowhere,
        reached: reached! { StateStarted 1, ReadSplit 1, FileOpen 1, FileClose 1, LoadStage 1, StateStep 2, CommitManifest 1, CommitManifestList 1, CommitMetadata 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "mart",
        what: "the same into a table of another database",
        from: From::Database,
        to: To::Mart,
        steps: "
  - { name: rows, extract: { connection: source, table: public.t, mode: { incremental: { watermark: at, key: [id] } } } }
  - { name: t, load: { from: rows, connection: mart, table: mart.t, mode: append } }",
        tables: &[("t", Holds::Every)],
        faulted: 2,
        fails: Fails::Everywhere,
        reached: reached! { StateStarted 1, ReadSplit 1, SinkStage 1, StateStep 2, SinkCommit 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "database",
        what: "an append of files that are new; catalog and state are in PostgreSQL",
        from: From::Files,
        to: To::Database,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: append } }",
        tables: &[("t", Holds::Every)],
        faulted: 2,
        fails: Fails::AtReplies,
        reached: reached! { StateStarted 1, ReadSplit 1, FileOpen 1, FileClose 1, LoadStage 1, StateStep 2, CommitManifest 1, CommitManifestList 1, CommitMetadata 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
    Kind {
        name: "rest",
        what: "an append of files that are new; a REST catalog over a bucket",
        from: From::Files,
        to: To::Rest,
        steps: "
  - { name: rows, extract: { connection: files, table: '*.csv', mode: incremental } }
  - { name: t, load: { from: rows, table: NS.t, mode: append } }",
        tables: &[("t", Holds::Every)],
        faulted: 2,
        fails: Fails::AtReplies,
        reached: reached! { StateStarted 1, ReadSplit 1, FileOpen 1, FileClose 1, LoadStage 1, StateStep 2, CommitManifest 1, CommitManifestList 1, CommitSwap 1, StateCommitted 1, CleanScratch 1, StateEnded 1 },
    },
];
