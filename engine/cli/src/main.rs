//! The `lakewright` command: specs in, Iceberg tables out.
//!
//! Knows commands and screens; knows nothing of YAML, SQL, Iceberg or any source.

mod command;
mod destination;
mod exit;
mod export;
mod interrupt;
mod logging;
mod render;
mod screen;

use std::process::ExitCode;
use std::time::Duration;

use command::Invocation;
use exit::{Exit, Failure};

/// The system's own keeps what threads have freed: in a merge as much again as queries may have. How soon this one gives
/// it back is in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long the runtime may take to end threads that are in the middle of a blocking call.
const SHUTDOWN: Duration = Duration::from_millis(100);

/// The environment variable that arms failpoints: `commit.swap.before=kill@2`.
const FAILPOINTS: &str = "LAKEWRIGHT_FAILPOINTS";

fn main() -> ExitCode {
    let invocation = Invocation::from_arguments();
    run::install_tls();
    if let Err(failure) = arm_failpoints() {
        return report(&failure).into();
    }
    let exit = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let done = runtime.block_on(invocation.execute());
            runtime.shutdown_timeout(SHUTDOWN);
            done.map_or_else(|failure| report(&failure), |()| Exit::Done)
        }
        Err(error) => {
            let failure =
                connectors::Error::new(connectors::ErrorKind::Unavailable, "no threads to run on");
            report(&failure.caused_by(error).into())
        }
    };
    exit.into()
}

/// Lets a test say what goes wrong in this process. A release build has no failpoints, and does not look.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the crate that reads the environment, and a test has no other way to tell"
)]
fn arm_failpoints() -> Result<(), Failure> {
    let script = cfg!(debug_assertions).then(|| std::env::var(FAILPOINTS).ok());
    match script.flatten() {
        Some(script) => Ok(run::failpoint::arm(&script)?),
        None => Ok(()),
    }
}

fn report(failure: &Failure) -> Exit {
    if let Some(text) = render::error::failure(failure) {
        screen::remark(&text);
    }
    failure.exit()
}
