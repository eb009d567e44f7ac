//! Quantised weights beside the values that they stand for.

#[path = "../parity/common.rs"]
mod common;

mod kv_cache;
mod layers;
mod models;
