//! Why a request did not end as it was meant to.

use serde::Serialize;

/// What errors are told apart by; `glyph.d.ts` lists them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// An option is missing or is of another kind.
    Argument,
    /// A blob cannot be read: its file has gone or has changed.
    Unreadable,
    /// A file has no bytes.
    Empty,
    /// The bytes of a file are no text.
    Binary,
    /// A value of a style cannot be used.
    Style,
    /// A style has a key that there is not.
    StyleUnknown,
    /// A style lacks a key that has no default.
    StyleMissing,
    /// A style leaves its lines no width.
    StyleWidth,
    /// A page of a style does not hold two lines.
    StyleHeight,
    /// A style gives text the colour of what it stands on.
    StyleContrast,
    /// A page of a style has too many pixels, or too few on one side for the other.
    StylePixels,
    /// Letters of a style have too many pixels.
    StyleLetters,
    /// A font cannot be used.
    Font,
    /// A file that a checkpoint must have is not there.
    MissingFile,
    /// A file is not what a checkpoint has under its name.
    NotACheckpoint,
    /// An address answers with a web page instead of a file.
    WebPage,
    /// An address cannot be fetched.
    Network,
    /// A file does not fit the memory of a tab.
    TooLarge,
    /// WebGPU was wanted and is not there.
    NoWebgpu,
    /// The graphics device has failed and answers no more.
    Device,
    /// Prompt and answer do not fit the model's context.
    Context,
}

/// Why a request failed, as the page gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerError {
    /// The whole sentence, in English.
    pub message: String,
    /// What kind of error it is, where it is a common one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// With a code: the option, the file, the address, the figure or the reason that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl WorkerError {
    /// An error with a code.
    pub fn new(code: ErrorCode, detail: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: Some(code),
            detail: Some(detail.into()),
        }
    }

    /// An error without one.
    pub fn uncommon(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: None,
            detail: None,
        }
    }
}

/// The page has taken the request back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request was taken back")]
pub struct Cancelled;

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// The page has taken it back.
    Cancelled,
    /// It failed.
    Failed(WorkerError),
    /// It failed, and so would all that follow in this worker.
    Broken(WorkerError),
}
