//! Quantised weights beside the values that they stand for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

#[allow(dead_code, reason = "the parity tests use the rest")]
#[path = "../parity/common.rs"]
mod common;

mod kv_cache;
mod layers;
mod models;
