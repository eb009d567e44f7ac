//! Token counts as answers carry them.

use glyph_model::generate::FinishReason;
use serde::Serialize;
use utoipa::ToSchema;

/// What a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Text and pages.
    pub prompt_tokens: usize,
    /// The answer, its end included.
    pub completion_tokens: usize,
    /// Both.
    pub total_tokens: usize,
    /// Of the prompt.
    pub prompt_tokens_details: PromptTokensDetails,
}

/// What a prompt consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct PromptTokensDetails {
    /// Tokens whose keys and values were still there.
    pub cached_tokens: usize,
    /// Tokens of text and template.
    pub text_tokens: usize,
    /// Tokens of pages and pictures.
    pub image_tokens: usize,
}

impl From<glyph_engine::Usage> for Usage {
    fn from(usage: glyph_engine::Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens(),
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens() + usage.completion_tokens,
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: usage.cached_tokens,
                text_tokens: usage.prompt_text_tokens,
                image_tokens: usage.prompt_image_tokens,
            },
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model ended it, or a stop string did.
    Stop,
    /// It is as long as it may be.
    Length,
}

impl From<FinishReason> for Finish {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop | FinishReason::Cancelled => Self::Stop,
            FinishReason::Length => Self::Length,
        }
    }
}
