//! From a checkpoint to a worker: the engine's thread begins here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};

use burn::tensor::Device;
use futures_lite::future::block_on;
use glyph_model::generate::{Generation, generate};
use glyph_model::preprocess::RgbImage;
use glyph_model::prompt::Message;
use glyph_model::{Checkpoint, ModelError};

use crate::engine::{Command, Loaded, Shared};
use crate::error::EngineError;
use crate::plan::{Footprint, MemoryPlan, ModelDoesNotFit};
use crate::state::EngineState;
use crate::stats::Observer;
use crate::steps::guarded;
use crate::vision_cache::VisionCache;
use crate::worker::Worker;

/// Loads the model and serves: the engine's thread.
///
/// # Errors
/// Why it cannot serve, or can no longer.
pub(crate) fn serve(
    shared: &Shared,
    load: impl FnOnce(&mut dyn FnMut(f64)) -> Result<Checkpoint, ModelError>,
    commands: (Sender<Command>, Receiver<Command>),
    observer: impl Observer,
) -> Result<(), String> {
    shared.set_state(EngineState::Loading { done: 0.0 });
    // This thread takes a part of every step itself: to hand all parts out and wait for them would cost a change of
    // threads more. A system that gives no threads leaves the ones in common.
    let _cores = rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .thread_name(|index| format!("glyph-engine-{index}"))
        .build();
    let mut on_share = |done: f64| shared.set_state(EngineState::Loading { done });
    let checkpoint = load(&mut on_share).map_err(|error| error.to_string())?;
    let opened = open(shared, checkpoint).map_err(|error| error.to_string());
    let (mut checkpoint, plan, vision_cache) = opened?;
    if shared.options.warm_up {
        guarded(|| warm_up(&mut checkpoint)).map_err(|error| error.to_string())?;
    }
    let loaded = Loaded {
        settings: Arc::clone(&checkpoint.settings),
        plan: plan.clone(),
        vision_cache: vision_cache.clone(),
        most_text_bytes: {
            let tokenizer = &checkpoint.settings.encoder.tokenizer;
            let longest = tokenizer.longest_token_bytes();
            plan.context_tokens.saturating_mul(longest)
        },
    };
    let worker = Worker::new(checkpoint, plan, vision_cache, shared, commands, observer);
    if shared.loaded.set(loaded).is_ok() && !shared.is_draining.load(Ordering::Relaxed) {
        shared.set_state(EngineState::Ready);
    }
    worker.run()
}

/// Two tokens about the smallest page.
fn warm_up(checkpoint: &mut Checkpoint) -> Result<(), EngineError> {
    checkpoint.load_vision()?;
    let side_px = checkpoint.settings.preprocessor.patch_size * 4;
    let page = RgbImage::new(side_px, side_px, vec![u8::MAX; side_px * side_px * 3])?;
    let images = checkpoint.settings.preprocess(&[page])?;
    let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
    let messages = [Message::pages_and_question(grids.len(), "?")];
    let prompt = checkpoint.settings.encoder.encode(&messages, &grids)?;
    let mut generation = Generation::from_checkpoint(checkpoint);
    generation.max_new_tokens = 2;
    generation.stop.stop_ids.clear();
    block_on(generate(checkpoint, &prompt, &images, &generation, |_| {
        true
    }))?;
    Ok(())
}

/// Plans the memory and sets up what the plan allows.
fn open(
    shared: &Shared,
    checkpoint: Checkpoint,
) -> Result<(Checkpoint, MemoryPlan, VisionCache), ModelDoesNotFit> {
    let bytes_per_value = checkpoint.dtype.size() as u64;
    let table_bytes = checkpoint.table_dtype.size() as u64;
    let config = &checkpoint.settings.config;
    let footprint = Footprint::new(config, bytes_per_value)
        .on(checkpoint.device == Device::flex())
        .quantized(config, checkpoint.quantization, Some(table_bytes))
        .with_kv_precision(config, checkpoint.kv_precision);
    let plan = MemoryPlan::new(footprint, shared.options.limits)?;
    let vision_cache = VisionCache::new(fingerprint(&checkpoint), plan.cache_bytes / 2);
    Ok((checkpoint, plan, vision_cache))
}

/// Tells models and preprocessings apart: their settings, and weights of the decoder, which are there from the start.
fn fingerprint(checkpoint: &Checkpoint) -> [u8; 32] {
    let settings = &checkpoint.settings;
    let mut hasher = blake3::Hasher::new();
    let described = format!(
        "{:?} {:?} {:?}",
        settings.config, settings.preprocessor, checkpoint.dtype
    );
    hasher.update(described.as_bytes());
    let decoder = &checkpoint.model.model.language_model;
    hasher.update(decoder.norm.weight.val().into_data().as_bytes());
    if let Some(layer) = decoder.layers.first() {
        let weights = layer.self_attn.k_proj.published_weight();
        hasher.update(weights.into_data().as_bytes());
    }
    *hasher.finalize().as_bytes()
}
