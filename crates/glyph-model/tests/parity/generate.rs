//! Whole answers.

use burn::tensor::DType;
use futures_lite::future::block_on;
use glyph_model::Checkpoint;
use glyph_model::generate::{
    FinishReason, Generated, Generation, GenerationEvent, SamplingParams, StopParams, generate,
};
use glyph_model::preprocess::ImagePatches;
use glyph_model::prompt::Prompt;

use crate::common::{
    CONFIGS, PROMPTS, copy_of, grids, ids, json, messages, open, open_dir, patches,
};

/// A prompt with its images as a caller makes them.
pub fn request(checkpoint: &Checkpoint, config: &str, name: &str) -> (Prompt, Vec<ImagePatches>) {
    let row = &json(&format!("{config}/cases.json"))[name];
    let images = patches(checkpoint, row);
    let grids_of_images: Vec<_> = images.iter().map(|image| image.grid).collect();
    assert_eq!(grids_of_images, grids(&row["image_grid_thw"]));
    let prompt = checkpoint
        .settings
        .encoder
        .encode(&messages(&row["messages"]), &grids_of_images)
        .unwrap();
    assert_eq!(prompt.ids, ids(&row["input_ids"]));
    (prompt, images)
}

pub fn greedy(max_new_tokens: usize) -> Generation {
    Generation {
        sampling: SamplingParams::default(),
        stop: StopParams::default(),
        max_new_tokens,
        prefill_chunk: 512,
        keep_special_tokens: false,
    }
}

fn answer(
    checkpoint: &Checkpoint,
    request: &(Prompt, Vec<ImagePatches>),
    options: &Generation,
) -> Generated {
    block_on(generate(
        checkpoint,
        &request.0,
        &request.1,
        options,
        |_| true,
    ))
    .unwrap()
}

#[test]
fn greedy_answers_are_those_of_the_reference() {
    for config in CONFIGS {
        let checkpoint = open(config);
        let cases = json(&format!("{config}/cases.json"));
        for name in PROMPTS {
            let request = request(&checkpoint, config, name);
            let chunk = if name == "long" { 100 } else { 512 };
            let options = Generation {
                prefill_chunk: chunk,
                ..greedy(64)
            };
            let generated = answer(&checkpoint, &request, &options);
            assert_eq!(
                generated.ids,
                ids(&cases[name]["greedy_ids"]),
                "{config} {name}"
            );
            assert_eq!(generated.finish_reason, FinishReason::Length);
            let text = checkpoint
                .settings
                .encoder
                .tokenizer
                .decode(&generated.ids, true)
                .unwrap();
            assert_eq!(generated.text, text);
        }
    }
}

#[test]
fn an_end_token_ends_the_answer_and_is_its_last_id() {
    for config in CONFIGS {
        let checkpoint = open(config);
        let case = &json(&format!("{config}/cases.json"))["one_image"]["eos"];
        let request = request(&checkpoint, config, "one_image");
        let stop = StopParams {
            stop_ids: ids(&case["eos_token_ids"]),
            ..StopParams::default()
        };
        let options = Generation {
            stop,
            keep_special_tokens: true,
            ..greedy(64)
        };
        let mut seen = Vec::new();
        let on_event = |event: GenerationEvent<'_>| {
            if let GenerationEvent::Token(step) = event {
                seen.push((step.id, step.text.clone()));
            }
            true
        };
        let generated = block_on(generate(
            &checkpoint,
            &request.0,
            &request.1,
            &options,
            on_event,
        ))
        .unwrap();
        assert_eq!(generated.ids, ids(&case["greedy_ids"]), "{config}");
        assert_eq!(generated.finish_reason, FinishReason::Stop);
        // The end token itself is not shown.
        let shown = &generated.ids[..generated.ids.len() - 1];
        assert_eq!(
            generated.text,
            checkpoint
                .settings
                .encoder
                .tokenizer
                .decode(shown, false)
                .unwrap()
        );
        let (seen_ids, pieces): (Vec<u32>, Vec<String>) = seen.into_iter().unzip();
        assert_eq!(seen_ids, generated.ids);
        assert_eq!(pieces.concat(), generated.text);
    }
}

#[test]
fn the_answer_has_no_more_tokens_than_asked_for() {
    let checkpoint = open("base");
    let request = request(&checkpoint, "base", "text");
    let whole = answer(&checkpoint, &request, &greedy(64));
    for n in [1, 2, 17] {
        let generated = answer(&checkpoint, &request, &greedy(n));
        assert_eq!(generated.ids, whole.ids[..n]);
        assert_eq!(generated.finish_reason, FinishReason::Length);
    }
}

#[test]
fn the_caller_can_end_the_answer() {
    let checkpoint = open("base");
    let (prompt, images) = request(&checkpoint, "base", "text");
    let mut n_tokens = 0;
    let on_event = |event: GenerationEvent<'_>| {
        n_tokens += usize::from(matches!(event, GenerationEvent::Token(_)));
        n_tokens < 5
    };
    let generated = block_on(generate(
        &checkpoint,
        &prompt,
        &images,
        &greedy(64),
        on_event,
    ))
    .unwrap();
    assert_eq!(generated.finish_reason, FinishReason::Cancelled);
    assert_eq!((generated.ids.len(), n_tokens), (5, 5));
    assert_eq!(
        generated.text,
        checkpoint
            .settings
            .encoder
            .tokenizer
            .decode(&generated.ids, true)
            .unwrap()
    );
}

#[test]
fn images_and_prompt_report_how_far_they_have_come_and_can_be_stopped() {
    let checkpoint = open("base");
    let (prompt, images) = request(&checkpoint, "base", "images");
    let options = Generation {
        prefill_chunk: 5,
        ..greedy(1)
    };
    let (mut encoded, mut prefilled) = (Vec::new(), Vec::new());
    let on_event = |event: GenerationEvent<'_>| {
        match event {
            GenerationEvent::Encoded { images, of } => encoded.push((images, of)),
            GenerationEvent::Prefilled { positions, of } => prefilled.push((positions, of)),
            GenerationEvent::Token(_) => {}
        }
        true
    };
    block_on(generate(&checkpoint, &prompt, &images, &options, on_event)).unwrap();
    let (n_images, n_positions) = (images.len(), prompt.ids.len());
    assert_eq!(encoded.last(), Some(&(n_images, n_images)));
    assert_eq!(prefilled.len(), n_positions.div_ceil(5));
    assert_eq!(prefilled.last(), Some(&(n_positions, n_positions)));

    for stop_at in [1, encoded.len() + 2] {
        let mut n_events = 0;
        let stopped = block_on(generate(&checkpoint, &prompt, &images, &options, |_| {
            n_events += 1;
            n_events < stop_at
        }))
        .unwrap();
        assert_eq!(stopped.finish_reason, FinishReason::Cancelled);
        assert_eq!((stopped.ids.len(), n_events), (0, stop_at));
    }
}

#[test]
fn a_stop_string_ends_the_answer_wherever_it_falls() {
    let checkpoint = open("base");
    let request = request(&checkpoint, "base", "one_image");
    let whole = answer(&checkpoint, &request, &greedy(64));
    let characters: Vec<(usize, char)> = whole.text.char_indices().collect();
    for at in [3, 10, characters.len() / 2] {
        let (start, end) = (characters[at].0, characters[at + 3].0);
        let stop_string = &whole.text[start..end];
        let before = &whole.text[..whole.text.find(stop_string).unwrap()];
        for include_stop_string in [false, true] {
            let stop_strings = vec!["never said".to_owned(), stop_string.to_owned()];
            let stop = StopParams {
                stop_strings,
                include_stop_string,
                ..StopParams::default()
            };
            let mut shown = String::new();
            let options = Generation { stop, ..greedy(64) };
            let on_event = |event: GenerationEvent<'_>| {
                if let GenerationEvent::Token(step) = event {
                    shown.push_str(&step.text);
                }
                true
            };
            let generated = block_on(generate(
                &checkpoint,
                &request.0,
                &request.1,
                &options,
                on_event,
            ))
            .unwrap();
            assert_eq!(generated.finish_reason, FinishReason::Stop);
            let kept = if include_stop_string { stop_string } else { "" };
            assert_eq!(generated.text, format!("{before}{kept}"));
            assert_eq!(shown, generated.text);
            assert!(whole.ids.starts_with(&generated.ids) && generated.ids.len() < 64);
        }
    }
}

#[test]
fn nothing_of_a_token_is_shown_behind_the_stop_string_in_it() {
    // The answer's second token gets a text: a stop string and the first byte (å) of a character.
    let copy = copy_of("base");
    let path = copy.path().join("tokenizer.json");
    let mut tokenizer = json("base/tokenizer.json");
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    for id in 340..=351 {
        let mut token = added[0].clone();
        token["id"] = id.into();
        token["special"] = false.into();
        token["content"] = if id == 351 {
            "ENDå".into()
        } else {
            format!("<{id}>").into()
        };
        added.push(token);
    }
    std::fs::write(path, tokenizer.to_string()).unwrap();
    let checkpoint = open_dir(copy.path(), DType::F32).unwrap();
    let request = request(&checkpoint, "base", "one_image");
    let whole = answer(&checkpoint, &request, &greedy(2));
    let (before, _) = whole.text.split_once("END\u{FFFD}").unwrap();
    let stop = StopParams {
        stop_strings: vec!["END".to_owned()],
        ..StopParams::default()
    };
    let generated = answer(&checkpoint, &request, &Generation { stop, ..greedy(64) });
    assert_eq!((generated.text.as_str(), generated.ids.len()), (before, 2));
}

#[test]
fn the_start_of_a_stop_string_is_shown_when_the_answer_ends_with_it() {
    let checkpoint = open("base");
    let request = request(&checkpoint, "base", "text");
    let whole = answer(&checkpoint, &request, &greedy(20));
    let last = whole.text.chars().last().unwrap();
    let stop = StopParams {
        stop_strings: vec![format!("{last}{last}{last}#")],
        ..StopParams::default()
    };
    let generated = answer(&checkpoint, &request, &Generation { stop, ..greedy(20) });
    assert_eq!(generated.text, whole.text);
    assert_eq!(generated.finish_reason, FinishReason::Length);
}

#[test]
fn the_checkpoint_says_how_to_answer() {
    for config in CONFIGS {
        let checkpoint = open(config);
        let mut options = Generation::from_checkpoint(&checkpoint);
        assert_eq!(options.stop.stop_ids, [320, 324, 326]);
        let sampling = &mut options.sampling;
        assert_eq!(
            (sampling.temperature, sampling.top_p, sampling.top_k),
            (0.8, 0.6, 2)
        );
        (sampling.temperature, sampling.top_p) = (4.0, 0.9);
        let request = request(&checkpoint, config, "text");
        options.sampling.seed = Some(3);
        options.max_new_tokens = 24;
        let first = answer(&checkpoint, &request, &options);
        assert_eq!(answer(&checkpoint, &request, &options).ids, first.ids);
        let others = (4..8).map(|seed| {
            options.sampling.seed = Some(seed);
            answer(&checkpoint, &request, &options).ids
        });
        assert!(others.into_iter().any(|ids| ids != first.ids), "{config}");
    }
}
