//! Quantised weights beside the values that they stand for.

#[path = "../parity/common.rs"]
mod common;

mod layers;
mod models;
