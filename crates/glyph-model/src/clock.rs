//! Elapsed time where there is a clock: natively always, in a browser only if the embedder measures itself.

/// Measures from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    #[cfg(not(target_family = "wasm"))]
    started: std::time::Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(not(target_family = "wasm"))]
            started: std::time::Instant::now(),
        }
    }

    /// Seconds since the start; zero in a browser.
    pub(crate) fn seconds(self) -> f64 {
        #[cfg(not(target_family = "wasm"))]
        return self.started.elapsed().as_secs_f64();
        #[cfg(target_family = "wasm")]
        0.0
    }
}
