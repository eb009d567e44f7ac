//! The crate held against transformers: every number in `tests/fixtures/model` was computed there (LAYOUT.md says
//! how). One binary for all subjects, so that burn is linked once.

mod broken;
mod common;
mod decoder;
mod generate;
mod preprocess;
mod prompt;
mod sampling;
mod vision;
mod weights;
