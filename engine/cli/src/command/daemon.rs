//! `lakewright daemon`: runs what is due, until it is asked to stop.

use std::sync::Arc;
use std::time::Duration;

use connectors::{Error, ErrorKind};
use run::Settings;
use run::daemon::{Daemon as Running, DaemonSettings, News, Watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::exit::Failure;
use crate::interrupt::asked_to_stop;
use crate::render::amount::parse_duration;
use crate::screen;

use super::project::{self, ProjectArguments};

/// Run pipelines when their schedules say so, until Ctrl-C or SIGTERM
///
/// Decides what is due, writes that down, and runs what was written down: a daemon that dies at any moment loses no run
/// and does none twice. Several daemons may work on one PostgreSQL state; one of them decides. The folder is looked at
/// again and again: a change comes into force whole, or not at all where it has errors.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  lakewright daemon
  lakewright daemon --project /srv/estate --env prod --runs 8 --memory 8GiB
  lakewright daemon --log-format json 2>> daemon.log

What it does stands on stderr, `lakewright status` shows how schedules stand, `lakewright runs` what ran.

Exit codes: 0 it was asked to stop, 1 it could not begin, 3 the specs have findings")]
pub(super) struct Daemon {
    /// How many runs go on at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    runs: u16,

    /// How often the project's folder is looked at
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    reload: Duration,

    /// How long runs may go on once it is asked to stop; the next daemon goes on with what has not ended by then
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    grace: Duration,

    /// How long this daemon may stand still, or not reach the state, before another one takes over what it is at; 1s at
    /// the least
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = lease)]
    lease: Duration,

    /// How much memory all queries together may use before they spill to disk; 32MiB at the least
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = project::memory)]
    memory: usize,

    /// How many threads each run computes with; one a core when left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,

    #[command(flatten)]
    project: ProjectArguments,
}

impl Daemon {
    pub(super) async fn execute(self) -> Result<(), Failure> {
        let how = DaemonSettings {
            root: self.project.project.clone(),
            environment: self.project.env.clone(),
            settings: Settings {
                lease: self.lease,
                ..project::settings(self.memory, self.parallel.map(usize::from))
            },
            runs: usize::from(self.runs),
            reload: self.reload,
            grace: self.grace,
        };
        let Some(daemon) = Running::new(how, Arc::new(Log)).await? else {
            return Err(Failure::Findings);
        };
        let stop = CancellationToken::new();
        // A task of its own, so that a signal is heard however busy it is.
        let mut running = JoinSet::new();
        running.spawn(daemon.run(stop.clone()));
        tokio::select! {
            ended = running.join_next() => return over(ended),
            () = asked_to_stop() => stop.cancel(),
        }
        tokio::select! {
            ended = running.join_next() => over(ended),
            // Whoever asks twice does not want to wait.
            () = asked_to_stop() => Ok(()),
        }
    }
}

/// A lease that can be renewed in time.
fn lease(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time < Duration::from_secs(1) {
        return Err("a lease is for a second at the least".to_owned());
    }
    Ok(time)
}

fn over(ended: Option<Result<(), JoinError>>) -> Result<(), Failure> {
    match ended {
        Some(Err(error)) => {
            let defect = Error::new(ErrorKind::Internal, "the daemon broke off").caused_by(error);
            Err(defect
                .help("this is a defect of lakewright; please report it with the lines above")
                .into())
        }
        _ => Ok(()),
    }
}

/// Writes what happens into the log.
struct Log;

impl Watch for Log {
    fn news(&self, news: &News<'_>) {
        match news {
            News::InForce {
                version,
                pipelines,
                scheduled,
            } => {
                info!(target: "lakewright", version, pipelines, scheduled, "project in force");
            }
            News::Refused { version, findings } => {
                error!(target: "lakewright", version, findings = findings.iter().count(), "project refused: what was in force stays");
                screen::remark(findings.render(true).trim_end());
            }
            News::Leads(true) => info!(target: "lakewright", "this daemon decides what is due"),
            News::Leads(false) => {
                warn!(target: "lakewright", "this daemon no longer decides what is due");
            }
            News::Decided(decision) => {
                let (pipeline, due, verdict) = (&decision.pipeline, decision.due, decision.verdict);
                info!(target: "lakewright", %pipeline, %due, %verdict, cause = decision.cause, "decided");
            }
            News::Began {
                pipeline,
                due,
                cause,
            } => {
                info!(target: "lakewright", %pipeline, %due, cause, "run begins");
            }
            News::Ended { pipeline, outcome } => match outcome {
                Ok(Some(report)) => {
                    let rows: u64 = report.loads.iter().map(|load| load.rows).sum();
                    info!(target: "lakewright", %pipeline, run = report.run, rows, "run ended well");
                }
                Ok(None) => info!(target: "lakewright", %pipeline, "run had ended before"),
                Err(failed) => {
                    error!(target: "lakewright", %pipeline, error = chain(failed), "run failed");
                }
            },
            News::TakenOver { pipeline } => {
                warn!(target: "lakewright", %pipeline, "run taken over by another process: this one stood still for too long");
            }
            News::Stopping { runs } => {
                info!(target: "lakewright", runs, "stopping: waiting for runs to end");
            }
            News::Left { runs } => {
                warn!(target: "lakewright", runs, "runs were left in the middle: the next daemon goes on with them");
            }
            News::Trouble(trouble) => {
                error!(target: "lakewright", error = chain(trouble), "trouble; trying again");
            }
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
