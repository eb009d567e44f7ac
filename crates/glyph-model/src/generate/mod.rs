//! From a prompt to a streamed answer.

mod run;
mod sampling;
mod stop;

pub use run::{
    FinishReason, Generated, Generation, GenerationTimes, TokenEvent, encode_images, generate,
};
pub use sampling::{Sampler, SamplingParams};
pub use stop::{StopMatcher, StopParams};
