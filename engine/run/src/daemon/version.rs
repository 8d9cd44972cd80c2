//! What the project's folder said at one moment: the version that runs are begun with, whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use connectors::{Error, ErrorKind, Result};
use spec::model::{PipelineId, Schedule};
use tokio::time::Instant;

use super::{DaemonSettings, News, Watch};
use crate::engine::Engine;
use crate::project::{Loaded, load_project};
use crate::scheduler::{Known, next_due};

/// How long a version is in force before anything is concluded from what it does not have.
const SETTLED: Duration = Duration::from_mins(10);

/// After so many decisions about a pipeline, when the clock makes it due next; `None`: never.
type Next = (u32, Option<DateTime<Utc>>);

/// A checked project and the engine that runs it.
pub(super) struct Version {
    fingerprint: String,
    engine: Engine,
    /// The pipelines that others wait for.
    upstream: BTreeSet<PipelineId>,
    /// Since when it is in force.
    since: Instant,
    /// What the last look saw: files that are written just now are another thing at the next.
    seen: Mutex<Option<String>>,
    /// The last version that was looked at and has errors, so that each is told of once.
    refused: Mutex<Option<String>>,
    /// What was found out about when pipelines are due.
    next: Mutex<BTreeMap<PipelineId, Next>>,
}

impl Version {
    /// The version with which a daemon begins; `None` where it has errors.
    pub(super) async fn first(how: &DaemonSettings, watch: &dyn Watch) -> Result<Option<Self>> {
        let loaded = load(how).await?;
        let (Some(project), false) = (loaded.project, loaded.diagnostics.has_errors()) else {
            watch.news(&News::Refused {
                version: &loaded.fingerprint,
                findings: &loaded.diagnostics,
            });
            return Ok(None);
        };
        let engine = Engine::new(
            how.root.clone(),
            project,
            loaded.texts,
            how.settings.clone(),
        );
        Ok(Some(Self::in_force(loaded.fingerprint, engine, watch)))
    }

    /// The version that the folder holds now; `None` where it is this one, or has errors.
    pub(super) async fn next(
        &self,
        how: &DaemonSettings,
        watch: &dyn Watch,
    ) -> Result<Option<Self>> {
        let loaded = load(how).await?;
        let seen = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(loaded.fingerprint.clone());
        if loaded.fingerprint != self.fingerprint && seen.as_ref() != Some(&loaded.fingerprint) {
            return Ok(None);
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.fingerprint == self.fingerprint {
            *refused = None;
            return Ok(None);
        }
        let (Some(project), false) = (loaded.project, loaded.diagnostics.has_errors()) else {
            if refused.as_ref() != Some(&loaded.fingerprint) {
                watch.news(&News::Refused {
                    version: &loaded.fingerprint,
                    findings: &loaded.diagnostics,
                });
                *refused = Some(loaded.fingerprint);
            }
            return Ok(None);
        };
        let engine = self.engine.replaced_by(project, loaded.texts);
        Ok(Some(Self::in_force(loaded.fingerprint, engine, watch)))
    }

    fn in_force(fingerprint: String, engine: Engine, watch: &dyn Watch) -> Self {
        let project = engine.project();
        let schedules = project.pipelines.values();
        let schedules = schedules.filter_map(|pipeline| pipeline.schedule.as_ref());
        let upstream = schedules
            .clone()
            .flat_map(|schedule| schedule.after.iter().cloned())
            .collect();
        watch.news(&News::InForce {
            version: &fingerprint,
            pipelines: project.pipelines.len(),
            scheduled: schedules.count(),
        });
        Self {
            fingerprint,
            engine,
            upstream,
            since: Instant::now(),
            seen: Mutex::default(),
            refused: Mutex::default(),
            next: Mutex::default(),
        }
    }

    /// Whether the clock may have made a pipeline due. Cron rules are worth remembering: most of thousands are not due for
    /// hours, and each look asks all of them.
    pub(super) fn may_be_due(
        &self,
        id: &PipelineId,
        schedule: &Schedule,
        known: Option<&Known>,
        now: DateTime<Utc>,
    ) -> bool {
        let Some((known, last)) = known.and_then(|known| Some((known, known.last.as_ref()?)))
        else {
            return true;
        };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((decisions, time)) = next.get(id)
            && *decisions == known.decisions
        {
            return time.is_some_and(|time| time <= now);
        }
        // Where the rule is another now, that itself is to be decided.
        if last.rule != schedule.rule() {
            return true;
        }
        let time = next_due(id, schedule, last.due);
        next.insert(id.clone(), (known.decisions, time));
        time.is_some_and(|time| time <= now)
    }

    /// The engine that runs it.
    pub(super) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether it is in force for so long that what it does not have is gone, and not on its way.
    pub(super) fn is_settled(&self) -> bool {
        self.since.elapsed() > SETTLED
    }

    /// The pipelines that others wait for.
    pub(super) const fn upstream(&self) -> &BTreeSet<PipelineId> {
        &self.upstream
    }

    /// The pipelines that run by themselves.
    pub(super) fn scheduled(&self) -> impl Iterator<Item = (&PipelineId, &Schedule)> {
        let pipelines = self.engine.project().pipelines.iter();
        pipelines.filter_map(|(id, pipeline)| Some((id, pipeline.schedule.as_ref()?)))
    }
}

async fn load(how: &DaemonSettings) -> Result<Loaded> {
    let (root, environment) = (how.root.clone(), how.environment.clone());
    let load = move || load_project(&root, environment.as_deref());
    tokio::task::spawn_blocking(load).await.map_err(|error| {
        Error::new(ErrorKind::Internal, "the project could not be read").caused_by(error)
    })?
}
