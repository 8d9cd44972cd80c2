//! Runs as they stand: what their logs say, and whether anybody is at them.
//!
//! Stores nothing: that a process has died is seen at the lock of its pipeline, which died with it.

use std::collections::BTreeMap;

use connectors::Result;
use serde::Serialize;
use spec::model::PipelineId;

use super::status::Phase;
use super::{RunId, RunRecord, RunStatus, StateStore};

/// A run as it stands now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The run.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: PipelineId,
    /// What has become of it.
    #[serde(flatten)]
    pub status: RunStatus,
}

/// How these runs stand. Whoever is at one of them does not notice that somebody looks.
pub(crate) async fn standing(
    store: &dyn StateStore,
    records: Vec<RunRecord>,
) -> Result<Vec<Standing>> {
    let mut all = Vec::with_capacity(records.len());
    let mut held: BTreeMap<PipelineId, bool> = BTreeMap::new();
    for mut record in records {
        let mut status = record.status()?;
        if !status.has_ended() {
            let held = if let Some(known) = held.get(&record.pipeline) {
                *known
            } else {
                let now = is_held(store, &record.pipeline).await;
                held.insert(record.pipeline.clone(), now);
                now
            };
            if !held {
                // The lock is given back after the end is written: it may have ended between the two looks.
                record.events = store.events(record.run).await?;
                status = record.status()?;
                if !status.has_ended() {
                    status.phase = Phase::Interrupted;
                }
            }
        }
        all.push(Standing {
            run: record.run,
            pipeline: record.pipeline,
            status,
        });
    }
    Ok(all)
}

/// Whether somebody is at a run of the pipeline; so it seems where nobody can tell.
async fn is_held(store: &dyn StateStore, pipeline: &PipelineId) -> bool {
    match store.is_locked(pipeline).await {
        Ok(held) => held,
        Err(error) => {
            tracing::warn!(%error, %pipeline, "the pipeline's lock cannot be looked at");
            true
        }
    }
}
