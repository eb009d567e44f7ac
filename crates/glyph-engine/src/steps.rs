//! The pieces of work that the device does for requests.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use futures_lite::future::block_on;
use glyph_model::caught::caught;
use glyph_model::generate::{DeviceSampler, ImageEncoding, choose, read_values};
use glyph_model::preprocess::cut_patches;
use glyph_model::text::{KvCache, Positions};
use glyph_model::{Checkpoint, ModelError, in_lockstep};

use crate::error::EngineError;
use crate::plan::{Footprint, PREFILL_CHUNK};
use crate::prepare::{Page, PageSource};
use crate::sequence::{Encoding, Next, Phase, Sequence};
use crate::stats::Observation;
use crate::vision_cache::VisionCache;

/// What every piece of work needs; clones share the model.
#[derive(Clone)]
pub(crate) struct Steps {
    pub checkpoint: Arc<Checkpoint>,
    pub footprint: Footprint,
    pub vision_cache: VisionCache,
}

/// What a piece of a prompt came to.
#[derive(Debug, Default)]
pub(crate) struct Advance {
    pub observation: Option<Observation>,
    /// The first token was the last.
    pub has_ended: bool,
}

impl Steps {
    /// Whether the model runs on this machine's cores.
    pub fn is_on_cpu(&self) -> bool {
        self.checkpoint.device == Device::flex()
    }

    /// Cores that work on parts of their own; other devices share out each step themselves.
    fn n_cores(&self) -> usize {
        if self.is_on_cpu() {
            rayon::current_num_threads()
        } else {
            1
        }
    }

    /// One token of each of some answers; returns for each whether it has ended, or why it failed.
    pub fn decode(&self, rows: &mut [&mut Sequence]) -> Vec<Result<bool, EngineError>> {
        let n_parts = self.n_cores().min(rows.len());
        if n_parts <= 1 {
            return self.decode_part(rows);
        }
        let mut outcomes = vec![Ok(false); rows.len()];
        let mut parts = parts_of_like_length(rows, n_parts);
        // Each core takes a part of the rows through all layers: the steps of a small model are too small to be handed
        // out one by one.
        let stepped = in_lockstep(&mut parts, |part| self.step_and_push(&mut part.rows));
        for (part, stepped) in parts.iter_mut().zip(stepped) {
            let of_part = stepped.unwrap_or_else(|error| self.decode_each(&mut part.rows, &error));
            for (place, outcome) in part.places.iter().zip(of_part) {
                outcomes[*place] = outcome;
            }
        }
        outcomes
    }

    fn decode_part(&self, rows: &mut [&mut Sequence]) -> Vec<Result<bool, EngineError>> {
        let stepped = self.step_and_push(rows);
        stepped.unwrap_or_else(|error| self.decode_each(rows, &error))
    }

    fn step_and_push(
        &self,
        rows: &mut [&mut Sequence],
    ) -> Result<Vec<Result<bool, EngineError>>, EngineError> {
        let next = guarded(|| self.step(rows))?;
        let rows = rows.iter_mut().zip(next);
        Ok(rows
            .map(|(sequence, next)| guarded(|| sequence.push(next)))
            .collect())
    }

    /// A step of several rows failed: whoever it was, the others go on, each once more by itself.
    fn decode_each(
        &self,
        rows: &mut [&mut Sequence],
        error: &EngineError,
    ) -> Vec<Result<bool, EngineError>> {
        if rows.len() <= 1 {
            return vec![Err(error.clone()); rows.len()];
        }
        let each = rows.chunks_mut(1);
        each.flat_map(|row| self.decode_part(row)).collect()
    }

    /// One token through the model: whether the device still computes.
    ///
    /// # Errors
    /// What it says where it does not.
    pub fn probe(&self) -> Result<(), String> {
        let glm = &self.checkpoint.model;
        let token = || -> Result<Vec<f32>, ModelError> {
            let mut cache = KvCache::of(&self.checkpoint, 1)?;
            let x = glm.embed(&[0], [1, 1], None, &[]);
            let decoder = &glm.model.language_model;
            let hidden = decoder.forward_cached(x, Positions(&[[0; 3]]), &mut [&mut cache])?;
            block_on(read_values(glm.logits(hidden)))
        };
        let scores = caught(token)?;
        scores.map(drop).map_err(|error| error.to_string())
    }

    /// What follows the newest token of each row; where it fails the rows are as they were, or broken for good.
    fn step(&self, rows: &mut [&mut Sequence]) -> Result<Vec<Next>, EngineError> {
        let glm = &self.checkpoint.model;
        let mut ids = Vec::with_capacity(rows.len());
        let mut positions = Vec::with_capacity(rows.len());
        let mut caches: Vec<&mut KvCache> = Vec::with_capacity(rows.len());
        for sequence in rows.iter_mut() {
            let Phase::Decoding { id, len } = sequence.phase else {
                continue;
            };
            ids.push(id);
            positions.push([sequence.next_position(); 3]);
            // A step that failed behind the last layer has counted its position already.
            sequence.cache.truncate(len);
            caches.push(&mut sequence.cache);
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if caches.iter().any(|cache| !cache.is_whole()) {
            return Err(EngineError::Device {
                reason: "a step before it failed half-way".to_owned(),
            });
        }
        let x = glm.embed(&ids, [ids.len(), 1], None, &[]);
        let decoder = &glm.model.language_model;
        let hidden = decoder
            .forward_cached(x, Positions(&positions), &mut caches)
            .map_err(device_error)?;
        next_of(glm.logits(hidden), rows)
    }

    /// One block of the tower over one page, or one chunk of a prompt.
    pub fn advance(&self, sequence: &mut Sequence) -> Result<Advance, EngineError> {
        match sequence.phase {
            Phase::Encoding(page) => self.encode(sequence, page),
            Phase::Prefilling(first) => self.prefill(sequence, first),
            Phase::Decoding { .. } => Ok(Advance::default()),
        }
    }

    fn encode(&self, sequence: &mut Sequence, index: usize) -> Result<Advance, EngineError> {
        let start = Instant::now();
        let glm = &self.checkpoint.model;
        let Some(under_way) = sequence.encoding.take() else {
            return self.begin_encoding(sequence, index);
        };
        let seconds = |start: Instant| under_way.seconds + start.elapsed().as_secs_f64();
        let features = match under_way.encoding.advance(glm) {
            ControlFlow::Continue(encoding) => {
                let seconds = seconds(start);
                sequence.encoding = Some(Encoding { encoding, seconds });
                return Ok(Advance::default());
            }
            ControlFlow::Break(features) => features,
        };
        // Reading one value waits for the device: what is shown is done.
        let corner = features.clone().slice([0..1, 0..1]);
        block_on(read_values(corner)).map_err(device_error)?;
        let key = sequence.pages[index].key;
        let bytes = self.footprint.feature_bytes(features.dims()[0]);
        self.vision_cache.insert(key, features.clone(), bytes);
        sequence.encoded(index, features);
        Ok(Advance {
            observation: Some(Observation::Encoded {
                pages: 1,
                seconds: seconds(start),
            }),
            has_ended: false,
        })
    }

    /// Up to the tower's first block.
    fn begin_encoding(
        &self,
        sequence: &mut Sequence,
        index: usize,
    ) -> Result<Advance, EngineError> {
        let start = Instant::now();
        let Page { key, source, .. } = &sequence.pages[index];
        // Another request may have brought the page meanwhile.
        if let Some(features) = self.vision_cache.peek(key) {
            sequence.encoded(index, features);
            return Ok(Advance::default());
        }
        let PageSource::Pixels(image) = source else {
            sequence.go_on_encoding(index + 1);
            return Ok(Advance::default());
        };
        let checkpoint = &self.checkpoint;
        let patches = cut_patches(image, &checkpoint.settings.preprocessor);
        let encoding = ImageEncoding::begin(&checkpoint.model, &patches, &checkpoint.device);
        sequence.encoding = Some(Encoding {
            encoding,
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(Advance::default())
    }

    /// A chunk of the prompt; behind the last the first token.
    fn prefill(&self, sequence: &mut Sequence, first: usize) -> Result<Advance, EngineError> {
        let start = Instant::now();
        let glm = &self.checkpoint.model;
        let n = sequence.prompt.ids.len();
        let end = (first + PREFILL_CHUNK).min(n);
        let (features, index) = sequence.features(first..end);
        let ids = &sequence.prompt.ids[first..end];
        let x = glm.embed(ids, [1, end - first], features, &index);
        let d = x.dims()[2];
        let positions = Positions(&sequence.prompt.positions.positions[first..end]);
        let decoder = &glm.model.language_model;
        let hidden = decoder
            .forward_cached(x, positions, &mut [&mut sequence.cache])
            .map_err(device_error)?;
        let last: Tensor<3> = hidden.slice([0..1, end - first - 1..end - first, 0..d]);
        let next = if end == n {
            next_of(glm.logits(last), &mut [&mut *sequence])?.pop()
        } else {
            // Reading one value waits for the device: what is shown is done.
            block_on(read_values(last.slice([0..1, 0..1, 0..1]))).map_err(device_error)?;
            None
        };
        sequence.prefilled(end);
        let observation = Some(Observation::Prefilled {
            positions: end - first,
            seconds: start.elapsed().as_secs_f64(),
        });
        let has_ended = match next {
            Some(next) => sequence.push(next)?,
            None => false,
        };
        Ok(Advance {
            observation,
            has_ended,
        })
    }
}

/// What the scores `[rows, 1, vocab]` of a step come to: the ids of rows that are chosen on the device, all scores of
/// the others.
fn next_of(scores: Tensor<3>, rows: &mut [&mut Sequence]) -> Result<Vec<Next>, EngineError> {
    let scores: Tensor<2> = scores.squeeze_dim(1);
    let (on_device, on_host): (Vec<usize>, Vec<usize>) =
        (0..rows.len()).partition(|row| rows[*row].device_sampler.is_some());
    let of = |places: &[usize]| match places.len() == rows.len() {
        true => scores.clone(),
        false => {
            let each = places.iter().map(|row| scores.clone().narrow(0, *row, 1));
            Tensor::cat(each.collect(), 0)
        }
    };
    let mut next = Vec::with_capacity(rows.len());
    if !on_host.is_empty() {
        let of_host = of(&on_host);
        let vocab_size = of_host.dims()[1];
        let values = block_on(read_values(of_host)).map_err(device_error)?;
        let values = values.chunks(vocab_size.max(1)).map(<[f32]>::to_vec);
        next.extend(on_host.into_iter().zip(values.map(Next::Scores)));
    }
    if !on_device.is_empty() {
        let of_device = of(&on_device);
        let mut samplers: Vec<&mut DeviceSampler> = rows
            .iter_mut()
            .filter_map(|row| row.device_sampler.as_mut())
            .collect();
        let ids = block_on(choose(of_device, &mut samplers)).map_err(device_error)?;
        next.extend(on_device.into_iter().zip(ids.into_iter().map(Next::Chosen)));
    }
    next.sort_by_key(|(row, _)| *row);
    Ok(next.into_iter().map(|(_, next)| next).collect())
}

/// Some rows of a step, and their places among all.
#[derive(Default)]
struct Part<'a> {
    places: Vec<usize>,
    rows: Vec<&'a mut Sequence>,
}

/// Rows dealt out to cores by what their caches hold, to and fro from the shortest to the longest: a row takes the
/// longer the more it looks back on, those that came first have the longest, and a step ends with its slowest part.
fn parts_of_like_length<'a>(rows: &'a mut [&mut Sequence], n_parts: usize) -> Vec<Part<'a>> {
    let mut rows: Vec<(usize, &mut Sequence)> =
        rows.iter_mut().map(|row| &mut **row).enumerate().collect();
    rows.sort_by_key(|(_, row)| row.cache.len());
    let mut parts: Vec<Part> = (0..n_parts).map(|_| Part::default()).collect();
    for (n, (place, row)) in rows.into_iter().enumerate() {
        let (round, step) = (n / n_parts, n % n_parts);
        let part = match round % 2 {
            0 => step,
            _ => n_parts - 1 - step,
        };
        parts[part].places.push(place);
        parts[part].rows.push(row);
    }
    parts
}

pub(crate) fn device_error(error: ModelError) -> EngineError {
    EngineError::Device {
        reason: error.to_string(),
    }
}

/// Runs a piece of work of one request. Backends panic where an allocation or a kernel fails: that ends the work, and
/// nothing else.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    caught(work).unwrap_or_else(|reason| Err(EngineError::Device { reason }))
}

/// Runs work that only an end of the engine ends. Where it breaks off that is a reason like any other.
pub(crate) fn to_its_end(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let broke_off = |reason: String| Err(format!("the engine broke off: {reason}. Start it again"));
    caught(work).unwrap_or_else(broke_off)
}
