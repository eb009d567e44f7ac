//! From a prompt to a streamed answer.

mod answer;
mod run;
mod sampling;
mod stop;

pub use answer::{Answer, AnswerStep};
pub use run::{
    FinishReason, Generated, Generation, GenerationEvent, GenerationTimes, encode_images, generate,
    read_values,
};
pub use sampling::{Sampler, SamplingParams};
pub use stop::{StopMatcher, StopParams};
