//! How an answer is written, where there are two ways.

/// For people, or for scripts.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}
