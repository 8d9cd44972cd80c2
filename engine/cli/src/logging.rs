//! Logs: lines on stderr, for people or for machines, that do not tear the progress bars.
//!
//! Knows nothing of what is logged.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The environment variable that chooses what is logged, in the words of `tracing`: `run=debug,connectors=trace`.
const VARIABLE: &str = "LAKEWRIGHT_LOG";

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line; progress is logged too.
    Json,
}

/// Starts logging. `verbose` counts how often `-v` was written; `followed` says that the log is all
/// that the command shows.
pub(crate) fn start(format: LogFormat, verbose: u8, followed: bool, bars: &MultiProgress) {
    let level = match (verbose, format) {
        (0, LogFormat::Text) if followed => "warn,lakewright=info",
        (0, LogFormat::Text) => "warn",
        // Whoever wants JSON wants to follow the run in it.
        (0, LogFormat::Json) => "warn,lakewright=info",
        (1, _) => "info",
        (2, _) => "info,lakewright=debug,run=debug,connectors=debug,spec=debug",
        _ => "debug,lakewright=trace,run=trace,connectors=trace,spec=trace",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Above(bars.clone()));
    let started = match format {
        LogFormat::Text => {
            let colour =
                anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
            lines.with_ansi(colour).with_target(verbose > 1).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // There can be a logger already only where somebody embeds us, and then it is theirs that counts.
    drop(started);
}

/// Writes each line above the bars.
#[derive(Clone)]
struct Above(MultiProgress);

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Above {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
