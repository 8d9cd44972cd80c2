//! What a run is doing, while it does it: bars where somebody watches, lines where a file does, events where a machine does.
//!
//! Knows what a run tells of itself; knows nothing of how it runs.

mod bars;
mod events;
mod lines;
mod tally;

use std::sync::Arc;

use indicatif::MultiProgress;
use run::Progress;

use crate::logging::LogFormat;

/// The form that fits whoever is there.
pub(crate) fn of(bars: MultiProgress, format: LogFormat) -> Arc<dyn Progress> {
    match format {
        LogFormat::Json => Arc::new(events::Events),
        LogFormat::Text if bars.is_hidden() => Arc::new(lines::Lines::new()),
        LogFormat::Text => Arc::new(bars::Bars::new(bars)),
    }
}
