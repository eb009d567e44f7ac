//! Codes for the errors of `glyph-model` that people meet most.

use glyph_model::ModelError;
use glyph_worker::{ErrorCode, WorkerError};

/// An error as the page gets it.
pub fn described(error: ModelError) -> WorkerError {
    let message = error.to_string();
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
        _ => return message.into(),
    };
    WorkerError::new(code, detail, message)
}
