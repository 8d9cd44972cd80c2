//! Rights that one process has at a time: to run a pipeline, and to decide about schedules.
//!
//! A right is given for a time, by the clock of the store, and with a number that grows each time it is given. Who has it
//! renews it for as long as it is needed. Somebody else is given it when its time is over, whatever has become of who had
//! it, or at once where that process is dead. Who stood still in between finds that its number is not the one in the
//! store any more: each write to the store holds it against that.

mod postgres;
mod sqlite;

use std::fs::File;
use std::time::Duration;

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Fence, Result};
use spec::model::PipelineId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::scheduler::{Share, Taken};

pub(super) use self::postgres::{
    STANDS as STANDS_IN_SESSION, lives, renew as renew_in_session, take as take_in_session,
    taken as taken_in_session,
};
pub(super) use self::sqlite::{
    SHARES as SHARES_IN_FILE, STANDS as STANDS_IN_FILE, renew as renew_in_file,
    take as take_in_file, taken as taken_in_file,
};

/// How often a right is renewed in the time for which it is given.
const RENEWALS: u32 = 3;
/// How soon it is renewed at the least.
const SOONEST: Duration = Duration::from_millis(100);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of the right to decide. Pipelines have a slash in their names.
pub(super) const SCHEDULER: &str = "scheduler";

/// A right, for as long as this value lives and nobody else was given it.
#[must_use = "the right is free again as soon as this is dropped"]
pub struct Lease {
    fence: Fence,
    lost: CancellationToken,
    given_up: CancellationToken,
    keeper: JoinSet<Result<()>>,
    /// What others see of this process, where that is a file.
    _alive: Option<File>,
}

/// What became of asking for the right to run a pipeline.
#[must_use = "the right is free again as soon as this is dropped"]
pub enum Take {
    /// It is ours.
    Got(Lease),
    /// Somebody else has it.
    Running,
    /// Others have all there is of something that the run needs.
    Full(Share),
}

/// A share as its row has it: of what, and who has it by which token.
type ShareRow = (String, String, i64);

/// Who has shares of what; names that are no pipelines have none.
fn taken(rows: Vec<ShareRow>) -> Taken {
    let mut taken = Taken::new();
    for (resource, name, _) in rows {
        if let Ok(pipeline) = name.parse() {
            taken.entry(resource).or_default().insert(pipeline);
        }
    }
    taken
}

/// The first of these shares of which others have all there is.
fn full<'a>(name: &str, shares: &'a [Share], rows: &[ShareRow]) -> Option<&'a Share> {
    shares.iter().find(|share| {
        let of = share.of.to_string();
        let others = rows
            .iter()
            .filter(|(resource, other, _)| *resource == of && other != name);
        share.most.is_some_and(|most| others.count() >= most)
    })
}

/// The row of a right, in some database.
#[async_trait]
trait Holding: Send + Sync {
    /// Holds it for another while; false where somebody else was given it.
    async fn renew(&mut self, fence: &Fence) -> Result<bool>;

    /// Gives it back, where it is still ours.
    async fn give_back(self: Box<Self>, fence: &Fence) -> Result<()>;
}

impl Lease {
    /// A right that was given for a time, and is renewed from here on.
    fn kept(fence: Fence, holding: Box<dyn Holding>, alive: Option<File>, time: Duration) -> Self {
        let (lost, given_up) = (CancellationToken::new(), CancellationToken::new());
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(
            fence.clone(),
            holding,
            (time / RENEWALS).max(SOONEST),
            lost.clone(),
            given_up.clone(),
        ));
        Self {
            fence,
            lost,
            given_up,
            keeper,
            _alive: alive,
        }
    }

    /// What it is the right to, and the number with which it was given.
    pub const fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Returns once somebody else was given the right, as soon as that is known.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether it is known that somebody else was given the right.
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Notes that somebody else was given the right, and says so.
    pub fn taken(&self) -> Error {
        self.lost.cancel();
        let message = format!("another process has taken `{}` over", self.fence.name);
        Error::new(ErrorKind::Conflict, message)
            .help("this one stood still for longer than its lease, or could not reach the state store; the other goes on from what is committed")
            .retry(false)
    }

    /// Gives it up, and returns when it is free.
    pub async fn release(mut self) -> Result<()> {
        self.given_up.cancel();
        let given = tokio::time::timeout(PATIENCE, self.keeper.join_next()).await;
        match given {
            Ok(Some(Ok(given))) => given,
            Ok(None) => Ok(()),
            Ok(Some(Err(error))) => Err(unanswered(&self.fence).caused_by(error)),
            Err(error) => Err(unanswered(&self.fence).caused_by(error)),
        }
    }
}

/// Renews a right until it is given up or lost.
async fn keep(
    fence: Fence,
    mut holding: Box<dyn Holding>,
    every: Duration,
    lost: CancellationToken,
    given_up: CancellationToken,
) -> Result<()> {
    loop {
        tokio::select! {
            () = given_up.cancelled() => return holding.give_back(&fence).await,
            () = tokio::time::sleep(every) => {}
        }
        let renewed = tokio::time::timeout(PATIENCE, holding.renew(&fence)).await;
        match renewed.unwrap_or_else(|_| Err(unanswered(&fence))) {
            Ok(true) => {}
            Ok(false) => {
                lost.cancel();
                return Ok(());
            }
            // As long as nobody else was given it, it is ours: the next renewal tells.
            Err(error) => tracing::warn!(name = fence.name, %error, "a lease could not be renewed"),
        }
    }
}

fn unanswered(fence: &Fence) -> Error {
    Error::new(ErrorKind::Timeout, "the state store does not answer").with("lease", &fence.name)
}

/// The pipeline is somebody else's.
pub(crate) fn running(pipeline: &PipelineId) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("pipeline `{pipeline}` is running already"),
    )
    .help("wait for that run to end, or stop it; the lock goes with its process")
}
