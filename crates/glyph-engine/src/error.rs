//! Why a request was refused or ended early.

use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use glyph_model::ModelError;

use crate::state::EngineState;

/// What went wrong with one request; the engine goes on.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The model does not answer now.
    #[error("the model is not ready: {0}")]
    NotReady(EngineState),
    /// As many requests wait as may.
    #[error(
        "{waiting} requests are waiting already, as many as the queue holds. Try again in {} s",
        .retry_after.as_secs()
    )]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
        /// When a place may be free, from how long requests have been taking.
        retry_after: Duration,
    },
    /// Prompt and answer exceed the context.
    #[error(
        "{prompt_tokens} prompt tokens ({image_tokens} of them of pages) and {max_new_tokens} new tokens exceed the \
         context of {context_tokens} tokens. Send fewer pages, a lower DPI, or a smaller max_tokens"
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Those of them that stand for images.
        image_tokens: usize,
        /// Tokens asked for.
        max_new_tokens: usize,
        /// What the server gives a request.
        context_tokens: usize,
    },
    /// The text alone has more tokens than the context; not all of them were counted.
    #[error(
        "the text of {text_bytes} bytes has more tokens than the context, which holds {context_tokens}. Send the text as \
         a document or as pages, or shorten it"
    )]
    TextTooLong {
        /// Bytes of all text of the prompt.
        text_bytes: usize,
        /// What the server gives a request.
        context_tokens: usize,
    },
    /// More images than a request may hold.
    #[error(
        "{n_pages} pages were sent; a request may hold {most_pages}. Send fewer, or start the server with a larger --max-pages"
    )]
    TooManyPages {
        /// Images of the request.
        n_pages: usize,
        /// Most that are taken.
        most_pages: usize,
    },
    /// The memory plan has no room for the request, even when it runs alone.
    #[error(
        "the request needs {} for the keys and values of {n_tokens} tokens, and {} for its largest page in the vision \
         tower; the plan has {} and {} for these. Send fewer or smaller pages, or ask for fewer max_tokens",
        ByteSize(*.kv_bytes), ByteSize(*.vision_bytes), ByteSize(*.planned_kv_bytes), ByteSize(*.planned_vision_bytes)
    )]
    DoesNotFit {
        /// Prompt and answer.
        n_tokens: usize,
        /// Keys and values of those.
        kv_bytes: u64,
        /// Activations of the vision tower on the largest page.
        vision_bytes: u64,
        /// Planned for keys and values of all requests.
        planned_kv_bytes: u64,
        /// Planned for a page in the vision tower.
        planned_vision_bytes: u64,
    },
    /// The memory plan has no room for a page of this size.
    #[error(
        "a page of {width_px}×{height_px} px needs {} in the vision tower; the plan has {} for one. Send it smaller",
        ByteSize(*.vision_bytes), ByteSize(*.planned_vision_bytes)
    )]
    PageTooLarge {
        /// Width.
        width_px: usize,
        /// Height.
        height_px: usize,
        /// Activations of the vision tower on it.
        vision_bytes: u64,
        /// Planned for a page in the vision tower.
        planned_vision_bytes: u64,
    },
    /// The request itself is wrong: a parameter, an image, an image token in the text.
    #[error("{0}")]
    Request(Arc<ModelError>),
    /// The device failed while the request ran.
    #[error("the request failed on the device: {reason}")]
    Device {
        /// What the model or the device said.
        reason: String,
    },
    /// The engine stopped while the request waited or ran.
    #[error("the server is stopping. Send the request again in a moment")]
    Stopped,
}

impl EngineError {
    /// What those are told whose requests wait or run when the engine ends.
    pub(crate) fn of_end(state: EngineState) -> Self {
        match state {
            EngineState::Stopped => Self::Stopped,
            failed => Self::NotReady(failed),
        }
    }
}

impl From<ModelError> for EngineError {
    fn from(error: ModelError) -> Self {
        Self::Request(Arc::new(error))
    }
}
