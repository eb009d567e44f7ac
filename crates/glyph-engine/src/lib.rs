//! Runs a loaded model for many callers: it plans the memory, shares the device out, and remembers what it has
//! computed.
//!
//! One thread owns the device ([`Engine::start`]). Requests go in by [`Engine::submit`]; what becomes of each comes
//! back as a stream of [`Event`]s. There is no HTTP in here.

mod engine;
mod error;
mod events;
mod fair_line;
mod lru;
mod pieces;
mod plan;
mod prefix_cache;
mod prepare;
mod queue;
mod request;
mod sequence;
mod start;
mod state;
mod stats;
mod steps;
mod vision_cache;
mod waiting_room;
mod worker;

pub use engine::{Engine, EngineOptions};
pub use error::EngineError;
pub use events::Events;
pub use fair_line::{Displaced, FairLine};
pub use plan::{
    Footprint, Limits, MemoryPlan, ModelDoesNotFit, PREFILL_CHUNK, PlanRow, Shortfall,
    default_headroom_bytes,
};
pub use prepare::{CheckedPage, Page, Prepared, PromptTokens};
pub use request::{Done, Event, Request, Times, Token, TokenLogprobs, Usage};
pub use state::EngineState;
pub use stats::{CacheStats, EngineStats, Observation, Observer};
