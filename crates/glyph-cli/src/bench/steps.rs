//! What a request has the decoder do: a prompt in chunks, then one token after the other, each chosen on the device.

use std::ops::Range;

use burn::tensor::{Int, Tensor};
use futures_lite::future::block_on;
use glyph_model::Glm4v;
use glyph_model::generate::read_values;
use glyph_model::text::{KvCache, Positions};

/// A sequence.
pub struct Steps<'a> {
    /// The model.
    pub glm: &'a Glm4v,
    /// Keys and values of the sequence.
    pub cache: KvCache,
}

impl Steps<'_> {
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

    /// The most likely token: its id is all that leaves the device.
    fn choose(&self, hidden: Tensor<3>) -> Result<u32, String> {
        let scores = self.glm.logits(hidden);
        let n_ids = scores.dims()[2];
        let id: Tensor<3, Int> = scores.argmax(2);
        let data = block_on(id.into_data_async()).map_err(|error| error.to_string())?;
        let id = data.iter::<i64>().next();
        // Scores that are no numbers would leave nothing to choose, or something that is no token.
        let id = id.and_then(|id| u32::try_from(id).ok());
        id.filter(|id| (*id as usize) < n_ids)
            .ok_or_else(|| format!("no token of {n_ids} was chosen"))
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
