//! One request from pixels to the last token.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::sampling::{Sampler, SamplingParams};
use super::stop::{StopMatcher, StopParams};
use crate::checkpoint::Checkpoint;
use crate::clock::Stopwatch;
use crate::error::{ModelError, Result};
use crate::model::Glm4v;
use crate::preprocess::{ImagePatches, PatchGrid};
use crate::prompt::Prompt;
use crate::text::{KvCache, KvTarget, Positions};

/// What to generate.
#[derive(Debug, Clone)]
pub struct Generation {
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// When the answer ends.
    pub stop: StopParams,
    /// Most tokens of the answer.
    pub max_new_tokens: usize,
    /// Prompt positions that pass the decoder at once.
    pub prefill_chunk: usize,
    /// Keeps special tokens in the text.
    pub keep_special_tokens: bool,
}

impl Generation {
    /// The checkpoint's own settings.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Self {
        Self {
            sampling: SamplingParams::from_config(&checkpoint.generation),
            stop: StopParams {
                stop_ids: checkpoint.generation.stop_ids(),
                ..StopParams::default()
            },
            max_new_tokens: 1024,
            prefill_chunk: 512,
            keep_special_tokens: false,
        }
    }
}

/// A token of the answer as it comes.
#[derive(Debug, Clone)]
pub struct TokenEvent<'a> {
    /// Its id.
    pub id: u32,
    /// Text that it completes; empty while a character or a stop string is unfinished. What is still unfinished at
    /// the end comes in one more event with the last id.
    pub text: &'a str,
}

/// Why the answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop id or stop string.
    Stop,
    /// `max_new_tokens`.
    Length,
    /// The caller asked to.
    Cancelled,
}

/// Seconds spent on each part.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GenerationTimes {
    /// Vision tower.
    pub encode_s: f64,
    /// Decoder over the prompt, up to the first token.
    pub prefill_s: f64,
    /// Decoder over the answer.
    pub decode_s: f64,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Generated {
    /// Ids, a stop id at the end included.
    pub ids: Vec<u32>,
    /// Text.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Time taken.
    pub times: GenerationTimes,
}

/// Answers `prompt` about `images`. `on_token` sees every token as it comes and returns whether to go on.
///
/// # Errors
/// Before any work: [`ModelError::ContextOverflow`] when prompt and answer do not fit the model's context,
/// [`ModelError::Parameter`] for an empty prompt or answer and for sampling parameters out of range,
/// [`ModelError::UnknownToken`] for an id without embedding, [`ModelError::ImageTokenMismatch`] and
/// [`ModelError::Image`] for images that the prompt was not made for or that the tower does not take. Later
/// [`ModelError::Read`] when the device fails.
pub async fn generate(
    checkpoint: &Checkpoint,
    prompt: &Prompt,
    images: &[ImagePatches],
    options: &Generation,
    mut on_token: impl FnMut(TokenEvent<'_>) -> bool,
) -> Result<Generated> {
    let text_config = &checkpoint.config.text_config;
    let n_prompt = prompt.ids.len();
    let n_total = n_prompt.saturating_add(options.max_new_tokens);
    if n_prompt == 0 || options.max_new_tokens == 0 {
        let name = if n_prompt == 0 {
            "prompt"
        } else {
            "max_tokens"
        };
        return Err(ModelError::Parameter {
            name,
            value: "0".to_owned(),
            reason: "must not be empty",
        });
    }
    if n_total > text_config.max_position_embeddings {
        return Err(ModelError::ContextOverflow {
            prompt_tokens: n_prompt,
            max_new_tokens: options.max_new_tokens,
            context_tokens: text_config.max_position_embeddings,
        });
    }
    check_inputs(checkpoint, prompt, images)?;
    let mut sampler = Sampler::new(
        options.sampling.clone(),
        &prompt.ids,
        text_config.vocab_size,
    )?;
    let mut stops = StopMatcher::new(options.stop.clone());
    let mut stream = checkpoint
        .encoder
        .tokenizer
        .stream(!options.keep_special_tokens);
    let (glm, device) = (&checkpoint.model, &checkpoint.device);
    let mut times = GenerationTimes::default();

    let watch = Stopwatch::start();
    let features = encode_images(glm, images, device);
    if let Some(features) = &features {
        // Reading one value waits for the device, so that the time is the tower's own.
        read(features.clone().slice([0..1, 0..1])).await?;
    }
    times.encode_s = watch.seconds();

    let watch = Stopwatch::start();
    let mut cache = KvCache::new(text_config, 1, n_total, checkpoint.dtype, device);
    let x = glm.embed(&prompt.ids, [1, n_prompt], features, &prompt.feature_index);
    let mut logits = prefill(glm, x, prompt, &mut cache, options.prefill_chunk).await?;
    times.prefill_s = watch.seconds();

    let watch = Stopwatch::start();
    let mut ids = Vec::new();
    let mut text = String::new();
    let mut position = prompt.positions.next;
    let finish_reason = loop {
        let id = sampler.sample(&mut logits);
        ids.push(id);
        if stops.is_stop_id(id) {
            break FinishReason::Stop;
        }
        let piece = stream.push(id)?.unwrap_or_default();
        let (piece, stopped) = stops.push(&piece);
        text.push_str(&piece);
        let go_on = on_token(TokenEvent { id, text: &piece });
        if stopped {
            break FinishReason::Stop;
        }
        if !go_on {
            break FinishReason::Cancelled;
        }
        if ids.len() == options.max_new_tokens {
            break FinishReason::Length;
        }
        let x = glm.embed(&[id], [1, 1], None, &[]);
        let decoder = &glm.model.language_model;
        let positions = [[position; 3]];
        let hidden =
            decoder.forward_cached(x, Positions(&positions), &mut cache, KvTarget::Row(0))?;
        logits = read(glm.logits(hidden)).await?;
        position += 1;
    };
    // What was held back belongs to the answer unless a stop string has ended it.
    if !stops.found() {
        let (mut rest, _) = stops.push(&stream.finish()?.unwrap_or_default());
        rest.push_str(&stops.finish());
        text.push_str(&rest);
        if let (Some(id), false, true) = (
            ids.last(),
            rest.is_empty(),
            finish_reason != FinishReason::Cancelled,
        ) {
            on_token(TokenEvent {
                id: *id,
                text: &rest,
            });
        }
    }
    times.decode_s = watch.seconds();
    Ok(Generated {
        ids,
        text,
        finish_reason,
        times,
    })
}

/// Holds prompt and images against each other and against the model, so that nothing later can be out of range.
fn check_inputs(checkpoint: &Checkpoint, prompt: &Prompt, images: &[ImagePatches]) -> Result<()> {
    let vocab_size = checkpoint.config.text_config.vocab_size;
    if let Some(id) = prompt
        .ids
        .iter()
        .copied()
        .find(|id| *id as usize >= vocab_size)
    {
        return Err(ModelError::UnknownToken { id, vocab_size });
    }
    let vision = &checkpoint.config.vision_config;
    let merge = vision.spatial_merge_size;
    if !images
        .iter()
        .map(|image| image.grid)
        .eq(prompt.grids.iter().copied())
    {
        return Err(ModelError::ImageTokenMismatch {
            placeholders: prompt.grids.len(),
            placeholder_tokens: prompt.n_image_tokens(),
            images: images.len(),
            image_tokens: images.iter().map(|image| image.grid.n_tokens(merge)).sum(),
        });
    }
    for (index, image) in images.iter().enumerate() {
        let PatchGrid { rows, columns } = image.grid;
        let n_values = image.grid.n_patches() * vision.frame_patch_len();
        let whole_windows = rows > 0 && columns > 0 && rows % merge == 0 && columns % merge == 0;
        if !whole_windows
            || image.patch_len != vision.frame_patch_len()
            || image.values.len() != n_values
        {
            let (given, patch_len) = (image.values.len(), image.patch_len);
            return Err(ModelError::Image {
                index,
                reason: format!(
                    "holds {given} values, {patch_len} per patch, for {rows}×{columns} patches; the model takes \
                     {} values per patch and whole windows of {merge}×{merge} patches",
                    vision.frame_patch_len()
                ),
            });
        }
    }
    Ok(())
}

/// Features of all images in order, `[tokens of all images, d]`; neighbours of one size share a pass.
pub fn encode_images(glm: &Glm4v, images: &[ImagePatches], device: &Device) -> Option<Tensor<2>> {
    let features: Vec<Tensor<2>> = images
        .chunk_by(|a, b| a.grid == b.grid)
        .flat_map(|group| group.chunks(MAX_IMAGES_PER_PASS))
        .filter_map(|group| {
            let grid: PatchGrid = group.first()?.grid;
            let values: Vec<f32> = group
                .iter()
                .flat_map(|image| image.values.iter().copied())
                .collect();
            let shape = [group.len(), grid.n_patches(), group.first()?.patch_len];
            let weight = &glm.model.visual.patch_embed.proj.weight;
            let patches = Tensor::<3>::from_data(TensorData::new(values, shape), device);
            let patches = patches.cast(weight.val().dtype());
            let tokens = glm.model.visual.forward(patches, grid);
            let [n, tokens_each, d] = tokens.dims();
            Some(tokens.reshape([n * tokens_each, d]))
        })
        .collect();
    (!features.is_empty()).then(|| Tensor::cat(features, 0))
}

/// Bounds the tower's activations when a document has many pages.
const MAX_IMAGES_PER_PASS: usize = 8;

/// Runs the prompt through the decoder in chunks; returns the logits behind its last position.
async fn prefill(
    glm: &Glm4v,
    x: Tensor<3>,
    prompt: &Prompt,
    cache: &mut KvCache,
    chunk: usize,
) -> Result<Vec<f32>> {
    let [_, n, d] = x.dims();
    let chunk = chunk.max(1);
    let mut last = None;
    for start in (0..n).step_by(chunk) {
        let end = (start + chunk).min(n);
        let part = x.clone().slice([0..1, start..end, 0..d]);
        let positions = Positions(&prompt.positions.positions[start..end]);
        let decoder = &glm.model.language_model;
        let hidden = decoder.forward_cached(part, positions, cache, KvTarget::Row(0))?;
        last = Some(hidden.slice([0..1, end - start - 1..end - start, 0..d]));
    }
    match last {
        Some(hidden) => read(glm.logits(hidden)).await,
        None => Err(ModelError::Parameter {
            name: "prompt",
            value: "0".to_owned(),
            reason: "must not be empty",
        }),
    }
}

/// Brings a tensor to the host as f32.
async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let read_error = |reason: String| ModelError::Read { reason };
    let data = tensor
        .into_data_async()
        .await
        .map_err(|error| read_error(error.to_string()))?;
    data.convert_dtype(DType::F32)
        .try_into_vec()
        .map_err(|error| read_error(error.to_string()))
}
