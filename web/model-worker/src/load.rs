//! From files to a model that answers.

use burn::tensor::DType;
use glyph_model::Checkpoint;
use glyph_model::checkpoint::{CheckpointFiles, CheckpointSettings};
use glyph_model::text::KvCache;
use glyph_model::weights::WeightFiles;
use glyph_web_core::memory::excess_bytes;
use glyph_web_core::messages::{DeviceChoice, LoadedModel, SizeRules};
use glyph_web_core::stage::LoadStage;
use glyph_worker::Reply;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::device;
use crate::error::ModelFailure;
use crate::files::Files;
use crate::reader::Reader;
use crate::source::Source;

/// Type of weights and activations: the CPU's, so that answers are the same everywhere.
const DTYPE: DType = DType::F32;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    stage: LoadStage,
    /// Bytes of weights that are on the device.
    bytes: u64,
    /// Bytes of all weights there.
    total: u64,
}

/// Reads the files, opens the device and brings the weights to it.
pub async fn load(
    source: Source,
    name: String,
    choice: DeviceChoice,
    reply: Reply,
) -> Result<(Checkpoint, LoadedModel), ModelFailure> {
    let mut reader = Reader::new(&source, reply).await;
    let loaded = read_and_load(&mut reader, name, choice, reply).await;
    match &loaded {
        Ok(_) => reader.forget_earlier().await,
        // Kept files that are no checkpoint would fail again and again, also when the host has been mended.
        Err(error) if error.may_blame_files() => reader.forget(|_| true).await,
        Err(_) => {}
    }
    loaded
}

async fn read_and_load(
    reader: &mut Reader<'_>,
    name: String,
    choice: DeviceChoice,
    reply: Reply,
) -> Result<(Checkpoint, LoadedModel), ModelFailure> {
    let mut files = Files::read_all(reader).await?;
    // What is wrong with the small files is said before the device is opened.
    let settings = CheckpointSettings::read(&files)?;
    let weights = WeightFiles::from_bytes(std::mem::take(&mut files.weights))?;
    let total = device_bytes(&weights);
    let progress = |stage, bytes: u64| {
        let bytes = bytes.min(total);
        let progress = Progress {
            stage,
            bytes,
            total,
        };
        reply.send("progress", &progress);
    };
    progress(LoadStage::Device, 0);
    let opened = device::open(choice).await?;
    if let Some(bytes) = excess_bytes(files.bytes, total, opened.kind()) {
        return Err(ModelFailure::too_large(&name, bytes as f64));
    }
    progress(LoadStage::Weights, 0);
    let checkpoint = settings.load(&weights, &opened.device, DTYPE, |bytes| {
        progress(LoadStage::Weights, bytes as u64)
    })?;
    progress(LoadStage::Weights, total);
    let settings = &checkpoint.settings;
    let rules = settings.preprocessor.size_rules();
    let info = LoadedModel {
        name,
        device: opened.kind(),
        adapter: opened.adapter,
        fallback_reason: opened.fallback_reason.map(|reason| reason.to_string()),
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
        is_byte_level: is_byte_level(&checkpoint)?,
    };
    Ok((checkpoint, info))
}

/// Bytes that the weights take on the device: quantised ones as they are stored, the others as [`DTYPE`].
fn device_bytes(weights: &WeightFiles) -> u64 {
    let bytes = weights.tensors().map(|(_, info)| match info.bits {
        Some(_) => info.stored_bytes() as u64,
        None => {
            let values: u64 = info.shape.iter().map(|extent| *extent as u64).product();
            values * DTYPE.size() as u64
        }
    });
    bytes.sum()
}

/// The checkpoint's `render.json`.
fn style(files: &Files) -> Result<Option<Map<String, Value>>, ModelFailure> {
    const NAME: &str = "render.json";
    let Some(json) = files.read(NAME)? else {
        return Ok(None);
    };
    let style = serde_json::from_slice(&json);
    style
        .map(Some)
        .map_err(|error| ModelFailure::NotACheckpoint {
            name: NAME.to_owned(),
            reason: error.to_string(),
        })
}

/// Whether a token of text is one byte.
fn is_byte_level(checkpoint: &Checkpoint) -> glyph_model::Result<bool> {
    const WORDS: &str = "the quick brown fox and the lazy dog";
    let tokens = checkpoint.settings.encoder.tokenizer.encode(WORDS)?;
    Ok(tokens.len() == WORDS.len())
}
