//! The handle that callers hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use glyph_model::checkpoint::CheckpointSettings;
use glyph_model::preprocess::{PatchGrid, RgbImage};
use glyph_model::prompt::{Message, Part};
use glyph_model::{Checkpoint, ModelError};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::error::EngineError;
use crate::events::Events;
use crate::pieces::Advanced;
use crate::plan::{Limits, MemoryPlan};
use crate::prepare::{self, CheckedPage, Page, Prepared, PromptTokens};
use crate::request::Request;
use crate::sequence::Waiting;
use crate::start::serve;
use crate::state::EngineState;
use crate::stats::{EngineStats, Observer};
use crate::steps::to_its_end;
use crate::vision_cache::VisionCache;
use crate::waiting_room::WaitingRoom;

/// How an engine is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineOptions {
    /// What the memory plan is made from.
    pub limits: Limits,
    /// Requests that may wait.
    pub queue: usize,
    /// Answers one request of its own before it is ready, so that the first caller does not wait for what happens
    /// once: kernels, buffers, the vision tower of a checkpoint that was loaded without.
    pub warm_up: bool,
}

/// A loaded model that serves many callers. Clones share it; when the last is gone it finishes what runs and stops.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    commands: Arc<Commands>,
}

/// The callers' end of the channel to the engine's thread.
#[derive(Debug)]
struct Commands(Sender<Command>);

impl Drop for Commands {
    fn drop(&mut self) {
        // Nobody is left who could ask for more.
        let _ = self.0.send(Command::Drain);
    }
}

pub(crate) enum Command {
    /// A request waits.
    Came,
    /// A piece of a prompt has been computed.
    Advanced(Box<Advanced>),
    Drain,
    Stop,
}

/// What the engine's thread and its callers both see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub options: EngineOptions,
    state: watch::Sender<EngineState>,
    pub loaded: OnceLock<Loaded>,
    /// Where requests wait until the thread takes them.
    pub waiting: WaitingRoom,
    pub is_draining: AtomicBool,
    stats: Mutex<EngineStats>,
}

/// What is known once the model is loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub settings: Arc<CheckpointSettings>,
    pub plan: MemoryPlan,
    pub vision_cache: VisionCache,
    /// Longer texts exceed the context in any case.
    pub most_text_bytes: usize,
}

impl Loaded {
    /// Refuses a text by its length alone.
    fn check_text(&self, text_bytes: usize) -> Result<(), EngineError> {
        if text_bytes <= self.most_text_bytes {
            return Ok(());
        }
        Err(EngineError::TextTooLong {
            text_bytes,
            context_tokens: self.plan.context_tokens,
        })
    }

    /// Refuses messages with more text than the context, or with more pages than `most_pages`.
    fn check_chat(
        &self,
        messages: &[Message],
        n_pages: usize,
        most_pages: usize,
    ) -> Result<(), EngineError> {
        if n_pages > most_pages {
            return Err(EngineError::TooManyPages {
                n_pages,
                most_pages,
            });
        }
        let parts = messages.iter().flat_map(|message| &message.content);
        let text_bytes = parts.map(|part| match part {
            Part::Text { text } => text.len(),
            Part::Image => 0,
        });
        self.check_text(text_bytes.sum())
    }
}

impl Shared {
    pub fn new(options: EngineOptions) -> Self {
        Self {
            options,
            state: watch::Sender::new(EngineState::Starting),
            loaded: OnceLock::new(),
            waiting: WaitingRoom::new(options.queue),
            is_draining: AtomicBool::new(false),
            stats: Mutex::new(EngineStats::default()),
        }
    }

    pub fn publish(&self, change: impl FnOnce(&mut EngineStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn set_state(&self, state: EngineState) {
        self.state.send_replace(state);
    }

    /// The engine's thread has come to its end, or broke off: nobody shall wait for it.
    fn end(&self, end: Result<(), String>) {
        let state = EngineState::of_end(end);
        self.set_state(state.clone());
        self.waiting.close(&EngineError::of_end(state));
    }
}

impl Engine {
    /// Starts the engine's thread, which loads the model by `load` (it reports the share that is done) and then
    /// serves. The state tells when it is ready, or why it failed.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        options: EngineOptions,
        load: impl FnOnce(&mut dyn FnMut(f64)) -> Result<Checkpoint, ModelError> + Send + 'static,
        observer: impl Observer,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let shared = Arc::new(Shared::new(options));
        let of_thread = (Arc::clone(&shared), sender.clone());
        std::thread::Builder::new()
            .name("glyph-engine".to_owned())
            .spawn(move || {
                let (shared, sender) = of_thread;
                let commands = (sender, receiver);
                shared.end(to_its_end(|| serve(&shared, load, commands, observer)));
            })?;
        Ok(Self {
            shared,
            commands: Arc::new(Commands(sender)),
        })
    }

    /// How it was set up.
    pub fn options(&self) -> &EngineOptions {
        &self.shared.options
    }

    /// How it stands.
    pub fn state(&self) -> EngineState {
        self.shared.state.borrow().clone()
    }

    /// Waits until the model answers or has failed, or the engine has stopped; returns which.
    pub async fn settled(&self) -> EngineState {
        self.wait_for(|state| !matches!(state, EngineState::Starting | EngineState::Loading { .. }))
            .await
    }

    /// Waits until the engine has stopped.
    pub async fn stopped(&self) {
        self.wait_for(|state| matches!(state, EngineState::Stopped | EngineState::Failed { .. }))
            .await;
    }

    async fn wait_for(&self, is_it: impl FnMut(&EngineState) -> bool) -> EngineState {
        let mut states = self.shared.state.subscribe();
        match states.wait_for(is_it).await {
            Ok(state) => state.clone(),
            Err(_) => EngineState::Stopped,
        }
    }

    /// Prompts, preprocessing and defaults of the model; `None` until it is loaded.
    pub fn settings(&self) -> Option<Arc<CheckpointSettings>> {
        let loaded = self.shared.loaded.get()?;
        Some(Arc::clone(&loaded.settings))
    }

    /// Who gets how much memory; `None` until the model is loaded.
    pub fn plan(&self) -> Option<&MemoryPlan> {
        self.shared.loaded.get().map(|loaded| &loaded.plan)
    }

    /// What it has counted.
    pub fn stats(&self) -> EngineStats {
        let stats = *self
            .shared
            .stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let vision_cache = self.shared.loaded.get();
        EngineStats {
            waiting: self.shared.waiting.len(),
            vision_cache: vision_cache
                .map(|loaded| loaded.vision_cache.stats())
                .unwrap_or_default(),
            ..stats
        }
    }

    /// Holds the size of a page against the model and the memory plan, before anybody decodes or draws it; returns what
    /// it takes.
    ///
    /// # Errors
    /// [`EngineError::Request`] for a shape that the model does not take, [`EngineError::PageTooLarge`], and
    /// [`EngineError::ContextOverflow`] when the pages alone are longer than the context.
    pub fn check_page(
        &self,
        [width_px, height_px]: [usize; 2],
        tokens_before: usize,
    ) -> Result<CheckedPage, EngineError> {
        let loaded = self.loaded()?;
        let preprocessor = &loaded.settings.preprocessor;
        let (resized_px, grid) = prepare::resized([width_px, height_px], preprocessor)?;
        let n_patches = grid.n_patches();
        let plan = &loaded.plan;
        let vision_bytes = plan.footprint.vision_bytes(n_patches);
        if vision_bytes > plan.vision_bytes {
            return Err(EngineError::PageTooLarge {
                width_px,
                height_px,
                vision_bytes,
                planned_vision_bytes: plan.vision_bytes,
            });
        }
        let n_tokens = tokens_before + plan.footprint.vision_tokens(n_patches);
        if n_tokens >= plan.context_tokens {
            return Err(EngineError::ContextOverflow {
                prompt_tokens: n_tokens,
                image_tokens: n_tokens,
                max_new_tokens: 1,
                context_tokens: plan.context_tokens,
            });
        }
        Ok(CheckedPage {
            n_tokens,
            grid,
            resized_pixels: resized_px.map(|side_px| side_px as u64).iter().product(),
        })
    }

    /// Resizes a picture to what the model sees of it, on the caller's thread, for milliseconds.
    ///
    /// # Errors
    /// [`EngineError::Request`] for a shape that the model does not take.
    pub fn prepare_page(&self, image: RgbImage) -> Result<Page, EngineError> {
        let loaded = self.loaded()?;
        Page::new(&loaded.settings.preprocessor, &loaded.vision_cache, image)
    }

    /// Renders the chat template and tokenises, on the caller's thread.
    ///
    /// # Errors
    /// [`EngineError::TooManyPages`], [`EngineError::TextTooLong`], and [`EngineError::Request`] for what the model does not take.
    pub fn prepare_chat(
        &self,
        messages: &[Message],
        pages: Vec<Page>,
    ) -> Result<Prepared, EngineError> {
        let loaded = self.loaded()?;
        loaded.check_chat(messages, pages.len(), self.most_pages())?;
        let grids: Vec<PatchGrid> = pages.iter().map(|page| page.grid).collect();
        let (settings, context_tokens) = (&loaded.settings, loaded.plan.context_tokens);
        let prompt = prepare::chat(settings, context_tokens, messages, &grids)?;
        for page in &pages {
            loaded.vision_cache.look_up(&page.key);
        }
        Ok(Prepared { prompt, pages })
    }

    /// Counts what [`Self::prepare_chat`] would make of pages with these patches. Nothing is looked for in a cache, and a
    /// conversation that exceeds the context is counted too, give or take a few tokens where its text alone does.
    ///
    /// # Errors
    /// Those of [`Self::prepare_chat`]; [`EngineError::TextTooLong`] for a text whose length alone says so.
    pub fn count_chat(
        &self,
        messages: &[Message],
        grids: &[PatchGrid],
    ) -> Result<PromptTokens, EngineError> {
        let loaded = self.loaded()?;
        loaded.check_chat(messages, grids.len(), self.most_pages())?;
        let (settings, context_tokens) = (&loaded.settings, loaded.plan.context_tokens);
        prepare::count(settings, context_tokens, messages, grids)
    }

    fn most_pages(&self) -> usize {
        self.shared.options.limits.max_pages
    }

    /// Tokenises a text to go on with.
    ///
    /// # Errors
    /// [`EngineError::TextTooLong`], [`EngineError::Request`].
    pub fn prepare_text(&self, text: &str) -> Result<Prepared, EngineError> {
        let loaded = self.loaded()?;
        loaded.check_text(text.len())?;
        prepare::text(&loaded.settings, loaded.plan.context_tokens, text)
    }

    /// Tokens that the answer to a prompt may have, at most.
    ///
    /// # Errors
    /// [`EngineError::ContextOverflow`] when the prompt leaves no room for one.
    pub fn most_new_tokens(&self, prepared: &Prepared) -> Result<usize, EngineError> {
        let context_tokens = self.loaded()?.plan.context_tokens;
        let prompt_tokens = prepared.prompt.ids.len();
        match context_tokens.checked_sub(prompt_tokens) {
            None | Some(0) => Err(EngineError::ContextOverflow {
                prompt_tokens,
                image_tokens: prepared.n_image_tokens(),
                max_new_tokens: 1,
                context_tokens,
            }),
            Some(most) => Ok(most),
        }
    }

    /// Sends a request on its way. Where the queue is full, callers with few requests in it come before one with many,
    /// whose newest then fails with [`EngineError::QueueFull`].
    ///
    /// # Errors
    /// Before any work: [`EngineError::NotReady`], [`EngineError::ContextOverflow`], [`EngineError::DoesNotFit`],
    /// [`EngineError::Request`] for parameters out of range, [`EngineError::QueueFull`].
    pub fn submit(&self, request: Request) -> Result<Events, EngineError> {
        let loaded = self.loaded()?;
        let kv_bytes = check(&loaded.plan, &request)?;
        request.generation.sampling.check()?;
        let (events, receiver) = unbounded_channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        self.shared.waiting.enter(Waiting {
            request,
            kv_bytes,
            events,
            cancelled: Arc::clone(&cancelled),
            since: Instant::now(),
        })?;
        // A thread that ends tells those who wait.
        let _ = self.commands.0.send(Command::Came);
        Ok(Events {
            receiver,
            cancelled,
        })
    }

    /// Takes nothing new, finishes what waits and runs, and stops.
    pub fn drain(&self) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
        self.shared.state.send_if_modified(|state| {
            let serves = *state == EngineState::Ready;
            if serves {
                *state = EngineState::Draining;
            }
            serves
        });
        // A thread that has ended needs no telling.
        let _ = self.commands.0.send(Command::Drain);
    }

    /// Ends what waits and runs with [`EngineError::Stopped`], and stops.
    pub fn stop(&self) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
        let _ = self.commands.0.send(Command::Stop);
    }

    fn loaded(&self) -> Result<&Loaded, EngineError> {
        let state = self.state();
        match self.shared.loaded.get() {
            Some(loaded) if state == EngineState::Ready => Ok(loaded),
            _ => Err(EngineError::NotReady(state)),
        }
    }
}

/// Refuses what the plan has no room for; returns the bytes that the request will hold.
fn check(plan: &MemoryPlan, request: &Request) -> Result<u64, EngineError> {
    let prepared = &request.prepared;
    let prompt_tokens = prepared.prompt.ids.len();
    let max_new_tokens = request.generation.max_new_tokens;
    if max_new_tokens == 0 {
        return Err(ModelError::Parameter {
            name: "max_tokens",
            value: "0".to_owned(),
            reason: "must be at least 1",
        }
        .into());
    }
    let n_tokens = prompt_tokens.saturating_add(max_new_tokens);
    if n_tokens > plan.context_tokens {
        return Err(EngineError::ContextOverflow {
            prompt_tokens,
            image_tokens: prepared.n_image_tokens(),
            max_new_tokens,
            context_tokens: plan.context_tokens,
        });
    }
    let kv_bytes = plan.footprint.kv_bytes(n_tokens);
    let vision_bytes = plan.footprint.vision_bytes(prepared.largest_page_patches());
    if kv_bytes > plan.kv_bytes || vision_bytes > plan.vision_bytes {
        return Err(EngineError::DoesNotFit {
            n_tokens,
            kv_bytes,
            vision_bytes,
            planned_kv_bytes: plan.kv_bytes,
            planned_vision_bytes: plan.vision_bytes,
        });
    }
    Ok(kv_bytes)
}
