//! One request from pixels to the last token.

use std::slice;

use burn::tensor::{DType, Device, Tensor};

use super::answer::{Answer, AnswerStep};
use super::device_sampling::{DeviceSampler, choose};
use super::encode::encode_pass;
use super::features::part_features;
use super::sampling::SamplingParams;
use super::stop::StopParams;
use crate::checkpoint::Checkpoint;
use crate::clock::Stopwatch;
use crate::error::{ModelError, Result};
use crate::model::Glm4v;
use crate::pause::pause;
use crate::preprocess::{ImagePatches, PatchGrid};
use crate::prompt::Prompt;
use crate::text::{KvCache, Positions};

/// Prompt positions that pass the decoder at once, unless a caller wants another number: enough of them to read each
/// weight for many. More would go little faster, hold more memory, and make whoever waits for the end of a chunk wait
/// longer: another request's turn, or a person who ends this one. Memory is planned with this number.
pub const PREFILL_CHUNK: usize = 256;

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
            sampling: SamplingParams::from_config(&checkpoint.settings.generation),
            stop: StopParams {
                stop_ids: checkpoint.settings.generation.stop_ids(),
                ..StopParams::default()
            },
            max_new_tokens: 1024,
            prefill_chunk: PREFILL_CHUNK,
            keep_special_tokens: false,
        }
    }
}

/// How far a request has come.
#[derive(Debug, Clone, Copy)]
pub enum GenerationEvent<'a> {
    /// Images that have passed the vision tower, and all of them.
    Encoded {
        /// Done.
        images: usize,
        /// To do in all.
        of: usize,
    },
    /// Positions of the prompt that have passed the decoder, and all of them.
    Prefilled {
        /// Done.
        positions: usize,
        /// To do in all.
        of: usize,
    },
    /// The next token of the answer.
    Token(&'a AnswerStep),
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

/// Answers `prompt` about `images`. `on_event` sees how far it has come, every token included, and returns whether
/// to go on.
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
    mut on_event: impl FnMut(GenerationEvent<'_>) -> bool,
) -> Result<Generated> {
    check_length(checkpoint, prompt, options)?;
    check_inputs(checkpoint, prompt, images)?;
    let text_config = &checkpoint.settings.config.text_config;
    let mut answer = Answer::new(
        options,
        &prompt.ids,
        &checkpoint.settings.encoder.tokenizer,
        text_config.vocab_size,
    )?;
    let (glm, device) = (&checkpoint.model, &checkpoint.device);
    let mut times = GenerationTimes::default();

    let watch = Stopwatch::start();
    let encoded = encode(glm, images, device, &mut on_event).await?;
    times.encode_s = watch.seconds();
    let Some(features) = encoded else {
        return Ok(Generated::new(&answer, FinishReason::Cancelled, times));
    };

    let watch = Stopwatch::start();
    let n_prompt = prompt.ids.len();
    let n_total = n_prompt + options.max_new_tokens;
    let mut cache = KvCache::of(checkpoint, n_total)?;
    let prefilled = prefill(
        glm,
        prompt,
        features,
        &mut cache,
        options.prefill_chunk,
        &mut on_event,
    )
    .await?;
    let Some(logits) = prefilled else {
        times.prefill_s = watch.seconds();
        return Ok(Generated::new(&answer, FinishReason::Cancelled, times));
    };
    let mut device_sampler = answer.device_sampler(device);
    let mut step = push_next(&mut answer, device_sampler.as_mut(), logits).await?;
    times.prefill_s = watch.seconds();

    let watch = Stopwatch::start();
    let mut position = prompt.positions.next;
    let finish_reason = loop {
        let go_on = on_event(GenerationEvent::Token(&step));
        if let Some(reason) = step.finished {
            break reason;
        }
        if !go_on {
            answer.flush()?;
            break FinishReason::Cancelled;
        }
        let x = glm.embed(&[step.id], [1, 1], None, &[]);
        let decoder = &glm.model.language_model;
        let positions = [[position; 3]];
        let hidden = decoder.forward_cached(x, Positions(&positions), &mut [&mut cache])?;
        step = push_next(&mut answer, device_sampler.as_mut(), glm.logits(hidden)).await?;
        pause().await;
        position += 1;
    };
    times.decode_s = watch.seconds();
    Ok(Generated::new(&answer, finish_reason, times))
}

impl Generated {
    fn new(answer: &Answer, finish_reason: FinishReason, times: GenerationTimes) -> Self {
        Self {
            ids: answer.ids().to_vec(),
            text: answer.text().to_owned(),
            finish_reason,
            times,
        }
    }
}

/// Prompt and answer are not empty and fit the model's context.
fn check_length(checkpoint: &Checkpoint, prompt: &Prompt, options: &Generation) -> Result<()> {
    let empty = |name| ModelError::Parameter {
        name,
        value: "0".to_owned(),
        reason: "must not be empty",
    };
    if prompt.ids.is_empty() {
        return Err(empty("prompt"));
    }
    if options.max_new_tokens == 0 {
        return Err(empty("max_tokens"));
    }
    let context_tokens = checkpoint
        .settings
        .config
        .text_config
        .max_position_embeddings;
    if prompt.ids.len().saturating_add(options.max_new_tokens) > context_tokens {
        return Err(ModelError::ContextOverflow {
            prompt_tokens: prompt.ids.len(),
            max_new_tokens: options.max_new_tokens,
            context_tokens,
        });
    }
    Ok(())
}

/// Holds prompt and images against each other and against the model, so that nothing later can be out of range.
fn check_inputs(checkpoint: &Checkpoint, prompt: &Prompt, images: &[ImagePatches]) -> Result<()> {
    let vocab_size = checkpoint.settings.config.text_config.vocab_size;
    if let Some(id) = prompt
        .ids
        .iter()
        .copied()
        .find(|id| *id as usize >= vocab_size)
    {
        return Err(ModelError::UnknownToken { id, vocab_size });
    }
    let vision = &checkpoint.settings.config.vision_config;
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

/// Features of each image; `None` when `on_event` ended the request. Images pass one after the other, so that the
/// tower's activations are those of one page, as they are planned.
async fn encode(
    glm: &Glm4v,
    images: &[ImagePatches],
    device: &Device,
    on_event: &mut impl FnMut(GenerationEvent<'_>) -> bool,
) -> Result<Option<Vec<Tensor<2>>>> {
    let of = images.len();
    let mut features = Vec::with_capacity(of);
    for image in images {
        let encoded = encode_pass(glm, slice::from_ref(image), device);
        // Reading one value waits for the device: what is shown is done, and the time is the tower's own.
        read_values(encoded.clone().slice([0..1, 0..1])).await?;
        pause().await;
        features.push(encoded);
        let images = features.len();
        if !on_event(GenerationEvent::Encoded { images, of }) {
            return Ok(None);
        }
    }
    Ok(Some(features))
}

/// The next token of `answer` by its `logits` `[1, 1, vocab]`, chosen on the device where there is a sampler for it.
async fn push_next(
    answer: &mut Answer,
    sampler: Option<&mut DeviceSampler>,
    logits: Tensor<3>,
) -> Result<AnswerStep> {
    match sampler {
        None => answer.push(&mut read_values(logits).await?),
        Some(sampler) => {
            let chosen = choose(logits.squeeze_dim(0), &mut [sampler]).await?;
            answer.push_chosen(chosen.first().copied().flatten())
        }
    }
}

/// Runs the prompt through the decoder in chunks, each embedded when its turn comes; `features` are those of each
/// image. Returns the logits `[1, 1, vocab]` behind its last position, or `None` when `on_event` ended the request.
async fn prefill(
    glm: &Glm4v,
    prompt: &Prompt,
    features: Vec<Tensor<2>>,
    cache: &mut KvCache,
    chunk: usize,
    on_event: &mut impl FnMut(GenerationEvent<'_>) -> bool,
) -> Result<Option<Tensor<3>>> {
    let mut n_rows = 0;
    let page_starts: Vec<usize> = features
        .iter()
        .map(|page| {
            let start = n_rows;
            n_rows += page.dims()[0];
            start
        })
        .collect();
    let n = prompt.ids.len();
    let chunk = chunk.max(1);
    let mut logits = None;
    for start in (0..n).step_by(chunk) {
        let end = start.saturating_add(chunk).min(n);
        let (of_part, index) =
            part_features(&prompt.feature_index[start..end], &page_starts, |page| {
                features.get(page).cloned()
            });
        let x = glm.embed(&prompt.ids[start..end], [1, end - start], of_part, &index);
        let d = x.dims()[2];
        let positions = Positions(&prompt.positions.positions[start..end]);
        let decoder = &glm.model.language_model;
        let hidden = decoder.forward_cached(x, positions, &mut [&mut *cache])?;
        let last = hidden.slice([0..1, end - start - 1..end - start, 0..d]);
        // Reading one value waits for the device: what is shown is done.
        read_values(last.clone().slice([0..1, 0..1, 0..1])).await?;
        if end == n {
            logits = Some(glm.logits(last));
        }
        pause().await;
        let event = GenerationEvent::Prefilled {
            positions: end,
            of: n,
        };
        if !on_event(event) {
            return Ok(None);
        }
    }
    Ok(logits)
}

pub(super) fn read_error(reason: String) -> ModelError {
    ModelError::Read { reason }
}

/// Brings a tensor to the host as f32.
///
/// # Errors
/// [`ModelError::Read`] with the backend's message.
pub async fn read_values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data = tensor
        .into_data_async()
        .await
        .map_err(|error| read_error(error.to_string()))?;
    data.convert_dtype(DType::F32)
        .try_into_vec()
        .map_err(|error| read_error(error.to_string()))
}
