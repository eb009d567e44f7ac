//! What a request has the decoder do: a prompt in chunks, then one token after the other, each chosen as the server
//! chooses where nothing else is asked for.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use futures_lite::future::block_on;
use glyph_model::Glm4v;
use glyph_model::generate::{DeviceSampler, Sampler, SamplingParams, choose, read_values};
use glyph_model::text::{KvCache, Positions};

/// A sequence.
pub struct Steps<'a> {
    glm: &'a Glm4v,
    /// Keys and values of the sequence.
    pub cache: KvCache,
    sampler: Sampler,
    /// What chooses where the scores are; none on a CPU, where they are at hand.
    device_sampler: Option<DeviceSampler>,
}

impl<'a> Steps<'a> {
    /// A sequence of a vocabulary's tokens, which takes the most likely one.
    pub fn new(
        glm: &'a Glm4v,
        cache: KvCache,
        vocab_size: usize,
        device: &Device,
    ) -> Result<Self, String> {
        let sampler = Sampler::new(SamplingParams::default(), &[], vocab_size);
        let sampler = sampler.map_err(|error| error.to_string())?;
        Ok(Self {
            device_sampler: (*device != Device::flex()).then(|| sampler.on_device(device)),
            glm,
            cache,
            sampler,
        })
    }

    /// A prompt from its beginning, as the engine computes it: chunk by chunk, each waited for. Returns the token
    /// behind it.
    pub fn prompt(&mut self, ids: &[u32], chunk_tokens: usize) -> Result<u32, String> {
        self.cache.truncate(0);
        let mut chunks = ids.chunks(chunk_tokens.max(1)).peekable();
        while let Some(chunk) = chunks.next() {
            let hidden = self.extend(chunk)?;
            if chunks.peek().is_none() {
                return self.choose(hidden);
            }
            read_one(hidden)?;
        }
        Err("the prompt is empty".to_owned())
    }

    /// An answer of `n` tokens that begins with `id` behind the first `n_before` positions. Returns the last one.
    pub fn answer(&mut self, mut id: u32, n_before: usize, n: usize) -> Result<u32, String> {
        self.cache.truncate(n_before);
        for _ in 0..n {
            let hidden = self.extend(&[id])?;
            id = self.choose(hidden)?;
        }
        Ok(id)
    }

    /// New tokens through the decoder; returns the last one's state.
    ///
    /// # Shapes
    /// → `[1, 1, d]`.
    fn extend(&mut self, ids: &[u32]) -> Result<Tensor<3>, String> {
        let (n, start) = (ids.len(), self.cache.len());
        let x = self.glm.embed(ids, [1, n], None, &[]);
        let positions: Vec<[u32; 3]> = (start..start + n).map(|at| [at as u32; 3]).collect();
        let decoder = &self.glm.model.language_model;
        let hidden = decoder.forward_cached(x, Positions(&positions), &mut [&mut self.cache]);
        let hidden = hidden.map_err(|error| error.to_string())?;
        Ok(hidden.narrow(1, n - 1, 1))
    }

    /// The most likely token; elsewhere than on a CPU its id is all that leaves the device.
    fn choose(&mut self, hidden: Tensor<3>) -> Result<u32, String> {
        let scores = self.glm.logits(hidden);
        let chosen = match &mut self.device_sampler {
            None => {
                block_on(read_values(scores)).map(|mut scores| self.sampler.sample(&mut scores))
            }
            Some(sampler) => block_on(choose(scores.squeeze_dim(0), &mut [sampler]))
                .map(|ids| ids.first().copied().flatten()),
        };
        let chosen = chosen.map_err(|error| error.to_string())?;
        chosen.ok_or_else(|| "none of the scores is a number".to_owned())
    }
}

/// Waits for the first value of a tensor. One that is no number ends the measurement: it is not the model's work that
/// would be timed.
pub fn read_one<const D: usize>(tensor: Tensor<D>) -> Result<(), String> {
    let first: [Range<usize>; D] = std::array::from_fn(|_| 0..1);
    let values = block_on(read_values(tensor.slice(first))).map_err(|error| error.to_string())?;
    match values.first() {
        Some(value) if value.is_finite() => Ok(()),
        other => Err(format!("the model's result is {other:?}")),
    }
}
