//! Why a request of the renderer's worker has no result.

use glyph_render::{StyleConflict, StyleError};
use glyph_worker::{Cancelled, ErrorCode, FetchError, MessageError, Unfinished, WorkerError};

/// What can go wrong while a text is read, drawn or packed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    #[error(transparent)]
    Style(#[from] StyleError),
    /// The reason goes on from "a page".
    #[error("a page of this style {reason}")]
    PageSize {
        width_px: usize,
        height_px: usize,
        reason: String,
    },
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
            RenderFailure::Style(error) => {
                let (code, detail) = of_style(error);
                WorkerError::new(code, detail, message)
            }
            RenderFailure::PageSize {
                width_px,
                height_px,
                ..
            } => {
                let size = format!("{width_px}×{height_px} px");
                WorkerError::new(ErrorCode::StylePixels, size, message)
            }
            RenderFailure::Font { name, .. } => WorkerError::new(ErrorCode::Font, name, message),
            RenderFailure::Page { .. }
            | RenderFailure::Archive { .. }
            | RenderFailure::Handover { .. } => WorkerError::uncommon(message),
        })
    }
}

/// What is wrong with a style, and the key or the figures that it is about.
fn of_style(error: StyleError) -> (ErrorCode, String) {
    match error {
        StyleError::NotJson(reason) => (ErrorCode::Style, reason),
        StyleError::UnknownKey { key } => (ErrorCode::StyleUnknown, key),
        StyleError::MissingKey { key, .. } => (ErrorCode::StyleMissing, key.to_owned()),
        StyleError::BadValue { key, value, .. } => (ErrorCode::Style, format!("{key} = {value}")),
        StyleError::Impossible(StyleConflict::NoWidth { line_pt, .. }) => {
            (ErrorCode::StyleWidth, format!("{line_pt:.2} pt"))
        }
        StyleError::Impossible(StyleConflict::NoHeight {
            height_pt,
            line_height_pt,
            ..
        }) => (
            ErrorCode::StyleHeight,
            format!("2 × {line_height_pt} > {height_pt:.2} pt"),
        ),
        StyleError::Impossible(StyleConflict::NoContrast { color }) => {
            (ErrorCode::StyleContrast, color.to_string())
        }
        StyleError::Impossible(StyleConflict::LargePages {
            width_px,
            height_px,
            ..
        }) => (
            ErrorCode::StylePixels,
            format!("{width_px:.0}×{height_px} px"),
        ),
        StyleError::Impossible(StyleConflict::LargeLetters { font_px, .. }) => {
            (ErrorCode::StyleLetters, format!("{font_px:.0} px"))
        }
    }
}
