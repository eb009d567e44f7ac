//! The GLM-4.1V vision-language model (`Glm4vForConditionalGeneration`) on burn, from the published files of a
//! checkpoint to a streamed answer.
//!
//! One definition serves every device: the backend is chosen at run time by [`burn::tensor::Device`], and every
//! read off the device is asynchronous. Modules carry the checkpoint's names and stand in data-flow order:
//! [`preprocess`] → [`vision`] → [`text`] → [`model`].

mod attention;
mod clock;
mod cpu;
mod error;
mod pause;
mod rotary;

pub mod caught;
pub mod checkpoint;
pub mod config;
pub mod generate;
pub mod layers;
pub mod model;
pub mod preprocess;
pub mod prompt;
pub mod quantize;
pub mod text;
pub mod vision;
pub mod weights;

pub use attention::SCORES_AT_ONCE;
pub use checkpoint::Checkpoint;
#[cfg(not(target_family = "wasm"))]
pub use cpu::in_lockstep;
pub use error::{ModelError, Result};
pub use model::Glm4v;
