//! The daemon: keeps the running project what its folder says, decides what is due, and runs what was decided.
//!
//! All that it knows stands in the state store and in the tables; it may be killed at any moment. Several daemons may
//! work on one state: one of them decides, all of them run. Knows nothing of screens: what happens is told as [`News`].

mod news;
mod version;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use connectors::Result;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use news::{News, Watch};

use self::version::Version;
use self::work::Work;
use crate::clock::{Clock as _, SystemClock};
use crate::engine::Settings;
use crate::scheduler::{dropped, due};
use crate::state::{Lease, OpenDecision};

/// How long the daemon rests between two looks at the clock and the state.
const REST: Duration = Duration::from_millis(500);

/// How long it rests at the most where looking fails again and again.
const REST_AT_MOST: Duration = Duration::from_secs(30);

/// How often it asks for the right to decide while another has it.
const ASK: Duration = Duration::from_secs(2);

/// How a daemon works.
#[derive(Clone, Debug)]
pub struct DaemonSettings {
    /// The folder of the project.
    pub root: PathBuf,
    /// The environment whose blocks replace those of the project.
    pub environment: Option<String>,
    /// What each run may use of the machine.
    pub settings: Settings,
    /// How many runs go on at once.
    pub runs: usize,
    /// How often the folder is looked at.
    pub reload: Duration,
    /// How long runs may go on once the daemon is asked to stop. What has not ended by then is gone on with by the next.
    pub grace: Duration,
}

/// A daemon.
pub struct Daemon {
    how: DaemonSettings,
    watch: Arc<dyn Watch>,
    version: Arc<Version>,
    looked: Instant,
    asked: Option<Instant>,
    lease: Option<Lease>,
    work: Work,
}

impl Daemon {
    /// A daemon for the project in its folder; `None` where that has errors, which are told as [`News`].
    ///
    /// # Errors
    /// What keeps the project from being read.
    pub async fn new(how: DaemonSettings, watch: Arc<dyn Watch>) -> Result<Option<Self>> {
        let Some(version) = Version::first(&how, watch.as_ref()).await? else {
            return Ok(None);
        };
        Ok(Some(Self {
            work: Work::new(how.runs, Arc::clone(&watch)),
            how,
            watch,
            version: Arc::new(version),
            looked: Instant::now(),
            asked: None,
            lease: None,
        }))
    }

    /// Works until it is asked to stop. What goes wrong meanwhile is told, and tried again.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut rest = REST;
        while !stop.is_cancelled() {
            let looked = tokio::select! {
                () = stop.cancelled() => break,
                looked = self.look_around() => looked,
            };
            match looked {
                Ok(()) => rest = REST,
                Err(error) => {
                    rest = (rest * 2).min(REST_AT_MOST);
                    self.watch.news(&News::Trouble(error));
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(rest) => {}
                () = self.work.one_ended() => {}
            }
        }
        if let Some(lease) = self.lease.take()
            && let Err(error) = lease.release().await
        {
            self.watch.news(&News::Trouble(error));
        }
        self.work.leave(self.how.grace).await;
        self.version.engine().close().await;
    }

    async fn look_around(&mut self) -> Result<()> {
        if self.looked.elapsed() >= self.how.reload {
            self.reload().await;
        }
        self.look().await
    }

    /// Puts the folder's project in place of the running one where it has changed and nothing is wrong with it.
    async fn reload(&mut self) {
        self.looked = Instant::now();
        match self.version.next(&self.how, self.watch.as_ref()).await {
            Ok(Some(next)) => {
                let state = |version: &Version| version.engine().project().state.clone();
                if state(&next) != state(&self.version) && self.lease.take().is_some() {
                    self.watch.news(&News::Leads(false));
                }
                self.version = Arc::new(next);
            }
            Ok(None) => {}
            Err(error) => self.watch.news(&News::Trouble(error)),
        }
    }

    /// Decides, where that is for this daemon, and begins runs.
    async fn look(&mut self) -> Result<()> {
        let leads = self.leads().await?;
        let state = self.version.engine().state().await?;
        let mut open = state.open_decisions().await?;
        if leads && self.decide(SystemClock.now(), &open).await? {
            open = state.open_decisions().await?;
        }
        self.work
            .begin(&self.version, open, self.lease.as_ref())
            .await
    }

    /// Decides what is due while these decisions are open; whether anything was written down.
    async fn decide(&self, now: DateTime<Utc>, open: &[OpenDecision]) -> Result<bool> {
        let state = self.version.engine().state().await?;
        let schedules = state.schedules(self.version.upstream(), open).await?;
        let looked_at = self.version.scheduled().filter(|(id, schedule)| {
            let known = schedules.known.get(id);
            !schedule.after.is_empty() || self.version.may_be_due(id, schedule, known, now)
        });
        let mut decisions = due(now, looked_at, &schedules);
        if self.version.is_settled() {
            let listed = self.version.scheduled().map(|(id, _)| id).collect();
            decisions.extend(dropped(now, &listed, &schedules));
        }
        if decisions.is_empty() {
            return Ok(false);
        }
        // Where another daemon or a command was quicker, the next look sees what that has decided.
        let decided = state.decide(self.lease.as_ref(), &decisions, now).await?;
        for decision in &decided {
            self.watch.news(&News::Decided(decision));
        }
        Ok(!decided.is_empty())
    }

    /// Whether it is this daemon that decides.
    async fn leads(&mut self) -> Result<bool> {
        if let Some(lease) = &self.lease {
            if !lease.is_lost() {
                return Ok(true);
            }
            self.lease = None;
            self.watch.news(&News::Leads(false));
        }
        if self.asked.is_some_and(|asked| asked.elapsed() < ASK) {
            return Ok(false);
        }
        self.asked = Some(Instant::now());
        self.lease = self.version.engine().state().await?.lead().await?;
        if self.lease.is_some() {
            self.watch.news(&News::Leads(true));
        }
        Ok(self.lease.is_some())
    }
}
