//! An answer in the making: from the logits of each position to tokens, text and an end.

use burn::tensor::Device;

use super::device_sampling::DeviceSampler;
use super::run::{FinishReason, Generation};
use super::sampling::Sampler;
use super::stop::StopMatcher;
use crate::error::{ModelError, Result};
use crate::prompt::{TextStream, TextTokenizer};

/// One answer while it is generated. It holds no tensors, so that any number of answers share a forward pass.
#[derive(Debug)]
pub struct Answer {
    sampler: Sampler,
    stops: StopMatcher,
    stream: TextStream,
    max_new_tokens: usize,
    ids: Vec<u32>,
    text: String,
}

/// A new token of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerStep {
    /// Its id.
    pub id: u32,
    /// Text that it completes; empty while a character or a stop string is unfinished.
    pub text: String,
    /// Why the answer ends with this token, if it does.
    pub finished: Option<FinishReason>,
}

impl Answer {
    /// An empty answer to a prompt.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for sampling parameters out of range.
    pub fn new(
        options: &Generation,
        prompt_ids: &[u32],
        tokenizer: &TextTokenizer,
        vocab_size: usize,
    ) -> Result<Self> {
        Ok(Self {
            sampler: Sampler::new(options.sampling.clone(), prompt_ids, vocab_size)?,
            stops: StopMatcher::new(options.stop.clone()),
            stream: tokenizer.stream(!options.keep_special_tokens),
            max_new_tokens: options.max_new_tokens,
            ids: Vec::new(),
            text: String::new(),
        })
    }

    /// Ids so far, a stop id at the end included.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What chooses its tokens on the model's device; `None` on the CPU, where the scores are at hand.
    pub fn device_sampler(&self, device: &Device) -> Option<DeviceSampler> {
        (*device != Device::flex()).then(|| self.sampler.on_device(device))
    }

    /// Chooses the next token by the logits `[vocab]` behind the last position.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] when no score is a number, [`ModelError::Tokenizer`] for ids that have no text.
    pub fn push(&mut self, logits: &mut [f32]) -> Result<AnswerStep> {
        let id = self.sampler.sample(logits);
        self.push_chosen(id)
    }

    /// Takes the token that [`choose`](super::choose) chose.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] for `None`, [`ModelError::Tokenizer`] for an id that has no text.
    pub fn push_chosen(&mut self, id: Option<u32>) -> Result<AnswerStep> {
        let id = id.ok_or(ModelError::NotFinite)?;
        self.ids.push(id);
        let (mut text, mut finished) = (String::new(), None);
        if self.stops.is_stop_id(id) {
            finished = Some(FinishReason::Stop);
        } else {
            let piece = self.stream.push(id)?.unwrap_or_default();
            let is_stopped;
            (text, is_stopped) = self.stops.push(&piece);
            if is_stopped {
                finished = Some(FinishReason::Stop);
            } else if self.ids.len() >= self.max_new_tokens {
                finished = Some(FinishReason::Length);
            }
        }
        self.text.push_str(&text);
        if finished.is_some() {
            text.push_str(&self.flush()?);
        }
        Ok(AnswerStep { id, text, finished })
    }

    /// Adds to the text what was held back and returns it: unfinished characters, and the start of a stop string
    /// that did not come. A stop string that came ends the text.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn flush(&mut self) -> Result<String> {
        if self.stops.found() {
            return Ok(String::new());
        }
        let (mut rest, _) = self.stops.push(&self.stream.finish()?.unwrap_or_default());
        rest.push_str(&self.stops.finish());
        self.text.push_str(&rest);
        Ok(rest)
    }
}
