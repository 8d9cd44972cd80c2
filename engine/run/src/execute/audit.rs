//! Staged rows of the lake become visible by way of an audit: committed to a branch of each table, held there against what
//! the loads expect of their tables, and only then shown to readers.

use connectors::{Error, ErrorKind, Result};
use spec::model::{Otherwise, Rule, StepName};
use spec::plan::Action;
use spec::previous;
use tokio_util::sync::CancellationToken;

use super::check::answers;
use super::commit::Committed;
use super::executor::{Attempt, cancelled};
use super::load::StagedLoad;
use super::publish::{ATTEMPTS, Publishing, committed, parted, pause};
use crate::failpoint::{self, Point};
use crate::lake::{Audited, Candidate, NotBranched, audit_branch};
use crate::progress::ProgressEvent;
use crate::query::from_datafusion;

/// The names of the tables in the query of an audit.
const CANDIDATE: &str = "__candidate";
const BEFORE: &str = "__before";

impl Attempt<'_> {
    /// Makes loads of the lake visible once their tables have been audited, all or none where the catalog can do that.
    pub(super) async fn publish_audited(
        &self,
        loads: Vec<StagedLoad>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Committed>> {
        let (all, staged) = parted(loads);
        let stamps = all.iter().map(|of| self.lake_stamp(&of.watermarks_of));
        let stamped = staged.into_iter().zip(stamps).collect();
        let Some(mut audited) = Audited::new(stamped, &audit_branch(self.run)) else {
            return Ok(Vec::new());
        };
        // Branches have made the tables that were not there.
        let together = self.goes_together(false).await?;
        let mut attempt = 0;
        loop {
            let candidates = match self.branch_off(&all, &mut audited, &mut attempt).await {
                Ok(candidates) => candidates,
                Err(error) => {
                    audited.discard().await;
                    return Err(error);
                }
            };
            tokio::select! {
                held = self.audit(&all, &candidates) => held?,
                () = cancel.cancelled() => return Err(cancelled()),
            }
            failpoint::before(Point::AuditForward).await?;
            match audited.fast_forward(together).await {
                Ok(done) => {
                    failpoint::after(Point::AuditForward).await?;
                    let done = all.into_iter().zip(done);
                    return Ok(done.map(|(load, done)| committed(load, &done)).collect());
                }
                Err(error) if passes(&error) && attempt < ATTEMPTS => {
                    attempt += 1;
                    tracing::info!(attempt, %error, "auditing again");
                    tokio::time::sleep(pause(attempt)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Brings the rows of all tables on their branches, on top of what readers see now.
    async fn branch_off(
        &self,
        all: &[Publishing],
        audited: &mut Audited,
        attempt: &mut u32,
    ) -> Result<Vec<Option<Candidate>>> {
        loop {
            let NotBranched { error, at } = match audited.branch_off().await {
                Ok(candidates) => return Ok(candidates),
                Err(not) => not,
            };
            *attempt += 1;
            let Some(load) = all.get(at) else {
                return Err(error);
            };
            let again = load.again.as_ref();
            let again = again.filter(|_| passes(&error) && *attempt < ATTEMPTS);
            match again {
                Some(again) if self.goes_on(again).await? => {
                    tracing::info!(step = %load.step, %error, "merging again");
                    tokio::time::sleep(pause(*attempt)).await;
                    let (fresh, _) = self.meet(again).await?;
                    let stamp = self.lake_stamp(&load.watermarks_of);
                    audited.replace(at, fresh, &stamp).await;
                }
                _ => return Err(error.with("step", &load.step)),
            }
        }
    }

    /// Holds all tables against what is expected of them, and fails for the first expectation that must hold and does not.
    async fn audit(&self, all: &[Publishing], candidates: &[Option<Candidate>]) -> Result<()> {
        failpoint::before(Point::AuditVerdict).await?;
        let mut broken = None;
        for (load, candidate) in all.iter().zip(candidates) {
            let (Some(candidate), rules) = (candidate, self.expected_of(&load.step)) else {
                continue;
            };
            let held = self.held(candidate, rules).await;
            let held = held.map_err(|error| error.with("step", &load.step))?;
            for (rule, holds) in rules.iter().zip(held) {
                self.progress.event(ProgressEvent::Check {
                    step: load.step.clone(),
                    rule: rule.name.clone(),
                    failed: u64::from(!holds),
                    otherwise: rule.otherwise,
                });
                if !holds && rule.otherwise == Otherwise::Fail && broken.is_none() {
                    broken = Some(self.not_as_expected(load, rule));
                }
            }
        }
        failpoint::after(Point::AuditVerdict).await?;
        broken.map_or(Ok(()), Err)
    }

    /// What is expected of the table of a load.
    fn expected_of(&self, step: &StepName) -> &[Rule] {
        match self.plan.step(step).map(|step| &step.action) {
            Some(Action::Load(load)) => &load.audit,
            _ => &[],
        }
    }

    /// Which expectations a table fulfils.
    async fn held(&self, candidate: &Candidate, rules: &[Rule]) -> Result<Vec<bool>> {
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.engine.session()?;
        session.register_step(CANDIDATE, candidate.rows()?)?;
        let before = candidate.rows_before()?;
        let is_first = before.is_none();
        if let Some(before) = before {
            session.register_step(BEFORE, before)?;
        }
        let asked = rules.iter().enumerate().map(|(number, rule)| {
            let expect = previous::with(&rule.expect, (!is_first).then_some(BEFORE));
            format!("(\n{expect}\n) AS r{number}")
        });
        let asked: Vec<String> = asked.collect();
        let sql = format!("SELECT {} FROM {CANDIDATE}", asked.join(", "));
        let batches = session.query(&sql).await?.collect().await;
        let answers = answers(&batches.map_err(from_datafusion)?)?;
        let mut answers = answers.into_iter();
        let holds = |rule: &Rule| {
            // What there is nothing to compare with is as it should be.
            let unknown = is_first && previous::is_in(&rule.expect);
            answers.next().flatten().unwrap_or(unknown)
        };
        Ok(rules.iter().map(holds).collect())
    }

    fn not_as_expected(&self, load: &Publishing, rule: &Rule) -> Error {
        let (table, branch) = (&load.target, audit_branch(self.run));
        Error::new(
            ErrorKind::CheckFailed,
            format!(
                "`{}`, which is expected of `{table}`, does not hold",
                rule.name
            ),
        )
        .with("step", &load.step)
        .with("expected", &rule.expect)
        .help(format!(
            "readers see the table as it was; what it would have been: \
             `lakewright query 'SELECT * FROM {table}' --at {branch}`"
        ))
    }
}

/// Whether somebody else was first, and the rows can go on top of that.
fn passes(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.is_retryable()
}
