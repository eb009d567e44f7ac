//! Why a request of the renderer's worker has no result.

use glyph_worker::{Cancelled, ErrorCode, FetchError, MessageError, Unfinished, WorkerError};

/// What can go wrong while a text is read, drawn or packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderFailure {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{name} is empty. Choose a file with text in it")]
    Empty { name: String },
    #[error(
        "{name} is not a text: it is neither UTF-8 nor UTF-16, GB18030 or windows-1252. Save it as plain text \
         first"
    )]
    Binary { name: String },
    /// A style or its rules; the reason names the key and its value.
    #[error("{reason}")]
    Style { reason: String },
    #[error("the font {name} cannot be used: {reason}")]
    Font { name: String, reason: String },
    #[error("page {page} cannot be encoded: {reason}")]
    Page { page: usize, reason: String },
    #[error("the archive cannot be made: {reason}. Save fewer pages")]
    Archive { reason: String },
    #[error("the text cannot be handed to the page: {reason}")]
    Handover { reason: String },
}

impl From<RenderFailure> for Unfinished {
    fn from(failure: RenderFailure) -> Self {
        let message = failure.to_string();
        Self::Failed(match failure {
            RenderFailure::Cancelled(Cancelled) => return Self::Cancelled,
            RenderFailure::Message(error) => error.into(),
            RenderFailure::Fetch(error) => error.into(),
            RenderFailure::Empty { name } => WorkerError::new(ErrorCode::Empty, name, message),
            RenderFailure::Binary { name } => WorkerError::new(ErrorCode::Binary, name, message),
            RenderFailure::Style { reason } => WorkerError::new(ErrorCode::Style, reason, message),
            RenderFailure::Font { name, .. } => WorkerError::new(ErrorCode::Font, name, message),
            RenderFailure::Page { .. }
            | RenderFailure::Archive { .. }
            | RenderFailure::Handover { .. } => WorkerError::uncommon(message),
        })
    }
}
