//! The transitions that have a failpoint on both sides.

use std::fmt;

use crate::state::RunEvent;

/// A transition of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The run and its plan are recorded.
    StateStarted,
    /// A split of a source is read, from the first batch to the last.
    ReadSplit,
    /// The rows of a step are kept on local disk.
    StepSpool,
    /// The rows of a merge are taken in, one a key.
    MergeIncoming,
    /// The files that may hold the keys of a merge are found.
    MergeCandidates,
    /// What the changes of a merge touch is written: files again, or lists of deleted rows.
    MergeRewrite,
    /// A data file is opened.
    FileOpen,
    /// A data file is closed.
    FileClose,
    /// A load of the lake is staged.
    LoadStage,
    /// A stage is opened in another system.
    SinkStage,
    /// The rules of a check are held against all rows.
    CheckVerdict,
    /// The end of a step, or the answer of a check, is recorded.
    StateStep,
    /// A manifest is written.
    CommitManifest,
    /// The list of manifests is written.
    CommitManifestList,
    /// The metadata of a table is written.
    CommitMetadata,
    /// The catalog moves to the new metadata.
    CommitSwap,
    /// The rows for a table are committed to the branch of the run.
    AuditBranch,
    /// What is expected of the tables is held against their branches.
    AuditVerdict,
    /// The tables go forward to their branches.
    AuditForward,
    /// Another system commits.
    SinkCommit,
    /// A commit is recorded.
    StateCommitted,
    /// Files that nothing refers to are removed.
    CleanFiles,
    /// What a run kept on local disk is removed.
    CleanScratch,
    /// The end of the run is recorded.
    StateEnded,
}

/// The side of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Nothing of it has happened.
    Before,
    /// It has happened, and nobody was told.
    After,
}

impl Point {
    /// All of them, about in the order in which a run comes by.
    pub const ALL: [Self; 24] = [
        Self::StateStarted,
        Self::ReadSplit,
        Self::StepSpool,
        Self::MergeIncoming,
        Self::MergeCandidates,
        Self::MergeRewrite,
        Self::FileOpen,
        Self::FileClose,
        Self::LoadStage,
        Self::SinkStage,
        Self::CheckVerdict,
        Self::StateStep,
        Self::CommitManifest,
        Self::CommitManifestList,
        Self::CommitMetadata,
        Self::CommitSwap,
        Self::AuditBranch,
        Self::AuditVerdict,
        Self::AuditForward,
        Self::SinkCommit,
        Self::StateCommitted,
        Self::CleanFiles,
        Self::CleanScratch,
        Self::StateEnded,
    ];

    /// The transition's name: `commit.swap`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StateStarted => "state.started",
            Self::ReadSplit => "read.split",
            Self::StepSpool => "step.spool",
            Self::MergeIncoming => "merge.incoming",
            Self::MergeCandidates => "merge.candidates",
            Self::MergeRewrite => "merge.rewrite",
            Self::FileOpen => "file.open",
            Self::FileClose => "file.close",
            Self::LoadStage => "load.stage",
            Self::SinkStage => "sink.stage",
            Self::CheckVerdict => "check.verdict",
            Self::StateStep => "state.step",
            Self::CommitManifest => "commit.manifest",
            Self::CommitManifestList => "commit.manifest_list",
            Self::CommitMetadata => "commit.metadata",
            Self::CommitSwap => "commit.swap",
            Self::AuditBranch => "audit.branch",
            Self::AuditVerdict => "audit.verdict",
            Self::AuditForward => "audit.forward",
            Self::SinkCommit => "sink.commit",
            Self::StateCommitted => "state.committed",
            Self::CleanFiles => "clean.files",
            Self::CleanScratch => "clean.scratch",
            Self::StateEnded => "state.ended",
        }
    }

    /// The transition that recording an event is.
    pub(crate) const fn of(event: &RunEvent) -> Self {
        match event {
            RunEvent::Started { .. } => Self::StateStarted,
            RunEvent::StepFinished { .. } | RunEvent::CheckResult { .. } => Self::StateStep,
            RunEvent::Committed { .. } => Self::StateCommitted,
            RunEvent::Succeeded
            | RunEvent::Failed { .. }
            | RunEvent::Cancelled
            | RunEvent::Abandoned { .. } => Self::StateEnded,
        }
    }

    /// Whether it is an append to the log of a run.
    pub const fn is_of_state(self) -> bool {
        matches!(
            self,
            Self::StateStarted | Self::StateStep | Self::StateCommitted | Self::StateEnded
        )
    }

    /// Whether somebody else is told to change something and answers.
    pub const fn has_reply(self) -> bool {
        self.is_of_state() || matches!(self, Self::CommitSwap | Self::SinkCommit)
    }

    /// Whether it writes to a disk that can be full.
    pub const fn fills_a_disk(self) -> bool {
        self.is_of_state()
            || matches!(
                self,
                Self::StepSpool
                    | Self::FileOpen
                    | Self::FileClose
                    | Self::CommitManifest
                    | Self::CommitManifestList
                    | Self::CommitMetadata
                    | Self::CommitSwap
            )
    }

    /// Whether it may fail: what is only cleaned up does not matter to the run.
    pub const fn can_fail(self) -> bool {
        !matches!(self, Self::CleanFiles | Self::CleanScratch)
    }
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Before, Self::After];
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}
