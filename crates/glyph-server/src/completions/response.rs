//! What a completion looks like.

use std::collections::BTreeMap;
use std::sync::Arc;

use glyph_engine::{Done, Token};
use glyph_model::checkpoint::CheckpointSettings;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::Chunks;
use crate::logprobs::TokenLogprob;
use crate::state::now_s;
use crate::usage::{Finish, Usage};

/// An answer, or a piece of a streamed one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Completion {
    /// Its id.
    id: String,
    /// `text_completion`.
    #[schema(example = "text_completion")]
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    /// The model.
    model: String,
    /// The texts in the order of the prompts, in a stream in any; none in the chunk that carries the usage.
    choices: Vec<CompletionChoice>,
    /// What it took; in a stream in the last chunk, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    usage: Option<Option<Usage>>,
}

/// A text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// The prompt that it goes on with, from 0.
    index: usize,
    /// What is new.
    text: String,
    /// Log-probabilities, where they were asked for.
    logprobs: Option<CompletionLogprobs>,
    /// Why it ended.
    finish_reason: Option<Finish>,
}

/// Log-probabilities, one entry of each list per token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct CompletionLogprobs {
    /// Texts of the tokens.
    tokens: Vec<String>,
    /// Their log-probabilities.
    token_logprobs: Vec<f32>,
    /// Those of the most likely tokens.
    top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Where their texts begin, in characters.
    text_offset: Vec<usize>,
}

impl CompletionLogprobs {
    /// Adds those of the next tokens.
    pub fn extend(&mut self, other: Self) {
        self.tokens.extend(other.tokens);
        self.token_logprobs.extend(other.token_logprobs);
        self.top_logprobs.extend(other.top_logprobs);
        self.text_offset.extend(other.text_offset);
    }
}

/// Cuts an answer into pieces.
#[derive(Clone)]
pub struct Pieces {
    id: String,
    created: u64,
    model: String,
    settings: Arc<CheckpointSettings>,
    include_usage: bool,
    /// Which of the request's answers it is.
    index: usize,
    /// Characters that have been given out.
    n_chars: usize,
}

impl Pieces {
    /// For the answers to a request.
    pub fn new(model: String, settings: Arc<CheckpointSettings>, include_usage: bool) -> Self {
        Self {
            id: format!("cmpl-{}", Uuid::new_v4().simple()),
            created: now_s(),
            model,
            settings,
            include_usage,
            index: 0,
            n_chars: 0,
        }
    }

    /// The same for another of the answers.
    pub fn of(&self, index: usize) -> Self {
        Self {
            index,
            ..self.clone()
        }
    }

    /// The choice that an answer makes.
    pub fn choice(
        &self,
        text: String,
        logprobs: Option<CompletionLogprobs>,
        finish_reason: Option<Finish>,
    ) -> CompletionChoice {
        CompletionChoice {
            index: self.index,
            text,
            logprobs,
            finish_reason,
        }
    }

    /// An object of these choices.
    pub fn completion(
        &self,
        choices: Vec<CompletionChoice>,
        usage: Option<Option<Usage>>,
    ) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }

    fn piece(
        &self,
        text: String,
        logprobs: Option<CompletionLogprobs>,
        finish_reason: Option<Finish>,
    ) -> Completion {
        let choice = self.choice(text, logprobs, finish_reason);
        self.completion(vec![choice], self.include_usage.then_some(None))
    }

    /// The log-probabilities of a token, where they were asked for.
    pub fn logprobs(&mut self, token: &Token) -> Option<CompletionLogprobs> {
        let offset = self.n_chars;
        self.n_chars += token.text.chars().count();
        let tokenizer = &self.settings.encoder.tokenizer;
        let entry = TokenLogprob::new(tokenizer, token.id, token.logprobs.as_ref()?);
        let top = entry.top_logprobs.into_iter();
        Some(CompletionLogprobs {
            tokens: vec![entry.token],
            token_logprobs: vec![entry.logprob],
            top_logprobs: vec![top.map(|top| (top.token, top.logprob)).collect()],
            text_offset: vec![offset],
        })
    }
}

impl Chunks for Pieces {
    type Chunk = Completion;

    fn begin(&mut self) -> Option<Completion> {
        None
    }

    fn token(&mut self, token: Token) -> Option<Completion> {
        let logprobs = self.logprobs(&token);
        if token.text.is_empty() && logprobs.is_none() {
            return None;
        }
        Some(self.piece(token.text, logprobs, None))
    }

    fn end(&mut self, done: &Done) -> Vec<Completion> {
        let reason = Some(done.finish_reason.into());
        vec![self.piece(String::new(), None, reason)]
    }

    fn usage(&self, usage: glyph_engine::Usage) -> Option<Completion> {
        self.include_usage
            .then(|| self.completion(Vec::new(), Some(Some(usage.into()))))
    }
}
