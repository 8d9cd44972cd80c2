//! Staged rows of the lake become visible: several tables in one step where the catalog can do that.

use std::time::Duration;

use connectors::{ErrorKind, Result};
use spec::model::StepName;
use uuid::Uuid;

use super::commit::Committed;
use super::executor::Attempt;
use super::load::{StagedLoad, Staging};
use super::merge::Incoming;
use crate::lake::{self, Staged, Unpublished};

/// How often rows meet their table again because somebody else committed first.
pub(super) const ATTEMPTS: u32 = 20;
/// The longest pause before they do.
const LONGEST_PAUSE_MS: u64 = 2_000;

/// A load that is being published.
pub(super) struct Publishing {
    pub(super) step: StepName,
    pub(super) target: String,
    /// Rows that depend on those of the table: they meet it again where it has changed.
    pub(super) again: Option<Incoming>,
    pub(super) watermarks_of: Vec<StepName>,
}

impl StagedLoad {
    /// Whether the rows go to the lake.
    pub(super) const fn is_of_lake(&self) -> bool {
        matches!(self.staging, Staging::Lake(_) | Staging::Meeting(_))
    }

    /// Whether the commit makes a table of the lake.
    pub(super) fn makes_table(&self) -> bool {
        match &self.staging {
            Staging::Lake(staged) => staged.makes_table(),
            Staging::Meeting(meeting) => meeting.staged.makes_table(),
            Staging::Connection { .. } => false,
        }
    }
}

impl Attempt<'_> {
    /// Whether the run's loads to the lake can become visible in one step.
    pub(super) async fn goes_together(&self, makes_tables: bool) -> Result<bool> {
        let lake = self.engine.lake().await?;
        Ok(self.plan.publishes_together && lake.publishes_together(makes_tables).await?)
    }

    /// Makes loads of the lake visible, all or none.
    pub(super) async fn publish(&self, loads: Vec<StagedLoad>) -> Result<Vec<Committed>> {
        let (all, mut staged) = parted(loads);
        let mut attempt = 0;
        loop {
            let stamped = staged.into_iter().zip(&all);
            let stamped = stamped.map(|(staged, of)| (staged, self.lake_stamp(&of.watermarks_of)));
            let not = match lake::publish(stamped.collect()).await {
                Ok(done) => {
                    let done = all.into_iter().zip(done);
                    return Ok(done.map(|(load, done)| committed(load, &done)).collect());
                }
                Err(not) => not,
            };
            let Unpublished { error, at, .. } = not;
            staged = not.staged;
            attempt += 1;
            // A single table is the one that is in the way.
            let at = at.or_else(|| (all.len() == 1).then_some(0));
            let passes = error.kind() == ErrorKind::Conflict && error.is_retryable();
            let place = at.filter(|_| passes && attempt < ATTEMPTS);
            let place = place.and_then(|at| Some((staged.get_mut(at)?, all.get(at)?)));
            let meeting = place.and_then(|(old, load)| Some((old, load.again.as_ref()?)));
            if let Some((old, again)) = meeting
                && self.goes_on(again).await?
            {
                tracing::info!(step = %again.step, attempt, error = %error, "merging again");
                tokio::time::sleep(pause(attempt)).await;
                let (fresh, _) = self.meet(again).await?;
                std::mem::replace(old, fresh).discard().await;
                continue;
            }
            for one in staged {
                one.discard().await;
            }
            return Err(match at.and_then(|at| all.get(at)) {
                Some(load) => error.with("step", &load.step),
                None => error,
            });
        }
    }
}

/// What is to be published, and what is known of it.
pub(super) fn parted(loads: Vec<StagedLoad>) -> (Vec<Publishing>, Vec<Staged>) {
    let part = |load: StagedLoad| {
        let (staged, again) = match load.staging {
            Staging::Lake(staged) => (*staged, None),
            Staging::Meeting(meeting) => (meeting.staged, Some(meeting.again)),
            Staging::Connection { .. } => return None,
        };
        let of = Publishing {
            step: load.step,
            target: load.target,
            again,
            watermarks_of: load.watermarks_of,
        };
        Some((of, staged))
    };
    loads.into_iter().filter_map(part).unzip()
}

pub(super) fn committed(load: Publishing, done: &lake::Committed) -> Committed {
    Committed {
        step: load.step,
        target: load.target,
        rows: done.rows,
        snapshot: Some(done.snapshot_id),
        already: done.already,
    }
}

/// How long to wait before rows meet their table again; random, so that two writers fall out of step.
pub(super) fn pause(attempt: u32) -> Duration {
    let most = (50_u64 << attempt.min(10)).min(LONGEST_PAUSE_MS);
    let (random, _) = Uuid::new_v4().as_u64_pair();
    Duration::from_millis(random % most)
}
