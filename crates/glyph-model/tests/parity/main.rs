//! The crate held against transformers: every number in `tests/fixtures/model` was computed there (LAYOUT.md says
//! how). One binary for all subjects, so that burn is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

mod broken;
mod common;
mod config;
mod decoder;
mod generate;
mod preprocess;
mod prompt;
mod sampling;
mod vision;
mod weights;
