//! What a caller asks and what comes back.

use std::ops::AddAssign;
use std::time::Instant;

use glyph_model::generate::{FinishReason, Generation};

use crate::error::EngineError;
use crate::prepare::Prepared;

/// A request, ready for the engine.
#[derive(Debug)]
pub struct Request {
    /// Prompt and pages, from [`Engine::prepare_chat`](crate::Engine::prepare_chat) or
    /// [`Engine::prepare_text`](crate::Engine::prepare_text).
    pub prepared: Prepared,
    /// How to generate. `prefill_chunk` is the engine's own affair.
    pub generation: Generation,
    /// Reports each token's log-probability, and those of so many likely ones.
    pub top_logprobs: Option<usize>,
    /// Who asks; turns are shared out between callers.
    pub caller: String,
}

/// How far a request has come.
#[derive(Debug, Clone)]
pub enum Event {
    /// It waits; so many are before it.
    Queued {
        /// Requests before it.
        before: usize,
    },
    /// It has memory and a place in the batch.
    Started {
        /// Seconds that it waited.
        waited_s: f64,
        /// Positions of the prompt whose keys and values were still there.
        cached_tokens: usize,
        /// Pages whose features were still there.
        cached_pages: usize,
    },
    /// Pages that have their features, and all of them.
    Encoded {
        /// Done.
        pages: usize,
        /// To do in all.
        of: usize,
    },
    /// Positions of the prompt that have passed the decoder, and all of them.
    Prefilled {
        /// Done.
        positions: usize,
        /// To do in all.
        of: usize,
    },
    /// The next token.
    Token(Token),
    /// The end of an answer. Nothing follows.
    Done(Done),
    /// The end of a request that failed. Nothing follows.
    Failed(EngineError),
}

/// A token of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Text that it completes; empty while a character or a stop string is unfinished.
    pub text: String,
    /// Its log-probability and those of the most likely tokens, when asked for.
    pub logprobs: Option<TokenLogprobs>,
    /// When it was chosen. Tokens that follow each other fast are told together.
    pub chosen: Instant,
}

/// Log-probabilities by the model's own scores, before penalties and temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// Of the token that was chosen.
    pub chosen: f32,
    /// Ids and log-probabilities of the most likely ones, most likely first.
    pub top: Vec<(u32, f32)>,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Done {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens.
    pub usage: Usage,
    /// Seconds.
    pub times: Times,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Text and template.
    pub prompt_text_tokens: usize,
    /// Pages and pictures.
    pub prompt_image_tokens: usize,
    /// Of both those that were not computed again.
    pub cached_tokens: usize,
    /// The answer, its end included.
    pub completion_tokens: usize,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_text_tokens += other.prompt_text_tokens;
        self.prompt_image_tokens += other.prompt_image_tokens;
        self.cached_tokens += other.cached_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

impl Usage {
    /// Text and images.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt_text_tokens + self.prompt_image_tokens
    }
}

/// Seconds that a request spent; they include what others did in between.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Times {
    /// Waiting.
    pub queue_s: f64,
    /// From its start until all pages had features.
    pub encode_s: f64,
    /// From there to the first token.
    pub prefill_s: f64,
    /// From the first token to the last.
    pub decode_s: f64,
}
