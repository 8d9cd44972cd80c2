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

/// What a run is doing, in the form that fits whoever is there.
pub(crate) struct Display {
    progress: Arc<dyn Progress>,
    bars: Option<Arc<bars::Bars>>,
}

impl Display {
    /// Bars on this screen, unless nobody watches it or a machine reads along.
    pub(crate) fn new(screen: MultiProgress, format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self {
                progress: Arc::new(events::Events),
                bars: None,
            },
            LogFormat::Text if screen.is_hidden() => Self {
                progress: Arc::new(lines::Lines::new()),
                bars: None,
            },
            LogFormat::Text => {
                let bars = Arc::new(bars::Bars::new(screen));
                Self {
                    progress: Arc::clone(&bars) as Arc<dyn Progress>,
                    bars: Some(bars),
                }
            }
        }
    }

    /// What the run tells.
    pub(crate) fn progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.progress)
    }

    /// Makes room for the answer.
    pub(crate) fn clear(&self) {
        if let Some(bars) = &self.bars {
            bars.clear();
        }
    }
}
