//! The engine's thread: it alone talks to the device.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use futures_lite::future::block_on;
use glyph_model::generate::{Answer, encode_images, read_values};
use glyph_model::text::{KvCache, Positions};
use glyph_model::{Checkpoint, Glm4v, ModelError};
use rayon::prelude::*;

use crate::engine::{Command, Shared};
use crate::error::EngineError;
use crate::plan::{MemoryPlan, PREFILL_CHUNK};
use crate::prefix_cache::{PositionKey, PrefixCache};
use crate::prepare::{Page, PageSource, Prepared};
use crate::queue::FairQueue;
use crate::request::Event;
use crate::sequence::{Phase, Sequence, Waiting};
use crate::stats::{Observation, Observer};
use crate::vision_cache::VisionCache;

pub(crate) struct Worker<'a, O> {
    pub checkpoint: Checkpoint,
    pub plan: MemoryPlan,
    pub vision_cache: VisionCache,
    pub shared: &'a Shared,
    pub commands: Receiver<Command>,
    pub observer: O,
    waiting: FairQueue<Waiting>,
    /// In the order in which they take turns at the prompt.
    running: Vec<Sequence>,
    prefix_cache: PrefixCache,
    is_draining: bool,
}

impl<'a, O: Observer> Worker<'a, O> {
    pub fn new(
        checkpoint: Checkpoint,
        plan: MemoryPlan,
        vision_cache: VisionCache,
        shared: &'a Shared,
        commands: Receiver<Command>,
        observer: O,
    ) -> Self {
        let prefix_cache =
            PrefixCache::new(plan.cache_bytes / 2, plan.footprint.kv_bytes_per_token);
        Self {
            checkpoint,
            plan,
            vision_cache,
            shared,
            commands,
            observer,
            waiting: FairQueue::new(),
            running: Vec::new(),
            prefix_cache,
            is_draining: false,
        }
    }

    /// Serves until told to stop: at each turn a token for every answer, then one piece of one prompt.
    pub fn run(mut self) {
        loop {
            if !self.take_commands() {
                return self.give_up();
            }
            self.drop_cancelled();
            self.admit();
            self.decode();
            self.advance_prompt();
            self.publish();
            if self.is_draining && self.is_idle() {
                return;
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.len() == 0
    }

    /// Takes what has come, and waits for it where there is nothing else to do. False: stop now.
    fn take_commands(&mut self) -> bool {
        if self.is_idle() && !self.is_draining {
            match self.commands.recv() {
                Ok(command) => {
                    if !self.take(command) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => {
                    if !self.take(command) {
                        return false;
                    }
                }
                Err(TryRecvError::Empty) => return true,
                // Nobody is left who could ask for more; what runs is finished.
                Err(TryRecvError::Disconnected) => {
                    self.is_draining = true;
                    return true;
                }
            }
        }
    }

    fn take(&mut self, command: Command) -> bool {
        match command {
            Command::Submit(waiting) => {
                let before = self.waiting.len();
                let _ = waiting.events.send(Event::Queued { before });
                let caller = waiting.request.caller.clone();
                self.waiting.push(&caller, *waiting);
            }
            Command::Drain => self.is_draining = true,
            Command::Stop => return false,
        }
        true
    }

    fn give_up(mut self) {
        for waiting in self.waiting.remove(|_| true) {
            let _ = waiting.events.send(Event::Failed(EngineError::Stopped));
        }
        for sequence in &self.running {
            sequence.fail(EngineError::Stopped);
        }
        self.running.clear();
        self.publish();
    }

    fn drop_cancelled(&mut self) {
        let gone = self.waiting.remove(Waiting::is_cancelled);
        self.shared.left_queue(gone.len());
        self.running.retain(|sequence| !sequence.is_cancelled());
    }

    /// Starts requests while places and memory are free.
    fn admit(&mut self) {
        while self.running.len() < self.plan.max_batch {
            let mut per_caller: HashMap<String, usize> = HashMap::new();
            for sequence in &self.running {
                *per_caller.entry(sequence.caller.clone()).or_default() += 1;
            }
            let free_bytes = self.plan.kv_bytes.saturating_sub(self.kv_bytes());
            let next = self
                .waiting
                .pop_if(&per_caller, |waiting| waiting.kv_bytes <= free_bytes);
            let Some(waiting) = next else { return };
            self.shared.left_queue(1);
            let events = waiting.events.clone();
            match guarded(|| self.start(waiting)) {
                Ok(sequence) => self.running.push(sequence),
                Err(error) => {
                    let _ = events.send(Event::Failed(error));
                }
            }
        }
    }

    fn kv_bytes(&self) -> u64 {
        self.running.iter().map(|sequence| sequence.kv_bytes).sum()
    }

    fn start(&mut self, waiting: Waiting) -> Result<Sequence, EngineError> {
        let settings = &self.checkpoint.settings;
        let text_config = &settings.config.text_config;
        let Prepared { prompt, pages } = &waiting.request.prepared;
        let generation = &waiting.request.generation;
        let answer = Answer::new(
            generation,
            &prompt.ids,
            &settings.encoder.tokenizer,
            text_config.vocab_size,
        )?;
        let merge_size = settings.config.vision_config.spatial_merge_size;
        let keys = position_keys(&prompt.ids, &prompt.feature_index, pages, merge_size);
        let capacity = prompt.ids.len() + generation.max_new_tokens;
        let (dtype, device) = (self.checkpoint.dtype, &self.checkpoint.device);
        let mut cache = KvCache::new(text_config, capacity, dtype, device);
        if let Some((prefix, len)) = self.prefix_cache.longest(&keys) {
            cache.restore(&prefix, len)?;
        }
        Ok(Sequence::new(waiting, answer, cache, keys, merge_size))
    }

    /// One token of every answer.
    fn decode(&mut self) {
        let rows: Vec<usize> = self
            .running
            .iter()
            .enumerate()
            .filter(|(_, sequence)| matches!(sequence.phase, Phase::Decoding(_)))
            .map(|(row, _)| row)
            .collect();
        if rows.is_empty() {
            return;
        }
        let start = Instant::now();
        let mut ended: Vec<usize> = Vec::new();
        match guarded(|| self.decode_rows(&rows)) {
            Ok(logits) => ended.extend(self.push_rows(&rows, logits)),
            // Whoever it was, the others go on: each row once more by itself.
            Err(_) if rows.len() > 1 => {
                for row in &rows {
                    match guarded(|| self.decode_rows(&[*row])) {
                        Ok(logits) => ended.extend(self.push_rows(&[*row], logits)),
                        Err(error) => {
                            self.running[*row].fail(error);
                            ended.push(*row);
                        }
                    }
                }
            }
            Err(error) => {
                rows.iter()
                    .for_each(|row| self.running[*row].fail(error.clone()));
                ended.extend(&rows);
            }
        }
        self.observer.observe(Observation::DecodeStep {
            rows: rows.len(),
            seconds: start.elapsed().as_secs_f64(),
        });
        for row in ended.into_iter().rev() {
            let sequence = self.running.remove(row);
            self.keep_prefix(&sequence);
        }
    }

    /// Scores behind the newest token of each row.
    fn decode_rows(&mut self, rows: &[usize]) -> Result<Vec<Vec<f32>>, EngineError> {
        let glm = &self.checkpoint.model;
        let mut ids = Vec::with_capacity(rows.len());
        let mut positions = Vec::with_capacity(rows.len());
        let mut caches: Vec<&mut KvCache> = Vec::with_capacity(rows.len());
        for (row, sequence) in self.running.iter_mut().enumerate() {
            let (Phase::Decoding(id), true) = (sequence.phase, rows.contains(&row)) else {
                continue;
            };
            ids.push(id);
            positions.push([sequence.next_position(); 3]);
            caches.push(&mut sequence.cache);
        }
        if caches.iter().any(|cache| !cache.is_whole()) {
            return Err(EngineError::Device {
                reason: "a step before it failed half-way".to_owned(),
            });
        }
        // On a CPU each core takes a part of the rows through all layers: their steps are too small to be worth
        // sharing out one by one.
        let n_parts = if self.checkpoint.device == Device::flex() {
            rayon::current_num_threads()
        } else {
            1
        };
        let part_len = ids.len().div_ceil(n_parts).max(1);
        let logits: Vec<Vec<f32>> = if part_len >= ids.len() {
            vec![decode_part(glm, &ids, &positions, &mut caches)?]
        } else {
            let parts = ids.par_chunks(part_len).zip(positions.par_chunks(part_len));
            let parts = parts.zip(caches.par_chunks_mut(part_len));
            parts
                .map(|((ids, positions), caches)| decode_part(glm, ids, positions, caches))
                .collect::<Result<_, EngineError>>()?
        };
        let vocab = self
            .checkpoint
            .settings
            .config
            .text_config
            .vocab_size
            .max(1);
        let rows = logits.iter().flat_map(|part| part.chunks(vocab));
        Ok(rows.map(<[f32]>::to_vec).collect())
    }

    /// Gives each row its scores; returns the rows that have ended, in order.
    fn push_rows(&mut self, rows: &[usize], logits: Vec<Vec<f32>>) -> Vec<usize> {
        let mut ended = Vec::new();
        for (row, mut logits) in rows.iter().zip(logits) {
            let sequence = &mut self.running[*row];
            match sequence.push(&mut logits) {
                Ok(false) => {}
                Ok(true) => ended.push(*row),
                Err(error) => {
                    sequence.fail(error);
                    ended.push(*row);
                }
            }
        }
        ended
    }

    /// One page or one chunk of the prompt whose turn it is.
    fn advance_prompt(&mut self) {
        let turn = self
            .running
            .iter()
            .position(|sequence| !matches!(sequence.phase, Phase::Decoding(_)));
        let Some(turn) = turn else { return };
        let mut sequence = self.running.remove(turn);
        let outcome = guarded(|| match sequence.phase {
            Phase::Encoding(page) => self.encode(&mut sequence, page).map(|()| false),
            Phase::Prefilling(start) => self.prefill(&mut sequence, start),
            Phase::Decoding(_) => Ok(false),
        });
        match outcome {
            // To the end of the line: the others' prompts come first.
            Ok(false) => self.running.push(sequence),
            Ok(true) => self.keep_prefix(&sequence),
            Err(error) => sequence.fail(error),
        }
    }

    fn encode(&mut self, sequence: &mut Sequence, index: usize) -> Result<(), EngineError> {
        let Page { key, grid, source } = &sequence.pages[index];
        let (key, grid) = (*key, *grid);
        // Another request may have brought the page meanwhile.
        if let Some(features) = self.vision_cache.peek(&key) {
            sequence.encoded(index, features);
            return Ok(());
        }
        let PageSource::Patches(patches) = source else {
            sequence.go_on_encoding(index + 1);
            return Ok(());
        };
        let start = Instant::now();
        self.checkpoint.load_vision().map_err(device_error)?;
        let images = std::slice::from_ref(patches);
        let features = encode_images(&self.checkpoint.model, images, &self.checkpoint.device);
        let features = features.ok_or_else(|| EngineError::Device {
            reason: format!("page {} gave no features", index + 1),
        })?;
        // Reading one value waits for the device: what is shown is done.
        let corner = features.clone().slice([0..1, 0..1]);
        block_on(read_values(corner)).map_err(device_error)?;
        let bytes = self.plan.footprint.feature_bytes(features.dims()[0]);
        self.vision_cache.insert(key, grid, features.clone(), bytes);
        sequence.encoded(index, features);
        self.observer.observe(Observation::Encoded {
            pages: 1,
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(())
    }

    /// A chunk of the prompt; behind the last the first token. Returns whether the answer has ended.
    fn prefill(&mut self, sequence: &mut Sequence, first: usize) -> Result<bool, EngineError> {
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
        let is_last = end == n;
        let read = if is_last {
            block_on(read_values(glm.logits(last)))
        } else {
            block_on(read_values(last.slice([0..1, 0..1, 0..1])))
        };
        let mut logits = read.map_err(device_error)?;
        sequence.prefilled(end);
        self.observer.observe(Observation::Prefilled {
            positions: end - first,
            seconds: start.elapsed().as_secs_f64(),
        });
        if !is_last {
            return Ok(false);
        }
        self.keep_prefix(sequence);
        sequence.push(&mut logits)
    }

    /// Keeps keys and values for prompts that begin alike.
    fn keep_prefix(&mut self, sequence: &Sequence) {
        let len = sequence.cache.len();
        if !sequence.cache.is_whole() || !self.prefix_cache.takes(len) {
            return;
        }
        let keys = sequence.cached_keys();
        if !self.prefix_cache.holds(&keys) {
            self.prefix_cache.insert(keys, sequence.cache.prefix(len));
        }
    }

    fn publish(&self) {
        self.shared.publish(|stats| {
            stats.running = self.running.len();
            stats.kv_bytes = self.kv_bytes();
            stats.kv_planned_bytes = self.plan.kv_bytes;
            stats.prefix_cache = self.prefix_cache.stats();
        });
    }
}

/// Scores behind one more token of each of some rows, `[rows, vocab]`.
fn decode_part(
    glm: &Glm4v,
    ids: &[u32],
    positions: &[[u32; 3]],
    caches: &mut [&mut KvCache],
) -> Result<Vec<f32>, EngineError> {
    let x = glm.embed(ids, [ids.len(), 1], None, &[]);
    let decoder = &glm.model.language_model;
    let hidden = decoder
        .forward_cached(x, Positions(positions), caches)
        .map_err(device_error)?;
    block_on(read_values(glm.logits(hidden))).map_err(device_error)
}

/// What each position of a prompt is.
fn position_keys(
    ids: &[u32],
    feature_index: &[Option<usize>],
    pages: &[Page],
    merge_size: usize,
) -> Vec<PositionKey> {
    let mut page_keys = pages.iter().flat_map(|page| {
        let n_tokens = page.grid.n_tokens(merge_size) as u32;
        (0..n_tokens).map(|token| PositionKey::Page(page.key, token))
    });
    ids.iter()
        .zip(feature_index)
        .map(|(id, feature)| {
            let page = feature.and_then(|_| page_keys.next());
            page.unwrap_or(PositionKey::Text(*id))
        })
        .collect()
}

fn device_error(error: ModelError) -> EngineError {
    EngineError::Device {
        reason: error.to_string(),
    }
}

/// Runs a piece of work of one request. Backends panic where an allocation or a kernel fails: that ends the work, and
/// nothing else.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(EngineError::Device {
            reason: panic_message(panic.as_ref()),
        })
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason was given").to_owned()
}
