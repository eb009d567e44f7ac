//! Why a request failed: words for people, and a code for the page where its own words are better.

use serde::Serialize;

/// What errors are told apart by; `glyph.d.ts` lists them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
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
    /// Prompt and answer do not fit the model's context.
    Context,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerError {
    /// The whole sentence, in English.
    pub message: String,
    /// What kind of error it is, where it is a common one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// With a code: the file, the address or the figure that it is about.
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
}

impl From<String> for WorkerError {
    fn from(message: String) -> Self {
        Self {
            message,
            code: None,
            detail: None,
        }
    }
}
