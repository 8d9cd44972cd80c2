//! Rows that become visible only when somebody has looked at them: committed to a branch of each table, read there beside
//! what readers see, and taken to `main`.

use std::sync::Arc;

use connectors::{Error, Result};
use datafusion::catalog::TableProvider;

use super::catalog::Catalog;
use super::commit::{self, BRANCH_PREFIX, Branch, Committed, Part};
use super::failure::failed;
use super::history::Stamp;
use super::scan::LakeScan;
use super::schema;
use super::stage::{Staged, paths};
use super::table::LakeTable;
use crate::failpoint::{self, Point};

/// The name of the branches on which rows of a run wait for their audit.
pub fn audit_branch(run: &str) -> String {
    format!("{BRANCH_PREFIX}{run}")
}

/// Rows of one run for some tables, on their way by branches.
pub struct Audited {
    catalog: Arc<dyn Catalog>,
    branch: String,
    parts: Vec<Way>,
}

/// One table's way.
struct Way {
    part: Part,
    /// Whether a snapshot may list the files: they are not ours to remove any more.
    listed: bool,
}

/// A table as it is to be.
pub struct Candidate {
    table: LakeTable,
    snapshot: i64,
    before: Option<i64>,
}

/// Why rows are not on their branches.
pub struct NotBranched {
    /// What went wrong.
    pub error: Error,
    /// Which of them were in the way.
    pub at: usize,
}

impl Audited {
    /// Rows that were staged; `None` where there are none.
    pub fn new(all: Vec<(Staged, Stamp)>, branch: &str) -> Option<Self> {
        let catalog = all.first().map(|(staged, _)| staged.catalog())?;
        let parts = all.into_iter();
        let parts = parts.map(|(staged, stamp)| way(staged, &stamp, branch));
        Some(Self {
            catalog,
            branch: branch.to_owned(),
            parts: parts.collect(),
        })
    }

    /// Commits the rows of each table to its branch, where they are not there and on top of what readers see now. What an
    /// earlier attempt has shown to readers has no candidate.
    pub async fn branch_off(&mut self) -> Result<Vec<Option<Candidate>>, NotBranched> {
        let mut candidates = Vec::new();
        for at in 0..self.parts.len() {
            let candidate = self.branch_off_one(at).await;
            candidates.push(candidate.map_err(|error| NotBranched { error, at })?);
        }
        Ok(candidates)
    }

    async fn branch_off_one(&mut self, at: usize) -> Result<Option<Candidate>> {
        let Some(Way { part, listed }) = self.parts.get_mut(at) else {
            return Ok(None);
        };
        part.done = None;
        failpoint::before(Point::AuditBranch).await?;
        let committed = commit::commit(self.catalog.as_ref(), std::slice::from_mut(part)).await;
        *listed |= committed.as_ref().map_or_else(|not| !not.certain, |_| true);
        if let Err(not) = committed {
            return Err(not.error);
        }
        failpoint::after(Point::AuditBranch).await?;
        let Some(done) = part.done.filter(|done| !done.already) else {
            return Ok(None);
        };
        let id = part.target.id().clone();
        let gone = || {
            part.target
                .moved("the table was dropped while it was audited")
        };
        let now = self.catalog.load(&id).await?.ok_or_else(gone)?;
        if part.target.is_still(&now) {
            // What came with this commit, a table or columns beside those of readers, was not changed by somebody else.
            part.target = part.target.found_again(now.clone())?;
        }
        Ok(Some(Candidate {
            before: now.metadata().current_snapshot_id(),
            table: LakeTable::new(id, now)?,
            snapshot: done.snapshot_id,
        }))
    }

    /// Takes other rows for a table, which have met it as it is now.
    pub async fn replace(&mut self, at: usize, fresh: Staged, stamp: &Stamp) {
        let fresh = way(fresh, stamp, &self.branch);
        if let Some(place) = self.parts.get_mut(at) {
            std::mem::replace(place, fresh).discard().await;
        }
    }

    /// Takes `main` of the tables forward: all in one step, or one after the other. `Conflict` where somebody else has
    /// moved one meanwhile; then they are to branch off again.
    pub async fn fast_forward(&self, together: bool) -> Result<Vec<Committed>> {
        let parts = self.parts.iter().map(|way| &way.part);
        let parts: Vec<&Part> = parts.collect();
        let at_once = if together { parts.len() } else { 1 };
        for some in parts.chunks(at_once.max(1)) {
            commit::fast_forward(self.catalog.as_ref(), some).await?;
        }
        Ok(parts.iter().filter_map(|part| part.done).collect())
    }

    /// Removes files that no branch has.
    pub async fn discard(self) {
        for way in self.parts {
            way.discard().await;
        }
    }
}

fn way(staged: Staged, stamp: &Stamp, branch: &str) -> Way {
    let mut part = staged.into_part(stamp);
    part.branch = Some(Branch::new(branch.to_owned(), stamp.pipeline.clone()));
    let listed = false;
    Way { part, listed }
}

impl Way {
    async fn discard(self) {
        if !self.listed {
            commit::remove(self.part.target.file_io(), &paths(&self.part.op)).await;
        }
    }
}

impl Candidate {
    /// The rows of the table as it is to be.
    pub fn rows(&self) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(self.table.scan_at(self.snapshot)?))
    }

    /// The rows that readers see, with the columns that the table is to have; `None` where it had none yet.
    pub fn rows_before(&self) -> Result<Option<Arc<dyn TableProvider>>> {
        let metadata = self.table.iceberg().metadata();
        let Some(before) = self.before.and_then(|id| metadata.snapshot_by_id(id)) else {
            return Ok(None);
        };
        let Some(candidate) = metadata.snapshot_by_id(self.snapshot) else {
            return Ok(None);
        };
        let columns = candidate.schema(metadata);
        let columns = columns.map_err(failed("the columns of a snapshot are not known"))?;
        let arrow = Arc::new(schema::readable(&columns)?);
        let table = self.table.iceberg().clone();
        let before = Some(Arc::clone(before));
        Ok(Some(Arc::new(LakeScan::new(table, before, columns, arrow))))
    }
}
