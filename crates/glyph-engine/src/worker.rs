//! The engine's thread: it alone decides, and waits for the device.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use glyph_model::Checkpoint;
use glyph_model::generate::Answer;
use glyph_model::text::KvCache;

use crate::engine::{Command, Shared};
use crate::error::EngineError;
use crate::plan::MemoryPlan;
use crate::prefix_cache::{PositionKey, PrefixCache};
use crate::prepare::{Page, Prepared};
use crate::queue::FairQueue;
use crate::request::Event;
use crate::sequence::{Sequence, Waiting};
use crate::stats::{Observation, Observer};
use crate::steps::{Advance, Steps, device_error, guarded};
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
            self.turn();
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

    /// One token of every answer, and one page or one chunk of the prompt whose turn it is.
    fn turn(&mut self) {
        let mut prompt = self
            .running
            .iter()
            .position(|sequence| !sequence.is_decoding())
            .map(|place| self.running.remove(place));
        let places: Vec<usize> = (0..self.running.len())
            .filter(|place| self.running[*place].is_decoding())
            .collect();
        let loaded = match &prompt {
            Some(sequence) if sequence.needs_vision() => {
                guarded(|| self.checkpoint.load_vision().map_err(device_error))
            }
            _ => Ok(()),
        };
        let steps = Steps {
            checkpoint: &self.checkpoint,
            footprint: &self.plan.footprint,
            vision_cache: &self.vision_cache,
        };
        let mut rows: Vec<&mut Sequence> = self
            .running
            .iter_mut()
            .filter(|sequence| sequence.is_decoding())
            .collect();
        // A CPU does both at once: neither fills its cores.
        let does_both = steps.n_cores() > 1 && prompt.is_some() && !places.is_empty();
        let start = Instant::now();
        let mut decode = || (steps.decode(&mut rows), start.elapsed().as_secs_f64());
        let advance = || {
            let sequence = prompt.as_mut()?;
            Some(loaded.and_then(|()| guarded(|| steps.advance(sequence))))
        };
        let ((ended, seconds), advanced) = if does_both {
            rayon::join(decode, advance)
        } else {
            (decode(), advance())
        };
        if !places.is_empty() {
            let rows = places.len();
            // Who counts must not end what is counted.
            let _ = self.observe(Observation::DecodeStep { rows, seconds });
        }
        for (place, _) in places
            .into_iter()
            .zip(ended)
            .rev()
            .filter(|(_, ended)| *ended)
        {
            let sequence = self.running.remove(place);
            self.keep_prefix(&sequence);
        }
        if let (Some(sequence), Some(advanced)) = (prompt, advanced) {
            self.settle(sequence, advanced);
        }
    }

    /// Puts a sequence where it belongs after a piece of its prompt.
    fn settle(&mut self, sequence: Sequence, advanced: Result<Advance, EngineError>) {
        let advanced = advanced.and_then(|advance| {
            advance
                .observation
                .map_or(Ok(()), |seen| self.observe(seen))?;
            Ok(advance.has_ended)
        });
        match advanced {
            Ok(has_ended) => {
                if sequence.is_decoding() {
                    self.keep_prefix(&sequence);
                }
                // To the end of the line: the others' prompts come first.
                if !has_ended {
                    self.running.push(sequence);
                }
            }
            Err(error) => sequence.fail(error),
        }
    }

    fn observe(&self, observation: Observation) -> Result<(), EngineError> {
        guarded(|| {
            self.observer.observe(observation);
            Ok(())
        })
    }

    /// Keeps keys and values for prompts that begin alike.
    fn keep_prefix(&mut self, sequence: &Sequence) {
        let len = sequence.cache.len();
        if !sequence.is_consistent() || !self.prefix_cache.takes(len) {
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
