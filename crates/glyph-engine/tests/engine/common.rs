//! glyph-mini, pages for it, and an observer that remembers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use burn::tensor::{DType, Device};
use futures_lite::future::block_on;
use glyph_engine::{
    Engine, EngineError, EngineOptions, EngineState, Event, Events, Limits, Observation, Observer,
    Request,
};
use glyph_model::Checkpoint;
use glyph_model::checkpoint::{CheckpointDir, CheckpointSettings};
use glyph_model::generate::{FinishReason, Generation, PREFILL_CHUNK, SamplingParams, StopParams};
use glyph_model::preprocess::RgbImage;
use glyph_model::prompt::Message;
use glyph_model::quantize::Quantization;
use glyph_model::text::KvPrecision;
use glyph_model::weights::{LoadAs, WeightFiles};
use glyph_render::{FontLibrary, RenderStyle, Renderer};

pub fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini")
}

/// The device that `GLYPH_TEST_DEVICE` names, the CPU where it names none.
pub fn device() -> Device {
    let name = std::env::var("GLYPH_TEST_DEVICE");
    let choice = name.as_deref().unwrap_or("cpu").parse().unwrap();
    glyph_device::open(choice).unwrap().device
}

pub fn load() -> Checkpoint {
    load_as(None, KvPrecision::Full)
}

pub fn load_as(quantization: Option<Quantization>, kv_precision: KvPrecision) -> Checkpoint {
    let load_as = LoadAs {
        dtype: DType::F32,
        quantization,
    };
    let mut checkpoint = Checkpoint::open(&dir(), &device(), load_as, |_| {}).unwrap();
    checkpoint.kv_precision = kv_precision;
    checkpoint
}

pub fn load_text_only() -> Checkpoint {
    let dir = dir();
    let settings = CheckpointSettings::read(&CheckpointDir(&dir)).unwrap();
    let weights = WeightFiles::open(&dir).unwrap();
    settings
        .load_text_only(weights, &device(), DType::F32, |_| {})
        .unwrap()
}

pub fn limits(device_bytes: u64) -> Limits {
    Limits {
        max_batch: 8,
        max_pages: 16,
        max_context: None,
        buffer_tokens: None,
        device_bytes,
        headroom_bytes: 0,
        largest_page_patches: 4096,
    }
}

pub fn options() -> EngineOptions {
    EngineOptions {
        limits: limits(2 << 30),
        queue: 32,
        warm_up: false,
    }
}

/// An engine that is ready, and what it does.
pub fn engine(options: EngineOptions) -> (Engine, Recorder) {
    engine_of(options, load)
}

/// The same of another model.
pub fn engine_of(
    options: EngineOptions,
    load: impl FnOnce() -> Checkpoint + Send + 'static,
) -> (Engine, Recorder) {
    let recorder = Recorder::default();
    let load = |_: &mut dyn FnMut(f64)| Ok(load());
    let engine = Engine::start(options, load, recorder.clone()).unwrap();
    assert_eq!(block_on(engine.settled()), EngineState::Ready);
    (engine, recorder)
}

/// Remembers what it sees.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Observation>>>);

impl Recorder {
    pub fn handle(&self) -> &Arc<Mutex<Vec<Observation>>> {
        &self.0
    }

    pub fn seen(&self) -> Vec<Observation> {
        self.0.lock().unwrap().clone()
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub fn pages_encoded(&self) -> usize {
        let seen = self.seen();
        let pages = seen.iter().map(|seen| match seen {
            Observation::Encoded { pages, .. } => *pages,
            _ => 0,
        });
        pages.sum()
    }

    pub fn widest_step(&self) -> usize {
        let seen = self.seen();
        let rows = seen.iter().map(|seen| match seen {
            Observation::DecodeStep { rows, .. } => *rows,
            _ => 0,
        });
        rows.max().unwrap_or(0)
    }
}

impl Observer for Recorder {
    fn observe(&self, observation: Observation) {
        self.0.lock().unwrap().push(observation);
    }
}

/// The pages of a text as glyph-mini reads them.
pub fn pages(text: &str) -> Vec<RgbImage> {
    let style = std::fs::read_to_string(dir().join("render.json")).unwrap();
    let style = RenderStyle::from_json(&style).unwrap();
    let renderer = Renderer::new(style, FontLibrary::bundled()).unwrap();
    renderer
        .pages(text)
        .map(|page| {
            RgbImage::new(page.width_px as usize, page.height_px as usize, page.rgb).unwrap()
        })
        .collect()
}

pub fn chat(question: &str, n_pages: usize) -> Vec<Message> {
    vec![Message::pages_and_question(n_pages, question)]
}

pub fn request(
    engine: &Engine,
    text: &str,
    question: &str,
    max_new_tokens: usize,
) -> Result<Request, EngineError> {
    let pages = pages(text)
        .into_iter()
        .map(|image| engine.prepare_page(image));
    let pages = pages.collect::<Result<Vec<_>, _>>()?;
    let prepared = engine.prepare_chat(&chat(question, pages.len()), pages)?;
    let settings = engine.settings().unwrap();
    Ok(Request {
        prepared,
        generation: Generation {
            sampling: SamplingParams::from_config(&settings.generation),
            // No token ends an answer: what a test sees must not depend on what the weights have to say.
            stop: StopParams::default(),
            max_new_tokens,
            prefill_chunk: PREFILL_CHUNK,
            keep_special_tokens: false,
        },
        top_logprobs: None,
        caller: text.to_owned(),
    })
}

pub fn ask(
    engine: &Engine,
    text: &str,
    question: &str,
    max_new_tokens: usize,
) -> Result<Events, EngineError> {
    engine.submit(request(engine, text, question, max_new_tokens)?)
}

/// A whole answer.
#[derive(Debug)]
pub struct Asked {
    pub ids: Vec<u32>,
    pub text: String,
    pub cached_tokens: usize,
    pub image_tokens: usize,
    pub prompt_tokens: usize,
    pub prefilled: Option<(usize, usize)>,
    pub finish_reason: FinishReason,
}

/// Waits for the end of an answer and holds its events against each other.
pub fn finish(mut events: Events) -> Asked {
    let (mut ids, mut text, mut prefilled) = (Vec::new(), String::new(), None);
    let mut last_chosen = None;
    loop {
        match block_on(events.next()).expect("an answer ends with Done") {
            Event::Token(token) => {
                // Told together, but not chosen at once.
                assert!(last_chosen.replace(token.chosen) < Some(token.chosen));
                ids.push(token.id);
                text.push_str(&token.text);
            }
            Event::Prefilled { positions, of } => prefilled = Some((positions, of)),
            Event::Failed(error) => panic!("{error}"),
            Event::Done(done) => {
                assert_eq!(done.usage.completion_tokens, ids.len());
                assert!(block_on(events.next()).is_none());
                return Asked {
                    ids,
                    text,
                    cached_tokens: done.usage.cached_tokens,
                    image_tokens: done.usage.prompt_image_tokens,
                    prompt_tokens: done.usage.prompt_tokens(),
                    prefilled,
                    finish_reason: done.finish_reason,
                };
            }
            _ => {}
        }
    }
}
