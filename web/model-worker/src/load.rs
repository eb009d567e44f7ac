//! From files to a model that answers.

use burn::tensor::DType;
use glyph_model::Checkpoint;
use glyph_model::checkpoint::{CheckpointFiles, CheckpointSettings};
use glyph_model::text::KvCache;
use glyph_model::weights::WeightFiles;
use glyph_web_core::messages::{DeviceChoice, LoadedModel, SizeRules};
use glyph_worker::{ErrorCode, Reply, WorkerError};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::device;
use crate::error::described;
use crate::files::{Files, Reader, Source};

/// Type of weights and activations: the CPU's, so that answers are the same everywhere.
const DTYPE: DType = DType::F32;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    stage: &'static str,
    bytes: usize,
    total: usize,
}

/// Reads the files, opens the device and brings the weights to it.
pub async fn load(
    source: Source,
    name: String,
    choice: DeviceChoice,
    reply: Reply,
) -> Result<(Checkpoint, LoadedModel), WorkerError> {
    let mut reader = Reader::new(&source, reply).await;
    let loaded = read_and_load(&mut reader, name, choice, reply).await;
    match &loaded {
        Ok(_) => reader.forget_earlier().await,
        // Kept files that are no checkpoint would fail again and again, also when the host has been mended.
        Err(error) if may_blame_files(error) => reader.forget(|_| true).await,
        Err(_) => {}
    }
    loaded
}

/// Whether a failure can come from what the files hold.
fn may_blame_files(error: &WorkerError) -> bool {
    match error.code {
        Some(
            ErrorCode::Network | ErrorCode::WebPage | ErrorCode::NoWebgpu | ErrorCode::TooLarge,
        ) => false,
        Some(ErrorCode::MissingFile | ErrorCode::NotACheckpoint | ErrorCode::Context) | None => {
            true
        }
    }
}

async fn read_and_load(
    reader: &mut Reader<'_>,
    name: String,
    choice: DeviceChoice,
    reply: Reply,
) -> Result<(Checkpoint, LoadedModel), WorkerError> {
    let mut files = Files::read_all(reader).await?;
    // What is wrong with the small files is said before the device is opened.
    let settings = CheckpointSettings::read(&files).map_err(described)?;
    let weights = WeightFiles::from_bytes(std::mem::take(&mut files.weights)).map_err(described)?;
    let progress = |stage, bytes| {
        let total = weights.stored_bytes();
        let bytes = bytes * total / (2 * total).max(1);
        reply.send(
            "progress",
            &Progress {
                stage,
                bytes,
                total,
            },
        );
    };
    progress("warmUp", 0);
    let opened = device::open(choice).await?;
    progress("weights", 0);
    let loaded = settings.load(&weights, &opened.device, DTYPE, |bytes| {
        progress("weights", bytes)
    });
    let checkpoint = loaded.map_err(described)?;
    let settings = &checkpoint.settings;
    let rules = settings.preprocessor.size_rules();
    let info = LoadedModel {
        name,
        device: opened.name().to_owned(),
        adapter: opened.adapter,
        fallback_reason: opened.fallback_reason,
        context_tokens: settings.config.text_config.max_position_embeddings,
        kv_bytes_per_token: KvCache::bytes_per_token(&settings.config.text_config, DTYPE.size()),
        bytes: files.bytes,
        from_cache: files.from_cache,
        cache_error: files.cache_error.take(),
        style: style(&files)?,
        rules: SizeRules {
            patch_size: rules.patch_size,
            merge_size: rules.merge_size,
            temporal_patch_size: rules.temporal_patch_size,
            min_pixels: rules.min_pixels,
            max_pixels: rules.max_pixels,
        },
        is_byte_level: is_byte_level(&checkpoint).map_err(described)?,
    };
    Ok((checkpoint, info))
}

/// The checkpoint's `render.json`.
fn style(files: &Files) -> Result<Option<Map<String, Value>>, WorkerError> {
    const NAME: &str = "render.json";
    let Some(json) = files.read(NAME).map_err(described)? else {
        return Ok(None);
    };
    let style = serde_json::from_slice(&json);
    style.map(Some).map_err(|error| {
        let message = format!("{NAME} is not valid: {error}");
        WorkerError::new(ErrorCode::NotACheckpoint, NAME, message)
    })
}

/// Whether a token of text is one byte.
fn is_byte_level(checkpoint: &Checkpoint) -> glyph_model::Result<bool> {
    const WORDS: &str = "the quick brown fox and the lazy dog";
    let tokens = checkpoint.settings.encoder.tokenizer.encode(WORDS)?;
    Ok(tokens.len() == WORDS.len())
}
