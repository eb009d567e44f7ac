//! Log-probabilities as answers carry them.

use glyph_engine::TokenLogprobs;
use glyph_model::prompt::TextTokenizer;
use serde::Serialize;
use utoipa::ToSchema;

/// Stands for −∞ and for what is no number: JSON has neither.
const LEAST: f32 = -9999.0;

/// Most alternatives per token, as with OpenAI.
pub const MOST_TOP_LOGPROBS: usize = 20;

/// Of every token of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ChatLogprobs {
    /// One entry per token.
    pub content: Vec<TokenLogprob>,
}

/// Of one token.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TokenLogprob {
    /// The token's text.
    pub token: String,
    /// Its log-probability.
    pub logprob: f32,
    /// Its text as bytes; null for a part of a character.
    pub bytes: Option<Vec<u8>>,
    /// The most likely tokens at its place, most likely first.
    pub top_logprobs: Vec<TopLogprob>,
}

/// Of an alternative.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TopLogprob {
    /// The token's text.
    pub token: String,
    /// Its log-probability.
    pub logprob: f32,
    /// Its text as bytes; null for a part of a character.
    pub bytes: Option<Vec<u8>>,
}

impl TokenLogprob {
    /// Of a token that was generated.
    pub fn new(tokenizer: &TextTokenizer, id: u32, logprobs: &TokenLogprobs) -> Self {
        let TopLogprob {
            token,
            logprob,
            bytes,
        } = top(tokenizer, id, logprobs.chosen);
        Self {
            token,
            logprob,
            bytes,
            top_logprobs: logprobs
                .top
                .iter()
                .map(|(id, logprob)| top(tokenizer, *id, *logprob))
                .collect(),
        }
    }
}

fn top(tokenizer: &TextTokenizer, id: u32, logprob: f32) -> TopLogprob {
    // An id without text has an empty one.
    let token = tokenizer.decode(&[id], false).unwrap_or_default();
    let bytes = (!token.contains('\u{FFFD}')).then(|| token.as_bytes().to_vec());
    TopLogprob {
        token,
        logprob: if logprob.is_finite() { logprob } else { LEAST },
        bytes,
    }
}
