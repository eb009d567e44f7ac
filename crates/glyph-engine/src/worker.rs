//! The engine's thread: it alone decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use glyph_model::Checkpoint;
use glyph_model::generate::Answer;
use glyph_model::text::KvCache;

use crate::engine::{Command, Shared};
use crate::error::EngineError;
use crate::pieces::{Advanced, PieceThreads};
use crate::plan::MemoryPlan;
use crate::prefix_cache::{PositionKey, PrefixCache};
use crate::prepare::{Page, PageSource, Prepared};
use crate::request::Event;
use crate::sequence::{Farewell, Sequence, Waiting};
use crate::state::EngineState;
use crate::stats::{Observation, Observer};
use crate::steps::{Advance, Steps, device_error, guarded, to_its_end};
use crate::vision_cache::VisionCache;

/// Tokens that follow each other faster are told together, and those of all answers at one time: a screen shows no more
/// often, and to wake who reads for each of them would cost a good part of what a small model itself takes.
const TOLD_APART: Duration = Duration::from_millis(16);

pub(crate) struct Worker<'a, O> {
    steps: Steps,
    plan: MemoryPlan,
    shared: &'a Shared,
    commands: Receiver<Command>,
    observer: O,
    /// In the order in which they take turns at the prompt.
    running: Vec<Sequence>,
    /// The one whose prompt is being worked on elsewhere; it is not among those that run.
    away: Option<Away>,
    piece_threads: PieceThreads,
    prefix_cache: PrefixCache,
    is_draining: bool,
    /// When tokens were last told.
    told: Instant,
    /// The device has failed a request, and nothing has been computed since that says whether it still does.
    is_device_in_doubt: bool,
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
            running: Vec::new(),
            away: None,
            prefix_cache,
            is_draining: false,
            told: Instant::now(),
            is_device_in_doubt: false,
        }
    }

    /// Serves until told to stop. A piece of one prompt is always under way while there are prompts; where it has
    /// threads of its own, tokens of the answers come meanwhile, and elsewhere a token for every answer between two
    /// pieces.
    ///
    /// # Errors
    /// Why it can serve no longer; those who ran have been told.
    pub fn run(mut self) -> Result<(), String> {
        let end = to_its_end(|| self.serve());
        self.give_up(&EngineError::of_end(EngineState::of_end(end.clone())));
        end
    }

    fn serve(&mut self) -> Result<(), String> {
        loop {
            if !self.take_commands() {
                return Ok(());
            }
            self.turn()?;
            if self.is_draining && self.is_idle() {
                return Ok(());
            }
        }
    }

    fn turn(&mut self) -> Result<(), String> {
        self.check_device()?;
        self.drop_cancelled();
        self.admit();
        self.start_piece();
        self.decode();
        self.publish();
        Ok(())
    }

    /// A device that has failed a request is looked at before the next. One that computes nothing any more would fail
    /// them all, and only a new process may get it back.
    fn check_device(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.is_device_in_doubt) {
            return Ok(());
        }
        self.steps.probe().map_err(|reason| {
            format!(
                "the model can be run no longer: {reason}. See to the device's driver and memory, and start the server \
                 again"
            )
        })
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.away.is_none() && self.shared.waiting.len() == 0
    }

    /// Whether there is nothing to do before the next command.
    fn must_wait(&self) -> bool {
        match self.away {
            Some(_) => !self.running.iter().any(Sequence::is_decoding),
            None => self.is_idle() && !self.is_draining && !self.is_device_in_doubt,
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
            // It is looked for in each turn.
            Command::Came => {}
            Command::Advanced(advanced) => {
                self.away = None;
                self.settle(*advanced);
            }
            Command::Drain => self.is_draining = true,
            Command::Stop => return false,
        }
        true
    }

    /// Ends all that runs.
    fn give_up(mut self, last_word: &EngineError) {
        for sequence in &mut self.running {
            sequence.fail(last_word.clone());
        }
        if let Some(away) = self.away.take() {
            away.farewell.say(last_word.clone());
        }
        self.running.clear();
        self.publish();
    }

    fn drop_cancelled(&mut self) {
        self.shared.waiting.drop_cancelled();
        self.running.retain(|sequence| !sequence.is_cancelled());
    }

    /// Starts requests while places and memory are free.
    fn admit(&mut self) {
        let shared = self.shared;
        while self.n_running() < self.plan.max_batch && shared.waiting.len() > 0 {
            let mut per_caller: HashMap<String, usize> = HashMap::new();
            let away = self.away.iter().map(|away| &away.caller);
            let running = self.running.iter().map(|sequence| &sequence.caller);
            for caller in running.chain(away) {
                *per_caller.entry(caller.clone()).or_default() += 1;
            }
            let free_bytes = self.plan.kv_bytes.saturating_sub(self.kv_bytes());
            let has_room = |waiting: &Waiting| waiting.kv_bytes <= free_bytes;
            let next = shared.waiting.pop_if(&per_caller, has_room);
            let Some(waiting) = next else { return };
            let events = waiting.events.clone();
            self.tell_all();
            match guarded(|| self.start(waiting)) {
                Ok(sequence) => self.running.push(sequence),
                Err(error) => {
                    self.doubt_device(&error);
                    let _ = events.send(Event::Failed(error));
                }
            }
        }
    }

    /// Work in line, of which nobody knows how long it takes, does not hold back tokens that are chosen.
    fn tell_all(&mut self) {
        self.running.iter_mut().for_each(Sequence::tell_all);
        self.told = Instant::now();
    }

    fn n_running(&self) -> usize {
        self.running.len() + usize::from(self.away.is_some())
    }

    fn kv_bytes(&self) -> u64 {
        let running: u64 = self.running.iter().map(|sequence| sequence.kv_bytes).sum();
        running + self.away.as_ref().map_or(0, |away| away.kv_bytes)
    }

    fn start(&mut self, mut waiting: Waiting) -> Result<Sequence, EngineError> {
        for page in &mut waiting.request.prepared.pages {
            if let Some(features) = self.steps.vision_cache.peek(&page.key) {
                page.source = PageSource::Features(features);
            }
        }
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
        let mut cache = KvCache::of(&self.steps.checkpoint, capacity).map_err(device_error)?;
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
        if self.piece_threads.are_in_line() || !self.steps.checkpoint.has_vision() {
            self.tell_all();
        }
        let sequence = self.running.remove(place);
        if sequence.needs_vision()
            && let Err(error) = guarded(|| self.load_vision())
        {
            return self.fail(sequence, error);
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
        let outcomes = self.steps.decode(&mut rows);
        let (rows, seconds) = (places.len(), start.elapsed().as_secs_f64());
        // Who counts must not end what is counted.
        let _ = self.observe(Observation::DecodeStep { rows, seconds });
        for (place, outcome) in places.into_iter().zip(outcomes).rev() {
            match outcome {
                Ok(false) => {}
                Ok(true) => {
                    let sequence = self.running.remove(place);
                    self.keep_prefix(&sequence);
                }
                Err(error) => {
                    let sequence = self.running.remove(place);
                    self.fail(sequence, error);
                }
            }
        }
        if self.told.elapsed() >= TOLD_APART {
            self.tell_all();
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
            Err(error) => self.fail(sequence, error),
        }
    }

    /// Ends a request that failed; what it held is free then.
    fn fail(&mut self, mut sequence: Sequence, error: EngineError) {
        self.doubt_device(&error);
        sequence.fail(error);
    }

    fn doubt_device(&mut self, error: &EngineError) {
        self.is_device_in_doubt |= matches!(error, EngineError::Device { .. });
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
        if self.prefix_cache.holds(&keys) {
            return;
        }
        self.tell_all();
        let copy = || guarded(|| Ok(sequence.cache.prefix(len)));
        // The request has what it needs; what is not remembered is computed again.
        if let Err(error) = self.prefix_cache.insert(keys, copy) {
            self.doubt_device(&error);
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
