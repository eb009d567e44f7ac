//! The engine with glyph-mini on the device that `GLYPH_TEST_DEVICE` names: where that is no CPU, tokens are chosen
//! there and ids alone come back.

use burn::tensor::Device;
use futures_lite::future::block_on;
use glyph_engine::{Engine, Event, Events};
use glyph_model::generate::{Generation, generate};

use crate::common::{ask, chat, device, engine, finish, load, options, pages, request};

const TEXTS: [&str; 3] = [
    "The invoice number is 4471.",
    "one two three four five",
    "8391 2275 1180",
];

/// Long enough for several to share a step; a software adapter takes a second for a few.
fn n_tokens() -> usize {
    if device() == Device::flex() { 200 } else { 12 }
}

/// Greedy, without the engine.
fn alone() -> Vec<Vec<u32>> {
    let checkpoint = load();
    let answer = |text: &&str| {
        let images = checkpoint.settings.preprocess(&pages(text)).unwrap();
        let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
        let encoder = &checkpoint.settings.encoder;
        let prompt = encoder
            .encode(&chat("Read the page.", grids.len()), &grids)
            .unwrap();
        let mut generation = Generation::from_checkpoint(&checkpoint);
        generation.max_new_tokens = n_tokens();
        generation.stop.stop_ids.clear();
        let generated = generate(&checkpoint, &prompt, &images, &generation, |_| true);
        block_on(generated).unwrap().ids
    };
    TEXTS.iter().map(answer).collect()
}

/// With log-probabilities, for which all scores come back.
fn with_scores(engine: &Engine) -> Events {
    let mut request = request(engine, TEXTS[0], "Read the page.", n_tokens()).unwrap();
    request.top_logprobs = Some(2);
    engine.submit(request).unwrap()
}

fn sampled(engine: &Engine) -> Events {
    let mut request = request(engine, TEXTS[1], "Read the page.", n_tokens()).unwrap();
    request.generation.sampling.temperature = 1.5;
    request.generation.sampling.top_p = 0.95;
    request.generation.sampling.repetition_penalty = 1.1;
    request.generation.sampling.seed = Some(7);
    engine.submit(request).unwrap()
}

#[test]
fn rows_that_are_chosen_by_device_and_by_host_share_a_batch() {
    let alone = alone();
    let (engine, recorder) = engine(options());
    let seeded = finish(sampled(&engine)).ids;
    let greedy = TEXTS.map(|text| ask(&engine, text, "Read the page.", n_tokens()).unwrap());
    let mut scored = with_scores(&engine);
    let again = sampled(&engine);

    let mut most_likely = Vec::new();
    while let Some(event) = block_on(scored.next()) {
        if let Event::Token(token) = event {
            let logprobs = token.logprobs.expect("asked for");
            assert_eq!(logprobs.top[0].0, token.id);
            most_likely.push(token.id);
        }
    }
    assert_eq!(most_likely, alone[0]);
    assert_eq!(finish(again).ids, seeded);
    for (events, want) in greedy.into_iter().zip(alone) {
        assert_eq!(finish(events).ids, want);
    }
    assert!(recorder.widest_step() > 1, "{}", recorder.widest_step());
}
