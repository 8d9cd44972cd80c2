//! Lets happen what the script of this process says.

use std::collections::BTreeMap;
use std::process::{Command, id};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};

use super::point::{Point, Side};
use super::script::{Action, Script};

/// The script of this process, and how often each point was reached. A process that dies of it cannot be told apart
/// otherwise than as a whole.
static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    script: Script,
    reached: Mutex<BTreeMap<(Point, Side), u64>>,
}

/// Arms the process; a second script is none.
pub(super) fn arm(script: Script) {
    let reached = Mutex::default();
    ARMED.get_or_init(|| Armed { script, reached });
}

/// Whether anything may happen at all.
pub(super) fn is_armed() -> bool {
    ARMED.get().is_some()
}

/// The point before a transition.
pub(crate) async fn before(point: Point) -> Result<()> {
    reach(point, Side::Before).await
}

/// The point after a transition.
pub(crate) async fn after(point: Point) -> Result<()> {
    reach(point, Side::After).await
}

/// The point before a transition that nobody waits for and that cannot fail.
pub(crate) fn passing(point: Point) {
    pass(point, Side::Before);
}

/// The point after such a one.
pub(crate) fn passed(point: Point) {
    pass(point, Side::After);
}

async fn reach(point: Point, side: Side) -> Result<()> {
    match action(point, side) {
        None => Ok(()),
        Some(Action::Kill) => kill(),
        Some(Action::Stop) => {
            stop();
            Ok(())
        }
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            Ok(())
        }
        Some(Action::Error) => Err(failed(ErrorKind::Unavailable, point, side)),
        Some(Action::DiskFull) => {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Err(failed(ErrorKind::LimitExceeded, point, side).caused_by(full))
        }
        Some(Action::LostReply) if point.is_of_state() => {
            Err(failed(ErrorKind::Unavailable, point, side))
        }
        Some(Action::LostReply) => Err(failed(ErrorKind::CommitUnknown, point, side)),
    }
}

fn pass(point: Point, side: Side) {
    match action(point, side) {
        Some(Action::Kill) => kill(),
        Some(Action::Stop) => stop(),
        Some(Action::Delay(delay)) => std::thread::sleep(delay),
        // The script has none of the others for such a point.
        _ => {}
    }
}

/// What happens this time.
fn action(point: Point, side: Side) -> Option<Action> {
    let armed = ARMED.get()?;
    let time = {
        let mut reached = armed.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let time = reached.entry((point, side)).or_default();
        *time += 1;
        *time
    };
    let mut faults = armed.script.faults.iter();
    let hit = faults.find(|fault| (fault.point, fault.side, fault.time) == (point, side, time));
    if let Some(fault) = hit {
        tracing::warn!("failpoint: {fault}");
    } else if armed.script.trace {
        tracing::warn!("failpoint: {point}.{side}@{time}");
    }
    hit.map(|fault| fault.action)
}

fn failed(kind: ErrorKind, point: Point, side: Side) -> Error {
    Error::new(kind, "a failpoint was reached").with("at", format!("{point}.{side}"))
}

/// Stands still, whole, until somebody tells this process to go on.
fn stop() {
    let process = id().to_string();
    if let Err(error) = Command::new("kill").args(["-STOP", &process]).status() {
        tracing::error!(%error, "the failpoint cannot stop this process");
    }
}

/// Ends the process as a machine would that lost its power: no destructor runs, nothing is written any more.
fn kill() -> ! {
    let process = id().to_string();
    let told = Command::new("kill").args(["-KILL", &process]).status();
    if told.is_err() {
        std::process::abort();
    }
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}
