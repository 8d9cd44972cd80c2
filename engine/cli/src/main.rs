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

/// How long the runtime may take to end threads that are in the middle of a blocking call.
const SHUTDOWN: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let invocation = Invocation::from_arguments();
    run::install_tls();
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

fn report(failure: &Failure) -> Exit {
    if let Some(text) = render::error::failure(failure) {
        screen::remark(&text);
    }
    failure.exit()
}
