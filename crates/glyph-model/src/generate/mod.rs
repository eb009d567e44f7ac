//! From a prompt to a streamed answer.

mod answer;
mod device_sampling;
mod encode;
mod run;
mod sampling;
mod stop;
mod thinking;

pub use answer::{Answer, AnswerStep};
pub use device_sampling::{DeviceSampler, choose};
pub use encode::{ImageEncoding, encode_images};
pub use run::{
    FinishReason, Generated, Generation, GenerationEvent, GenerationTimes, generate, read_values,
};
pub use sampling::{Sampler, SamplingParams};
pub use stop::{StopMatcher, StopParams};
pub use thinking::{SplitAnswer, ThinkSplitter};
