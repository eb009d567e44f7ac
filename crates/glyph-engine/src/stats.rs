//! What the engine counts.

/// Sums since the start, and how things stand now.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EngineStats {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that run.
    pub running: usize,
    /// Bytes of keys and values held for requests that run.
    pub kv_bytes: u64,
    /// Bytes planned for keys and values of requests.
    pub kv_planned_bytes: u64,
    /// Features of pages.
    pub vision_cache: CacheStats,
    /// Keys and values of prompts.
    pub prefix_cache: CacheStats,
}

/// A cache's life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Looked for and found.
    pub hits: u64,
    /// Looked for and not found.
    pub misses: u64,
    /// Given up for others.
    pub evictions: u64,
    /// Entries now.
    pub entries: usize,
    /// Bytes now.
    pub bytes: u64,
    /// Bytes that it may take.
    pub most_bytes: u64,
}

/// What the engine has just done, for histograms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Observation {
    /// One token of each of so many requests.
    DecodeStep {
        /// Requests.
        rows: usize,
        /// Time.
        seconds: f64,
    },
    /// Pages through the vision tower.
    Encoded {
        /// Pages.
        pages: usize,
        /// Time.
        seconds: f64,
    },
    /// Positions of a prompt through the decoder.
    Prefilled {
        /// Positions.
        positions: usize,
        /// Time.
        seconds: f64,
    },
}

/// Sees what the engine does, on the engine's thread: it must be quick.
pub trait Observer: Send + 'static {
    /// Called after each piece of work.
    fn observe(&self, observation: Observation);
}

impl Observer for () {
    fn observe(&self, _: Observation) {}
}
