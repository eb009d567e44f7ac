//! The engine's thread: it alone decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Instant;

use glyph_model::Checkpoint;
use glyph_model::generate::Answer;
use glyph_model::text::KvCache;

use crate::engine::{Command, Shared};
use crate::error::EngineError;
use crate::pieces::{Advanced, PieceThreads};
use crate::plan::MemoryPlan;
use crate::prefix_cache::{PositionKey, PrefixCache};
use crate::prepare::{Page, Prepared};
use crate::queue::FairQueue;
use crate::request::Event;
use crate::sequence::{Farewell, Sequence, Waiting};
use crate::stats::{Observation, Observer};
use crate::steps::{Advance, Steps, device_error, guarded};
use crate::vision_cache::VisionCache;

pub(crate) struct Worker<'a, O> {
    steps: Steps,
    plan: MemoryPlan,
    shared: &'a Shared,
    commands: Receiver<Command>,
    observer: O,
    waiting: FairQueue<Waiting>,
    /// In the order in which they take turns at the prompt.
    running: Vec<Sequence>,
    /// The one whose prompt is being worked on elsewhere; it is not among those that run.
    away: Option<Away>,
    piece_threads: PieceThreads,
    prefix_cache: PrefixCache,
    is_draining: bool,
}

/// What is known of a sequence while a piece of its prompt is being computed.
struct Away {
    caller: String,
    kv_bytes: u64,
    farewell: Farewell,
}

impl<'a, O: Observer> Worker<'a, O> {
    pub fn new(
        checkpoint: Checkpoint,
        plan: MemoryPlan,
        vision_cache: VisionCache,
        shared: &'a Shared,
        (sender, commands): (Sender<Command>, Receiver<Command>),
        observer: O,
    ) -> Self {
        let prefix_cache =
            PrefixCache::new(plan.cache_bytes / 2, plan.footprint.kv_bytes_per_token);
        let steps = Steps {
            checkpoint: Arc::new(checkpoint),
            footprint: plan.footprint.clone(),
            vision_cache,
        };
        Self {
            piece_threads: PieceThreads::new(&steps, sender),
            steps,
            plan,
            shared,
            commands,
            observer,
            waiting: FairQueue::new(),
            running: Vec::new(),
            away: None,
            prefix_cache,
            is_draining: false,
        }
    }

    /// Serves until told to stop. A piece of one prompt is always under way while there are prompts; where it has
    /// threads of its own, tokens of the answers come meanwhile, and elsewhere a token for every answer between two
    /// pieces.
    pub fn run(mut self) {
        loop {
            if !self.take_commands() {
                return self.give_up();
            }
            self.turn();
            if self.is_draining && self.is_idle() {
                return;
            }
        }
    }

    fn turn(&mut self) {
        self.drop_cancelled();
        self.admit();
        self.start_piece();
        self.decode();
        self.publish();
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.away.is_none() && self.waiting.len() == 0
    }

    /// Whether there is nothing to do before the next command.
    fn must_wait(&self) -> bool {
        match self.away {
            Some(_) => !self.running.iter().any(Sequence::is_decoding),
            None => self.is_idle() && !self.is_draining,
        }
    }

    /// Takes what has come, and waits for it where there is nothing else to do. False: stop now.
    fn take_commands(&mut self) -> bool {
        if self.must_wait() {
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
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return true,
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
            Command::Advanced(advanced) => {
                self.away = None;
                self.settle(*advanced);
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
        if let Some(away) = self.away.take() {
            away.farewell.say(EngineError::Stopped);
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
        while self.n_running() < self.plan.max_batch && self.waiting.len() > 0 {
            let mut per_caller: HashMap<String, usize> = HashMap::new();
            let away = self.away.iter().map(|away| &away.caller);
            let running = self.running.iter().map(|sequence| &sequence.caller);
            for caller in running.chain(away) {
                *per_caller.entry(caller.clone()).or_default() += 1;
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

    fn n_running(&self) -> usize {
        self.running.len() + usize::from(self.away.is_some())
    }

    fn kv_bytes(&self) -> u64 {
        let running: u64 = self.running.iter().map(|sequence| sequence.kv_bytes).sum();
        running + self.away.as_ref().map_or(0, |away| away.kv_bytes)
    }

    fn start(&mut self, waiting: Waiting) -> Result<Sequence, EngineError> {
        let settings = &self.steps.checkpoint.settings;
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
        let mut cache = KvCache::of(&self.steps.checkpoint, capacity);
        if let Some((prefix, len)) = self.prefix_cache.longest(&keys) {
            cache.restore(&prefix, len)?;
        }
        Ok(Sequence::new(
            waiting,
            answer,
            cache,
            keys,
            merge_size,
            &self.steps.checkpoint.device,
        ))
    }

    /// The prompt whose turn it is. A page that has begun goes to its end before another begins: between two blocks it
    /// holds memory that is planned once.
    fn next_prompt(&self) -> Option<usize> {
        let has_begun = |sequence: &Sequence| sequence.encoding.is_some();
        let one_has_begun = self.running.iter().any(has_begun);
        self.running.iter().position(|sequence| {
            !sequence.is_decoding()
                && (has_begun(sequence) || !one_has_begun || !sequence.needs_vision())
        })
    }

    /// Puts the next piece of a prompt to work: a block of the vision tower over a page, or a chunk for the decoder.
    fn start_piece(&mut self) {
        if self.away.is_some() {
            return;
        }
        let Some(place) = self.next_prompt() else {
            return;
        };
        let sequence = self.running.remove(place);
        if sequence.needs_vision()
            && let Err(error) = guarded(|| self.load_vision())
        {
            return sequence.fail(error);
        }
        let away = Away {
            caller: sequence.caller.clone(),
            kv_bytes: sequence.kv_bytes,
            farewell: sequence.farewell(),
        };
        match self.piece_threads.start(&self.steps, sequence) {
            None => self.away = Some(away),
            Some(advanced) => self.settle(advanced),
        }
    }

    fn load_vision(&mut self) -> Result<(), EngineError> {
        // Only a piece that is being computed shares the model, and none is.
        match Arc::get_mut(&mut self.steps.checkpoint) {
            Some(checkpoint) => checkpoint.load_vision().map_err(device_error),
            None => Ok(()),
        }
    }

    /// One token of every answer.
    fn decode(&mut self) {
        let places: Vec<usize> = (0..self.running.len())
            .filter(|place| self.running[*place].is_decoding())
            .collect();
        if places.is_empty() {
            return;
        }
        let mut rows: Vec<&mut Sequence> = self
            .running
            .iter_mut()
            .filter(|sequence| sequence.is_decoding())
            .collect();
        let start = Instant::now();
        let ended = self.steps.decode(&mut rows);
        let (rows, seconds) = (places.len(), start.elapsed().as_secs_f64());
        // Who counts must not end what is counted.
        let _ = self.observe(Observation::DecodeStep { rows, seconds });
        let ended = places.into_iter().zip(ended);
        for (place, _) in ended.rev().filter(|(_, ended)| *ended) {
            let sequence = self.running.remove(place);
            self.keep_prefix(&sequence);
        }
    }

    /// Puts a sequence where it belongs after a piece of its prompt.
    fn settle(&mut self, Advanced { sequence, outcome }: Advanced) {
        let outcome = outcome.and_then(
            |Advance {
                 observation,
                 has_ended,
             }| {
                observation.map_or(Ok(()), |seen| self.observe(seen))?;
                Ok(has_ended)
            },
        );
        match outcome {
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
            stats.running = self.n_running();
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

#[cfg(test)]
mod tests;
