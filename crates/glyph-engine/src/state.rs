//! Whether the model answers, and if not why.

use std::fmt;

/// Where an engine stands.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineState {
    /// Its thread has begun.
    Starting,
    /// Weights are being read.
    Loading {
        /// Share that is done, from 0 to 1.
        done: f64,
    },
    /// Requests are answered.
    Ready,
    /// What runs is finished; nothing new is taken.
    Draining,
    /// It has stopped.
    Stopped,
    /// The model could not be loaded, or can be run no longer.
    Failed {
        /// Why, and what to do; one line per file or tensor.
        reason: String,
    },
}

impl EngineState {
    /// Where an engine stands when its thread has ended, before its time for a reason.
    pub(crate) fn of_end(end: Result<(), String>) -> Self {
        match end {
            Ok(()) => Self::Stopped,
            Err(reason) => Self::Failed { reason },
        }
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading { .. } => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed { .. } => "failed",
        }
    }
}

impl fmt::Display for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading { done } => write!(f, "loading, {:.0} % done", done * 100.0),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            other => f.write_str(other.name()),
        }
    }
}
