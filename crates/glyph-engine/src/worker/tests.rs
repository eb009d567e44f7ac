//! What the worker does when a step fails half-way. The failure is a real one: a row's keys and values have another
//! shape than the model's, which the backend finds when other rows have written theirs.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use burn::tensor::{DType, Device};
use glyph_model::Checkpoint;
use glyph_model::generate::{Generation, PREFILL_CHUNK, SamplingParams, StopParams};
use glyph_model::text::KvCache;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Worker;
use crate::engine::{Command, EngineOptions, Shared};
use crate::error::EngineError;
use crate::plan::{Footprint, Limits, MemoryPlan};
use crate::prepare;
use crate::request::{Event, Request};
use crate::sequence::Waiting;
use crate::vision_cache::VisionCache;

const TEXTS: [&str; 5] = [
    "The invoice number is 4471 and the delivery date is the third of May.",
    "one two three four five six seven eight nine ten",
    "Anna lives in Oslo. Piet lives in Ghent. Anna has two cats.",
    "8391 2275 1180 9932 6610 4428 0093 1772",
    "fn main() { println!(42); }",
];

/// So many that the first answer still goes on when the last prompt has been read, on threads of their own.
const N_TOKENS: usize = 256;

fn checkpoint() -> Checkpoint {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
    Checkpoint::open(&dir, &Device::flex(), DType::F32, |_| {}).unwrap()
}

fn options() -> EngineOptions {
    EngineOptions {
        limits: Limits {
            max_batch: 8,
            max_pages: 1,
            max_context: None,
            buffer_tokens: None,
            device_bytes: 1 << 30,
            headroom_bytes: 0,
            largest_page_patches: 64,
        },
        queue: 8,
        warm_up: false,
    }
}

fn worker(shared: &Shared) -> Worker<'_, ()> {
    let checkpoint = checkpoint();
    let footprint = Footprint::new(&checkpoint.settings.config, 4);
    let plan = MemoryPlan::new(footprint, options().limits).unwrap();
    let vision_cache = VisionCache::new([0; 32], plan.cache_bytes / 2);
    let commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>) = channel();
    Worker::new(checkpoint, plan, vision_cache, shared, commands, ())
}

fn submit(worker: &Worker<'_, ()>, text: &str) -> UnboundedReceiver<Event> {
    let settings = &worker.steps.checkpoint.settings;
    let prepared = prepare::text(settings, worker.plan.context_tokens, text).unwrap();
    let (events, receiver) = unbounded_channel();
    let waiting = Waiting {
        request: Request {
            prepared,
            generation: Generation {
                sampling: SamplingParams::default(),
                stop: StopParams::default(),
                max_new_tokens: N_TOKENS,
                prefill_chunk: PREFILL_CHUNK,
                keep_special_tokens: false,
            },
            top_logprobs: None,
            caller: text.to_owned(),
        },
        kv_bytes: 1,
        events,
        cancelled: Arc::new(AtomicBool::new(false)),
        since: Instant::now(),
    };
    worker.shared.waiting.enter(waiting).unwrap();
    receiver
}

fn step(worker: &mut Worker<'_, ()>) {
    if !worker.is_idle() {
        assert!(worker.take_commands());
    }
    worker.turn().unwrap();
}

fn finish(worker: &mut Worker<'_, ()>) {
    while !worker.is_idle() {
        step(worker);
    }
}

/// Tokens of an answer, and how it failed if it did.
fn outcome(mut events: UnboundedReceiver<Event>) -> (Vec<u32>, Option<EngineError>) {
    let mut ids = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            Event::Token(token) => ids.push(token.id),
            Event::Failed(error) => return (ids, Some(error)),
            Event::Done(done) => {
                assert_eq!(done.usage.completion_tokens, ids.len());
                return (ids, None);
            }
            _ => {}
        }
    }
    panic!("an answer has no end");
}

fn alone(text: &str) -> Vec<u32> {
    let shared = Shared::new(options());
    let mut worker = worker(&shared);
    let events = submit(&worker, text);
    finish(&mut worker);
    outcome(events).0
}

/// Keys and values of a model whose heads are half as wide.
fn misshapen(worker: &Worker<'_, ()>) -> KvCache {
    let mut config = worker.steps.checkpoint.settings.config.text_config.clone();
    config.num_attention_heads *= 2;
    KvCache::new(&config, 512, DType::F32, &Device::flex())
}

#[test]
fn a_row_that_breaks_a_step_ends_alone_and_the_others_answers_stay_right() {
    let want: Vec<Vec<u32>> = TEXTS.iter().map(|text| alone(text)).collect();
    for guilty in [0, 1, 4] {
        let shared = Shared::new(options());
        let mut worker = worker(&shared);
        let events: Vec<_> = TEXTS.iter().map(|text| submit(&worker, text)).collect();
        while worker.running.len() < TEXTS.len()
            || !worker.running.iter().all(|row| row.answer.ids().len() >= 3)
        {
            assert!(!worker.is_idle(), "an answer ended before the last began");
            step(&mut worker);
        }
        let broken = misshapen(&worker);
        let row = worker
            .running
            .iter_mut()
            .find(|row| row.caller == TEXTS[guilty]);
        row.unwrap().cache = broken;
        finish(&mut worker);
        for (place, events) in events.into_iter().enumerate() {
            let (ids, failed) = outcome(events);
            if place == guilty {
                assert!(
                    matches!(failed, Some(EngineError::Device { .. })),
                    "{failed:?}"
                );
                assert!(ids.len() < N_TOKENS && want[place].starts_with(&ids));
            } else {
                assert!(failed.is_none(), "{failed:?}");
                assert_eq!(
                    ids, want[place],
                    "row {place} beside the broken row {guilty}"
                );
            }
        }
        // What is remembered of all of them, the broken one included, gives the right answers.
        for (text, want) in TEXTS.iter().zip(&want) {
            let hits = worker.prefix_cache.stats().hits;
            let events = submit(&worker, text);
            finish(&mut worker);
            assert_eq!(outcome(events).0, *want, "{text}");
            assert_eq!(worker.prefix_cache.stats().hits, hits + 1);
        }
        assert_eq!(worker.kv_bytes(), 0);
    }
}
