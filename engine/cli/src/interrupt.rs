//! Ctrl-C: the first asks the work to stop, the second does not ask.
//!
//! Knows nothing of what the work is.

use std::future::Future;
use std::time::Duration;

use connectors::{Error, ErrorKind};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::screen;

/// How long work that was asked to stop may take to do so.
const GRACE: Duration = Duration::from_millis(800);

/// Does the work, on a thread of its own so that the signal is heard however busy it is.
pub(crate) async fn interruptible<T, F>(
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    interruptible_aloud(screen::remark, work).await
}

/// The same, where remarks must not tear what else is on the screen.
pub(crate) async fn interruptible_aloud<T, F>(
    say: impl Fn(&str),
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(work(cancel.clone()));
    tokio::select! {
        done = tasks.join_next() => ended(done),
        () = asked_to_stop() => {
            cancel.cancel();
            say("stopping; press Ctrl-C again to leave at once");
            tokio::select! {
                done = tokio::time::timeout(GRACE, tasks.join_next()) => match done {
                    // It may have been done just before: then that is the truth to report.
                    Ok(done) => ended(done),
                    Err(_) => Err(Failure::Interrupted),
                },
                () = asked_to_stop() => Err(Failure::Interrupted),
            }
        }
    }
}

fn ended<T>(
    done: Option<Result<Result<T, Failure>, tokio::task::JoinError>>,
) -> Result<T, Failure> {
    match done {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => {
            let defect = Error::new(ErrorKind::Internal, "the work broke off").caused_by(error);
            Err(defect
                .help("this is a defect of lakewright; please report it with the lines above")
                .into())
        }
        None => Err(Failure::Interrupted),
    }
}

/// Returns at the next Ctrl-C or, where there is such a thing, SIGTERM.
pub(crate) async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a way to hear the signal there is nothing to wait for, and the work goes on to its end.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
