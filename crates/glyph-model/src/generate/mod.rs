//! From a prompt to a streamed answer.

mod answer;
mod device_sampling;
mod encode;
mod features;
mod run;
mod sampling;
mod stop;
mod thinking;

pub use answer::{Answer, AnswerStep};
pub use device_sampling::{DeviceSampler, choose};
pub use encode::{ImageEncoding, encode_images};
pub use features::part_features;
pub use run::{
    FinishReason, Generated, Generation, GenerationEvent, GenerationTimes, PREFILL_CHUNK, generate,
    read_values,
};
pub use sampling::{Sampler, SamplingParams};
pub use stop::{StopMatcher, StopParams};
pub use thinking::{SplitAnswer, ThinkSplitter};
