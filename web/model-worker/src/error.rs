//! Why a request of the model's worker has no result, and codes for what people meet most.

use glyph_model::ModelError;
use glyph_web_core::webgpu::WebGpuFailure;
use glyph_worker::{Cancelled, ErrorCode, FetchError, MessageError, Unfinished, WorkerError};

/// What can go wrong while a model is loaded or answers.
#[derive(Debug, thiserror::Error)]
pub enum ModelFailure {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{name} broke off: {reason}")]
    BrokeOff { name: String, reason: String },
    #[error("{name} is not there. Choose a directory with a whole checkpoint")]
    MissingFile { name: String },
    #[error("{name} is not valid: {reason}")]
    NotACheckpoint { name: String, reason: String },
    #[error(
        "{url} is a web page rather than a file of a checkpoint. Enter the address of the directory that \
         holds config.json"
    )]
    WebPage { url: String },
    #[error(
        "{size} do not fit the memory of a tab. Choose a smaller checkpoint, or run this one on a server"
    )]
    TooLarge { size: String },
    #[error("{reason}; choose the CPU instead")]
    NoWebgpu { reason: WebGpuFailure },
    #[error("no model is loaded yet")]
    NotLoaded,
}

impl ModelFailure {
    /// What the worker's memory does not hold.
    pub fn too_large(name: &str, bytes: f64) -> Self {
        Self::TooLarge {
            size: format!("{name}: {:.0} MB", bytes / 1e6),
        }
    }

    /// Whether it can come from what the files hold.
    pub fn may_blame_files(&self) -> bool {
        match self {
            Self::Model(ModelError::Read { .. })
            | Self::Cancelled(_)
            | Self::Message(_)
            | Self::Fetch(_)
            | Self::BrokeOff { .. }
            | Self::WebPage { .. }
            | Self::TooLarge { .. }
            | Self::NoWebgpu { .. }
            | Self::NotLoaded => false,
            Self::Model(_) | Self::MissingFile { .. } | Self::NotACheckpoint { .. } => true,
        }
    }
}

impl From<ModelFailure> for Unfinished {
    fn from(failure: ModelFailure) -> Self {
        let message = failure.to_string();
        let (code, detail) = match failure {
            ModelFailure::Cancelled(Cancelled) => return Self::Cancelled,
            ModelFailure::Message(error) => return Self::Failed(error.into()),
            ModelFailure::Fetch(error) => return Self::Failed(error.into()),
            ModelFailure::Model(ModelError::Read { reason }) => {
                let message = format!(
                    "the graphics device failed: {reason}. Load the model again, or choose the CPU"
                );
                return Self::Broken(WorkerError::new(ErrorCode::Device, reason, message));
            }
            ModelFailure::Model(error) => return Self::Failed(of_model(error, message)),
            ModelFailure::BrokeOff { name, .. } => (ErrorCode::Network, name),
            ModelFailure::MissingFile { name } => (ErrorCode::MissingFile, name),
            ModelFailure::NotACheckpoint { name, .. } => (ErrorCode::NotACheckpoint, name),
            ModelFailure::WebPage { url } => (ErrorCode::WebPage, url),
            ModelFailure::TooLarge { size } => (ErrorCode::TooLarge, size),
            ModelFailure::NoWebgpu { reason } => (ErrorCode::NoWebgpu, reason.to_string()),
            ModelFailure::NotLoaded => return Self::Failed(WorkerError::uncommon(message)),
        };
        Self::Failed(WorkerError::new(code, detail, message))
    }
}

fn of_model(error: ModelError, message: String) -> WorkerError {
    let (code, detail) = match error {
        ModelError::MissingFile { file } => (ErrorCode::MissingFile, file),
        ModelError::MissingShards { shards, .. } => (ErrorCode::MissingFile, shards.join(", ")),
        ModelError::Json { file, .. } | ModelError::Safetensors { file, .. } => {
            (ErrorCode::NotACheckpoint, file)
        }
        ModelError::Config {
            file, key, value, ..
        } => (
            ErrorCode::NotACheckpoint,
            format!("{file}: {key} = {value}"),
        ),
        ModelError::ContextOverflow {
            prompt_tokens,
            max_new_tokens,
            context_tokens,
        } => (
            ErrorCode::Context,
            format!("{prompt_tokens} + {max_new_tokens} > {context_tokens}"),
        ),
        _ => return WorkerError::uncommon(message),
    };
    WorkerError::new(code, detail, message)
}
