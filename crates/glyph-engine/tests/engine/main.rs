//! The engine with the real glyph-mini on the CPU.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken test must stop"
)]

mod common;
mod on_device;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{
    Asked, Recorder, ask, chat, dir, engine, engine_of, finish, limits, load, load_as, options,
    pages,
};
use futures_lite::future::block_on;
use glyph_engine::{
    Engine, EngineError, EngineOptions, EngineState, Event, Events, Observation, Observer,
};
use glyph_model::generate::{FinishReason, Generation, PREFILL_CHUNK, generate};
use glyph_model::preprocess::RgbImage;
use glyph_model::quantize::Quantization;
use glyph_model::text::KvPrecision;
use glyph_model::{Checkpoint, ModelError};

const TEXTS: [&str; 5] = [
    "The invoice number is 4471.\nThe delivery date is 3 May.",
    "one two three four five six seven",
    "fn main() {\n    println!(\"42\");\n}",
    "Anna lives in Oslo. Piet lives in Ghent.\nAnna has two cats.",
    "8391 2275 1180 9932\n6610 4428 0093 1772",
];

#[test]
fn every_answer_is_what_the_model_gives_alone_whoever_shares_the_batch() {
    let kinds = [
        (None, KvPrecision::Full),
        (None, KvPrecision::F16),
        (None, KvPrecision::Q8),
        (Some(Quantization::Q8), KvPrecision::Full),
        (Some(Quantization::Q4), KvPrecision::Q8),
    ];
    for (quantization, kv_precision) in kinds {
        answers_are_what_the_model_gives_alone(move || load_as(quantization, kv_precision));
    }
}

fn answers_are_what_the_model_gives_alone(load: impl Fn() -> Checkpoint + Send + 'static) {
    let checkpoint = load();
    let alone: Vec<Vec<u32>> = TEXTS
        .iter()
        .map(|text| {
            let images = checkpoint.settings.preprocess(&pages(text)).unwrap();
            let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
            let prompt = checkpoint
                .settings
                .encoder
                .encode(&chat("Read the page.", grids.len()), &grids)
                .unwrap();
            let mut generation = Generation::from_checkpoint(&checkpoint);
            generation.max_new_tokens = 60;
            generation.stop.stop_ids.clear();
            let generated = generate(&checkpoint, &prompt, &images, &generation, |_| true);
            block_on(generated).unwrap().ids
        })
        .collect();

    let (engine, recorder) = engine_of(options(), load);
    for _ in 0..2 {
        let running: Vec<_> = TEXTS
            .iter()
            .map(|text| ask(&engine, text, "Read the page.", 60).unwrap())
            .collect();
        let together: Vec<Vec<u32>> = running
            .into_iter()
            .map(|events| finish(events).ids)
            .collect();
        assert_eq!(together, alone);
    }
    assert!(recorder.widest_step() > 2, "{}", recorder.widest_step());
}

#[test]
fn an_answer_does_not_depend_on_how_its_prompt_is_cut() {
    let checkpoint = load();
    let settings = &checkpoint.settings;
    let images = settings.preprocess(&pages(&TEXTS.repeat(3).join("\n")));
    let images = images.unwrap();
    assert!(images.len() > 2, "{}", images.len());
    let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
    let messages = chat("Read the page.", grids.len());
    let prompt = settings.encoder.encode(&messages, &grids).unwrap();
    let answer = |prefill_chunk: usize| {
        let mut generation = Generation::from_checkpoint(&checkpoint);
        generation.max_new_tokens = 30;
        generation.stop.stop_ids.clear();
        generation.prefill_chunk = prefill_chunk;
        block_on(generate(&checkpoint, &prompt, &images, &generation, |_| {
            true
        }))
        .unwrap()
        .ids
    };
    let whole = answer(prompt.ids.len());
    // Within pages, just over their ends, and with some of them in one.
    for chunk in [13, 81, PREFILL_CHUNK] {
        assert_eq!(answer(chunk), whole, "{chunk}");
    }
}

#[test]
fn a_page_passes_the_vision_tower_once_and_a_changed_page_again() {
    let (engine, recorder) = engine(options());
    let asked = |text: &str| finish(ask(&engine, text, "Read the page.", 30).unwrap());
    let first = asked(TEXTS[0]);
    assert_eq!(recorder.pages_encoded(), 1);
    let again = asked(TEXTS[0]);
    assert_eq!(recorder.pages_encoded(), 1);
    assert_eq!(first.ids, again.ids);
    assert!(again.cached_tokens > 0);

    // One digit is another: neither features nor keys and values of the first page may answer.
    let changed_text = TEXTS[0].replace("4471", "4472");
    let changed = asked(&changed_text);
    assert_eq!(recorder.pages_encoded(), 2);
    assert!(changed.cached_tokens < 16, "{}", changed.cached_tokens);
    let (fresh, _) = common::engine(options());
    let want = finish(ask(&fresh, &changed_text, "Read the page.", 30).unwrap());
    assert_eq!(changed.ids, want.ids);
    let stats = engine.stats();
    assert_eq!((stats.vision_cache.hits, stats.vision_cache.misses), (1, 2));
    assert_eq!(stats.vision_cache.entries, 2);
}

#[test]
fn a_second_question_about_the_same_page_computes_only_what_is_new() {
    let (engine, _) = engine(options());
    let first = finish(ask(&engine, TEXTS[3], "Read the page.", 20).unwrap());
    assert_eq!(first.cached_tokens, 0);
    let second = finish(ask(&engine, TEXTS[3], "Where does Anna live?", 20).unwrap());
    let (fresh, _) = common::engine(options());
    let want = finish(ask(&fresh, TEXTS[3], "Where does Anna live?", 20).unwrap());
    assert_eq!(second.ids, want.ids);
    // The page's tokens and the template before it are shared, the question is not.
    assert!(second.cached_tokens >= second.image_tokens, "{second:?}");
    assert!(second.cached_tokens < second.prompt_tokens);
}

#[test]
fn caches_without_room_change_nothing_but_the_work() {
    let mut small = options();
    // Room for one short request and nothing else.
    let plan = engine(options()).0.plan().unwrap().clone();
    small.limits.device_bytes = plan.footprint.weight_bytes
        + plan.vision_bytes
        + plan.footprint.decoder_bytes(plan.max_batch, 700)
        + plan.footprint.request_bytes(700);
    small.limits.headroom_bytes = 0;
    let (tight, recorder) = engine(small);
    let (roomy, _) = engine(options());
    for text in [TEXTS[0], TEXTS[1], TEXTS[0]] {
        let a = finish(ask(&tight, text, "Read the page.", 20).unwrap());
        let b = finish(ask(&roomy, text, "Read the page.", 20).unwrap());
        assert_eq!(a.ids, b.ids);
    }
    assert!(recorder.pages_encoded() >= 2);
    let stats = tight.stats();
    assert!(stats.prefix_cache.bytes <= stats.prefix_cache.most_bytes);
    assert!(stats.vision_cache.bytes <= stats.vision_cache.most_bytes);
}

#[test]
fn a_request_that_waits_keeps_nothing_of_a_page_on_the_device() {
    let probe = engine(options()).0;
    let request =
        |engine: &Engine, text: &str| common::request(engine, text, "Read the page.", 5).unwrap();
    let sizes = [TEXTS[0], TEXTS[1]].map(|text| request(&probe, text).prepared.n_image_tokens());
    let page_tokens = sizes.into_iter().max().unwrap();
    // Caches with room for one page's features, and for no prompt.
    let footprint = probe.plan().unwrap().footprint.clone();
    let page_bytes = footprint.feature_bytes(page_tokens);
    assert!(page_bytes < footprint.kv_bytes(sizes[0].min(sizes[1])));
    let mut small = options();
    let context_tokens = 700;
    small.limits.max_batch = 1;
    small.limits.max_context = Some(context_tokens);
    small.limits.device_bytes = footprint.weight_bytes
        + footprint.vision_bytes(small.limits.largest_page_patches)
        + footprint.decoder_bytes(small.limits.max_batch, context_tokens)
        + footprint.request_bytes(context_tokens)
        + 2 * page_bytes;
    let (engine, recorder) = engine(small);
    assert_eq!(engine.plan().unwrap().cache_bytes, 2 * page_bytes);

    let first = finish(ask(&engine, TEXTS[0], "Read the page.", 5).unwrap());
    let waits = request(&engine, TEXTS[0]);
    let of_cache = engine.stats().vision_cache;
    assert_eq!((of_cache.hits, of_cache.entries), (1, 1));
    // Another page takes the room meanwhile: the features of the first are free, and are made again.
    finish(ask(&engine, TEXTS[1], "Read the page.", 5).unwrap());
    assert_eq!(engine.stats().vision_cache.evictions, 1);
    assert_eq!(recorder.pages_encoded(), 2);
    let again = finish(engine.submit(waits).unwrap());
    assert_eq!(recorder.pages_encoded(), 3);
    assert_eq!((again.ids, again.cached_tokens), (first.ids, 0));
}

/// A request whose answer goes on for a long time; its first token has come.
fn running(engine: &Engine, text: &str) -> Events {
    let mut events = ask(engine, text, "Read the page.", 4000).unwrap();
    while !matches!(block_on(events.next()).unwrap(), Event::Token(_)) {}
    events
}

#[test]
fn a_long_prompt_does_not_hold_up_the_tokens_of_others() {
    let (engine, recorder) = engine(options());
    let long: String = (0..64)
        .map(|n| format!("line {n} of a long text\n"))
        .collect();
    let short = running(&engine, TEXTS[1]);
    recorder.clear();
    finish(ask(&engine, &long, "Read the pages.", 1).unwrap());
    let seen = recorder.seen();
    drop(short);
    let is_prompt_work = |seen: &Observation| !matches!(seen, Observation::DecodeStep { .. });
    assert!(seen.iter().filter(|seen| is_prompt_work(seen)).count() > 8);
    // Between any two pieces of the prompt the other answer goes on.
    let longest = seen
        .chunk_by(|a, b| is_prompt_work(a) && is_prompt_work(b))
        .filter(|pieces| is_prompt_work(&pieces[0]))
        .map(<[_]>::len)
        .max();
    assert_eq!(longest, Some(1), "{seen:?}");
}

#[test]
fn tokens_of_others_keep_coming_while_a_large_page_is_encoded() {
    let mut large = options();
    large.limits.largest_page_patches = 4096;
    let (engine, recorder) = engine(large);
    // 64×64 patches: attention over all of them is most of a second's work.
    let side_px = 64 * 14;
    let noise = (0..side_px * side_px * 3).map(|n| (n * 7919 % 251) as u8);
    let page = RgbImage::new(side_px, side_px, noise.collect()).unwrap();
    let page = engine.prepare_page(page).unwrap();
    let prepared = engine
        .prepare_chat(&chat("What is it?", 1), vec![page])
        .unwrap();
    let mut request = common::request(&engine, TEXTS[2], "?", 1).unwrap();
    request.prepared = prepared;

    let mut short = running(&engine, TEXTS[1]);
    let mut events = engine.submit(request).unwrap();
    while !matches!(block_on(events.next()).unwrap(), Event::Started { .. }) {}
    recorder.clear();
    let start = Instant::now();
    while !matches!(block_on(events.next()).unwrap(), Event::Encoded { .. }) {}
    let encoding = start.elapsed();
    let seen = recorder.seen();
    let steps = seen
        .iter()
        .filter(|seen| matches!(seen, Observation::DecodeStep { .. }));
    // A step takes a millisecond or two alone; with the cores shared it must still be far more than one a block.
    let n_steps = steps.count();
    println!("{n_steps} tokens of another answer in {encoding:?}");
    assert!(n_steps > 10, "{n_steps} tokens in {encoding:?}");
    assert!(matches!(block_on(short.next()).unwrap(), Event::Token(_)));
}

#[test]
fn pages_of_several_requests_pass_the_tower_one_after_the_other() {
    let (engine, recorder) = engine(options());
    let short = running(&engine, TEXTS[1]);
    recorder.clear();
    let pages: Vec<_> = ["one page", "another page", "a third page"]
        .iter()
        .map(|text| ask(&engine, text, "Read the page.", 3).unwrap())
        .collect();
    let together: Vec<_> = pages.into_iter().map(|events| finish(events).ids).collect();
    drop(short);
    assert_eq!(recorder.pages_encoded(), 3);
    let (fresh, _) = common::engine(options());
    for (text, ids) in ["one page", "another page", "a third page"]
        .iter()
        .zip(together)
    {
        let alone = finish(ask(&fresh, text, "Read the page.", 3).unwrap());
        assert_eq!(alone.ids, ids, "{text}");
    }
}

#[test]
fn a_page_is_refused_by_its_size_alone() {
    let mut small = options();
    small.limits.largest_page_patches = 400;
    let (engine, _) = engine(small);
    // 20×20 patches are what is planned for; 28 px more are not.
    let checked = engine.check_page([280, 280], 5).unwrap();
    assert_eq!((checked.n_tokens, checked.resized_pixels), (105, 280 * 280));
    // A narrow page is enlarged until a window fits its width.
    let checked = engine.check_page([2, 100], 0).unwrap();
    assert_eq!((checked.n_tokens, checked.resized_pixels), (50, 28 * 1400));
    let error = engine.check_page([308, 280], 0).unwrap_err();
    let EngineError::PageTooLarge {
        width_px: 308,
        vision_bytes,
        planned_vision_bytes,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(vision_bytes > planned_vision_bytes);
    let context_tokens = engine.plan().unwrap().context_tokens;
    let error = engine
        .check_page([280, 280], context_tokens - 100)
        .unwrap_err();
    assert!(
        matches!(error, EngineError::ContextOverflow { .. }),
        "{error}"
    );
    let error = engine.check_page([20_000, 1], 0).unwrap_err();
    assert!(error.to_string().contains("aspect ratio"), "{error}");
}

#[test]
fn what_cannot_run_is_refused_before_any_work_with_the_figures() {
    let mut few = options();
    few.limits.max_pages = 2;
    few.limits.max_context = Some(600);
    let (engine, recorder) = engine(few);
    recorder.clear();
    let lines: String = "a line\n".repeat(24);
    let error = ask(&engine, &lines, "Read.", 5).unwrap_err();
    assert!(
        matches!(
            error,
            EngineError::TooManyPages {
                n_pages: 4,
                most_pages: 2
            }
        ),
        "{error}"
    );
    let error = ask(&engine, TEXTS[0], "Read.", 600).unwrap_err();
    let EngineError::ContextOverflow {
        context_tokens: 600,
        max_new_tokens: 600,
        image_tokens,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(image_tokens > 0);
    let mut request = common::request(&engine, TEXTS[0], "Read.", 5).unwrap();
    request.generation.sampling.top_p = 2.0;
    let error = engine.submit(request).unwrap_err();
    assert!(error.to_string().contains("top_p is 2"), "{error}");
    assert!(recorder.seen().is_empty());
    // A text that cannot fit is not even tokenised.
    let text = "words ".repeat(100_000);
    let error = engine.prepare_text(&text).unwrap_err();
    assert!(
        matches!(
            error,
            EngineError::TextTooLong {
                text_bytes: 600_000,
                context_tokens: 600,
                ..
            }
        ),
        "{error}"
    );
    let error = engine
        .prepare_chat(&common::chat(&text, 0), Vec::new())
        .unwrap_err();
    assert!(matches!(error, EngineError::TextTooLong { .. }), "{error}");
    // A page larger than planned for.
    let mut request = options();
    request.limits.largest_page_patches = 4;
    let (small, _) = common::engine(request);
    let error = ask(&small, TEXTS[0], "Read.", 5).unwrap_err();
    assert!(matches!(error, EngineError::DoesNotFit { .. }), "{error}");
}

#[test]
fn a_text_is_known_to_be_too_long_before_it_is_tokenised_whole() {
    let (engine, _) = engine(options());
    let context_tokens = engine.plan().unwrap().context_tokens;
    let text = "words ".repeat(20_000);
    // Were all its tokens as long as the longest, it would fit.
    let settings = engine.settings().unwrap();
    let longest_bytes = settings.encoder.tokenizer.longest_token_bytes();
    assert!(text.len() <= context_tokens * longest_bytes);
    let messages = chat(&text, 0);
    for error in [
        engine.prepare_text(&text).unwrap_err(),
        engine.prepare_chat(&messages, Vec::new()).unwrap_err(),
    ] {
        assert!(matches!(error, EngineError::TextTooLong { .. }), "{error}");
    }
    // Who only counts is told how long it is.
    let tokens = engine.count_chat(&messages, &[]).unwrap();
    assert!(tokens.text > text.len(), "{tokens:?}");
}

#[test]
fn counting_leaves_the_cache_as_it_was() {
    let (engine, _) = engine(options());
    let of = |text: &str| {
        let sizes = pages(text);
        let sizes = sizes.iter().map(|page| [page.width_px, page.height_px]);
        let checked = sizes.map(|size_px| engine.check_page(size_px, 0).unwrap().grid);
        let grids: Vec<_> = checked.collect();
        engine.count_chat(&chat("Read the page.", grids.len()), &grids)
    };
    let counted = of(TEXTS[0]).unwrap();
    assert_eq!(engine.stats().vision_cache.misses, 0);
    let asked = finish(ask(&engine, TEXTS[0], "Read the page.", 1).unwrap());
    assert_eq!(counted.text + counted.image, asked.prompt_tokens);
    assert_eq!(counted.image, asked.image_tokens);
    assert_eq!(of(TEXTS[0]).unwrap(), counted);
    let stats = engine.stats().vision_cache;
    assert_eq!((stats.hits, stats.misses), (0, 1));
}

#[test]
fn a_page_that_waits_keeps_the_pixels_that_the_model_sees_and_no_more() {
    let (engine, _) = engine(options());
    // As it is, made smaller, and enlarged.
    for [width_px, height_px] in [[280, 280], [290, 292], [2, 100]] {
        let rgb = vec![7; width_px * height_px * 3];
        let image = RgbImage::new(width_px, height_px, rgb).unwrap();
        let page = engine.prepare_page(image).unwrap();
        let checked = engine.check_page([width_px, height_px], 0).unwrap();
        assert_eq!(page.n_bytes() as u64, 3 * checked.resized_pixels);
    }
}

#[test]
fn a_full_queue_says_when_to_come_again_and_takes_the_next_when_it_has_room() {
    let mut narrow = options();
    narrow.limits.max_batch = 1;
    narrow.queue = 2;
    let (engine, _) = engine(narrow);
    let mut first = ask(&engine, TEXTS[0], "Read the page.", 3000).unwrap();
    while !matches!(block_on(first.next()).unwrap(), Event::Token(_)) {}
    let waiting: Vec<_> = (0..2)
        .map(|_| ask(&engine, TEXTS[1], "Read the page.", 5).unwrap())
        .collect();
    let error = ask(&engine, TEXTS[1], "Read the page.", 5).unwrap_err();
    let EngineError::QueueFull {
        waiting: 2,
        retry_after,
    } = error
    else {
        panic!("{error}");
    };
    assert!((1..=60).contains(&retry_after.as_secs()));
    drop(first);
    let lengths: Vec<usize> = waiting
        .into_iter()
        .map(|events| finish(events).ids.len())
        .collect();
    assert_eq!(lengths, [5, 5]);
    assert_eq!(
        finish(ask(&engine, TEXTS[2], "Read the page.", 5).unwrap())
            .ids
            .len(),
        5
    );
}

#[test]
fn a_caller_with_many_waiting_makes_room_for_one_with_few() {
    let mut narrow = options();
    narrow.limits.max_batch = 1;
    narrow.queue = 4;
    let (engine, _) = engine(narrow);
    let first = running(&engine, TEXTS[0]);
    let ask = |text: &str| ask(&engine, text, "Read the page.", 5);
    let mut many: Vec<_> = (0..4).map(|_| ask(TEXTS[1]).unwrap()).collect();
    let few = ask(TEXTS[2]).unwrap();
    // The newest of the many is told to come again.
    let newest = last_event(many.pop().unwrap());
    assert!(
        matches!(
            newest,
            Some(Event::Failed(EngineError::QueueFull { waiting: 4, .. }))
        ),
        "{newest:?}"
    );
    assert_eq!(engine.stats().waiting, 4);
    // Who has most finds the queue full.
    let error = ask(TEXTS[1]).unwrap_err();
    assert!(
        matches!(error, EngineError::QueueFull { waiting: 4, .. }),
        "{error}"
    );
    // Who has gone away leaves a place, and nobody has to make one.
    drop(many.pop());
    let late = ask(TEXTS[1]).unwrap();
    assert_eq!(engine.stats().waiting, 4);
    drop(first);
    for events in many.into_iter().chain([few, late]) {
        assert_eq!(finish(events).ids.len(), 5);
    }
}

#[test]
fn who_goes_away_frees_the_place() {
    let (engine, recorder) = engine(options());
    let mut events = ask(&engine, TEXTS[0], "Read the page.", 3000).unwrap();
    while !matches!(block_on(events.next()).unwrap(), Event::Token(_)) {}
    assert_eq!(engine.stats().running, 1);
    assert!(engine.stats().kv_bytes > 0);
    drop(events);
    recorder.clear();
    let since = Instant::now();
    while engine.stats().running > 0 {
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "the place is still taken"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(engine.stats().kv_bytes, 0);
    // The step that was under way, and none behind it.
    assert!(recorder.seen().len() <= 1, "{:?}", recorder.seen());
}

#[test]
fn draining_finishes_what_runs_and_takes_nothing_new() {
    let (engine, _) = engine(options());
    let running: Vec<_> = TEXTS
        .iter()
        .map(|text| ask(&engine, text, "Read the page.", 50).unwrap())
        .collect();
    engine.drain();
    let error = ask(&engine, TEXTS[0], "Read the page.", 5).unwrap_err();
    assert!(
        matches!(error, EngineError::NotReady(EngineState::Draining)),
        "{error}"
    );
    for events in running {
        assert!(!finish(events).ids.is_empty());
    }
    block_on(engine.stopped());
    assert_eq!(engine.state(), EngineState::Stopped);
}

#[test]
fn stopping_tells_those_who_wait() {
    let (engine, _) = engine(options());
    let events = ask(&engine, TEXTS[0], "Read the page.", 3000).unwrap();
    engine.stop();
    let last = last_event(events);
    assert!(
        matches!(last, Some(Event::Failed(EngineError::Stopped))),
        "{last:?}"
    );
}

fn last_event(mut events: Events) -> Option<Event> {
    let mut last = None;
    while let Some(event) = block_on(events.next()) {
        last = Some(event);
    }
    last
}

fn is_failed(error: &EngineError) -> bool {
    matches!(error, EngineError::NotReady(EngineState::Failed { .. }))
}

#[test]
fn loading_that_breaks_off_is_a_failure_and_nobody_waits_for_it() {
    fn breaks_off(_: &mut dyn FnMut(f64)) -> Result<Checkpoint, ModelError> {
        std::panic::resume_unwind(Box::new("no such kernel".to_owned()))
    }
    let engine = Engine::start(options(), breaks_off, ()).unwrap();
    let EngineState::Failed { reason } = block_on(engine.settled()) else {
        panic!("{:?}", engine.state());
    };
    assert!(reason.contains("no such kernel"), "{reason}");
    block_on(engine.stopped());
    let error = ask(&engine, TEXTS[0], "Read.", 1).unwrap_err();
    assert!(is_failed(&error), "{error}");
}

/// glyph-mini without its last layer: the keys and values of requests are made for one more, so that no step succeeds.
fn load_unusable(_: &mut dyn FnMut(f64)) -> Result<Checkpoint, ModelError> {
    let mut checkpoint = load();
    checkpoint.model.model.language_model.layers.pop();
    Ok(checkpoint)
}

#[test]
fn a_model_that_can_be_run_no_longer_ends_the_engine() {
    let mut single = options();
    single.limits.max_batch = 1;
    let engine = Engine::start(single, load_unusable, ()).unwrap();
    assert_eq!(block_on(engine.settled()), EngineState::Ready);
    let requests = [TEXTS[0], TEXTS[1]]
        .map(|text| common::request(&engine, text, "Read the page.", 5).unwrap());
    let [first, second] = requests.map(|request| engine.submit(request));
    let failed = last_event(first.unwrap());
    assert!(
        matches!(failed, Some(Event::Failed(EngineError::Device { .. }))),
        "{failed:?}"
    );
    // The other one did not have its turn; it is not tried in vain.
    let refused = match second {
        Err(error) => error,
        Ok(events) => match last_event(events) {
            Some(Event::Failed(error)) => error,
            other => panic!("{other:?}"),
        },
    };
    assert!(is_failed(&refused), "{refused}");
    block_on(engine.stopped());
    let EngineState::Failed { reason } = engine.state() else {
        panic!("{:?}", engine.state());
    };
    assert!(reason.contains("can be run no longer"), "{reason}");
    let error = ask(&engine, TEXTS[0], "Read.", 1).unwrap_err();
    assert!(is_failed(&error), "{error}");
}

#[test]
fn a_model_that_does_not_load_or_fit_says_why() {
    let missing = dir().join("nowhere");
    let open = move |_: &mut dyn FnMut(f64)| {
        Checkpoint::open(
            &missing,
            &common::device(),
            burn::tensor::DType::F32,
            |_| {},
        )
    };
    let engine = Engine::start(options(), open, ()).unwrap();
    let EngineState::Failed { reason } = block_on(engine.settled()) else {
        panic!("{:?}", engine.state());
    };
    assert!(reason.contains("nowhere"), "{reason}");

    let mut tiny = options();
    tiny.limits = limits(1 << 20);
    let engine = Engine::start(tiny, |_: &mut dyn FnMut(f64)| Ok(load()), ()).unwrap();
    let EngineState::Failed { reason } = block_on(engine.settled()) else {
        panic!("{:?}", engine.state());
    };
    assert!(reason.contains("1.0 MiB are free"), "{reason}");
    let error = ask(&engine, TEXTS[0], "Read.", 1).unwrap_err();
    assert!(is_failed(&error), "{error}");
}

/// Breaks off the first piece of work of its kind, as a failed allocation on a device does.
struct Breaks {
    recorder: Recorder,
    at: fn(&Observation) -> bool,
    done: AtomicBool,
}

impl Observer for Breaks {
    fn observe(&self, observation: Observation) {
        self.recorder.observe(observation);
        if (self.at)(&observation) && !self.done.swap(true, Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("out of memory".to_owned()));
        }
    }
}

#[test]
fn work_that_breaks_off_ends_its_request_alone() {
    let places: [fn(&Observation) -> bool; 2] = [
        |seen| matches!(seen, Observation::Encoded { .. }),
        |seen| matches!(seen, Observation::Prefilled { .. }),
    ];
    for at in places {
        let observer = Breaks {
            recorder: Recorder::default(),
            at,
            done: AtomicBool::new(false),
        };
        let engine =
            Engine::start(options(), |_: &mut dyn FnMut(f64)| Ok(load()), observer).unwrap();
        assert_eq!(block_on(engine.settled()), EngineState::Ready);
        let broken = ask(&engine, TEXTS[0], "Read the page.", 10).unwrap();
        let good = ask(&engine, TEXTS[1], "Read the page.", 10).unwrap();
        let last = last_event(broken);
        let Some(Event::Failed(EngineError::Device { reason })) = last else {
            panic!("{last:?}");
        };
        assert_eq!(reason, "out of memory");
        assert_eq!(finish(good).ids.len(), 10);
        let again = finish(ask(&engine, TEXTS[0], "Read the page.", 10).unwrap());
        let (fresh, _) = common::engine(options());
        assert_eq!(
            again.ids,
            finish(ask(&fresh, TEXTS[0], "Read the page.", 10).unwrap()).ids
        );
        // The device was looked at, and computes.
        assert_eq!(engine.state(), EngineState::Ready);
    }
}

#[test]
fn log_probabilities_are_those_of_the_scores() {
    let (engine, _) = engine(options());
    let mut request = common::request(&engine, TEXTS[1], "Read the page.", 8).unwrap();
    request.top_logprobs = Some(3);
    let mut events = engine.submit(request).unwrap();
    let mut n_tokens = 0;
    while let Some(event) = block_on(events.next()) {
        let Event::Token(token) = event else { continue };
        let logprobs = token.logprobs.unwrap();
        assert_eq!(logprobs.top.len(), 3);
        assert_eq!(logprobs.top[0].0, token.id, "greedy takes the most likely");
        assert!((logprobs.top[0].1 - logprobs.chosen).abs() < 1e-6);
        assert!(logprobs.top.is_sorted_by(|a, b| a.1 >= b.1));
        let mass: f32 = logprobs.top.iter().map(|(_, logprob)| logprob.exp()).sum();
        assert!(mass > 0.0 && mass <= 1.0 + 1e-5, "{mass}");
        n_tokens += 1;
    }
    assert_eq!(n_tokens, 8);
}

#[test]
fn a_seed_gives_the_same_answer_in_any_company() {
    let (engine, _) = engine(options());
    let sampled = |engine: &Engine| {
        let mut request = common::request(engine, TEXTS[4], "Read the page.", 40).unwrap();
        request.generation.sampling.temperature = 1.5;
        request.generation.sampling.seed = Some(7);
        engine.submit(request).unwrap()
    };
    let alone = finish(sampled(&engine));
    let company: Vec<_> = TEXTS[..3]
        .iter()
        .map(|text| ask(&engine, text, "Read the page.", 60).unwrap())
        .collect();
    let together = finish(sampled(&engine));
    assert_eq!(alone.ids, together.ids);
    company.into_iter().for_each(drop);
    assert_eq!(alone.finish_reason, together.finish_reason);
    assert!(matches!(
        alone.finish_reason,
        FinishReason::Stop | FinishReason::Length
    ));
}

#[test]
fn engines_stop_when_nobody_holds_them() {
    let (engine, recorder) = engine(options());
    let other = engine.clone();
    drop(engine);
    assert!(
        !finish(ask(&other, TEXTS[0], "Read the page.", 3).unwrap())
            .ids
            .is_empty()
    );
    drop(other);
    let since = Instant::now();
    while Arc::strong_count(recorder.handle()) > 1 {
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "the thread still runs"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn usage_and_events_add_up() {
    let (engine, _) = engine(options());
    let Asked {
        ids,
        image_tokens,
        prompt_tokens,
        prefilled,
        finish_reason,
        text,
        ..
    } = finish(ask(&engine, TEXTS[0], "Read the page.", 200).unwrap());
    assert_eq!(prefilled, Some((prompt_tokens, prompt_tokens)));
    assert!(image_tokens > 0 && image_tokens < prompt_tokens);
    assert!(!text.is_empty());
    assert_eq!((finish_reason, ids.len()), (FinishReason::Length, 200));
    // The same answer ends where a token of it is said to end it.
    let mut request = common::request(&engine, TEXTS[0], "Read the page.", 200).unwrap();
    request.generation.stop.stop_ids = vec![ids[50]];
    let stopped = finish(engine.submit(request).unwrap());
    let first = ids.iter().position(|id| *id == ids[50]).unwrap();
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    assert_eq!(stopped.ids, ids[..=first]);
}

#[test]
fn a_vision_tower_that_is_loaded_when_first_needed_sees_the_same() {
    let (whole, _) = engine(options());
    let want = finish(ask(&whole, TEXTS[0], "Read the page.", 20).unwrap());
    for warm_up in [false, true] {
        let options = EngineOptions {
            warm_up,
            ..options()
        };
        let engine = Engine::start(
            options,
            |_: &mut dyn FnMut(f64)| Ok(common::load_text_only()),
            (),
        );
        let engine = engine.unwrap();
        assert_eq!(block_on(engine.settled()), EngineState::Ready);
        let got = finish(ask(&engine, TEXTS[0], "Read the page.", 20).unwrap());
        assert_eq!(got.ids, want.ids, "warm up: {warm_up}");
        assert_eq!(got.cached_tokens, 0, "what warms up is not remembered");
    }
}
