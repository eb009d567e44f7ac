//! Requests that do not fit the model.

use burn::tensor::{DType, Device};
use futures_lite::future::block_on;
use glyph_model::generate::{Generated, Generation, SamplingParams, generate};
use glyph_model::preprocess::ImagePatches;
use glyph_model::prompt::Prompt;
use glyph_model::text::KvCache;
use glyph_model::{Checkpoint, ModelError, Result};

use super::weights::with_weights;
use crate::common::{open, open_dir};
use crate::generate::{greedy, request};

fn refused(
    checkpoint: &Checkpoint,
    prompt: &Prompt,
    images: &[ImagePatches],
    options: &Generation,
) -> ModelError {
    let result: Result<Generated> =
        block_on(generate(checkpoint, prompt, images, options, |_| true));
    result.unwrap_err()
}

#[test]
fn what_does_not_fit_is_refused_before_any_work() {
    let checkpoint = open("base");
    let (prompt, images) = request(&checkpoint, "base", "images");
    let n = prompt.ids.len();
    let error = refused(&checkpoint, &prompt, &images, &greedy(4096 - n + 1));
    let message = error.to_string();
    assert!(
        matches!(error, ModelError::ContextOverflow { prompt_tokens, context_tokens: 4096, .. } if prompt_tokens == n)
    );
    assert!(
        message.contains("52 prompt tokens") && message.contains("4096"),
        "{message}"
    );
    let error = refused(&checkpoint, &prompt, &images, &greedy(usize::MAX));
    assert!(matches!(error, ModelError::ContextOverflow { .. }));

    let error = refused(&checkpoint, &prompt, &images, &greedy(0));
    assert!(
        matches!(
            error,
            ModelError::Parameter {
                name: "max_tokens",
                ..
            }
        ),
        "{error}"
    );
    let empty = checkpoint.settings.encoder.expand(&[], &[]).unwrap();
    let error = refused(&checkpoint, &empty, &[], &greedy(1));
    assert!(
        matches!(error, ModelError::Parameter { name: "prompt", .. }),
        "{error}"
    );
    let unknown = checkpoint
        .settings
        .encoder
        .expand(&[1, 400, 2], &[])
        .unwrap();
    let error = refused(&checkpoint, &unknown, &[], &greedy(1));
    assert!(
        matches!(
            error,
            ModelError::UnknownToken {
                id: 400,
                vocab_size: 400
            }
        ),
        "{error}"
    );
    let hot = SamplingParams {
        temperature: -1.0,
        ..SamplingParams::default()
    };
    let error = refused(
        &checkpoint,
        &prompt,
        &images,
        &Generation {
            sampling: hot,
            ..greedy(1)
        },
    );
    assert!(
        matches!(
            error,
            ModelError::Parameter {
                name: "temperature",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn images_other_than_those_of_the_prompt_are_refused() {
    let checkpoint = open("base");
    let (prompt, images) = request(&checkpoint, "base", "images");
    let mut swapped = images.clone();
    swapped.swap(0, 1);
    for other in [&[][..], &images[..2], &swapped] {
        let error = refused(&checkpoint, &prompt, other, &greedy(1));
        let ModelError::ImageTokenMismatch {
            placeholders: 3,
            placeholder_tokens: 29,
            images,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(images, other.len());
    }
    let mut short = images.clone();
    short[1].values.pop();
    let error = refused(&checkpoint, &prompt, &short, &greedy(1));
    assert!(
        matches!(error, ModelError::Image { index: 1, .. }),
        "{error}"
    );
    let mut narrow = images;
    narrow[2].patch_len = 1;
    let error = refused(&checkpoint, &prompt, &narrow, &greedy(1));
    assert!(
        matches!(error, ModelError::Image { index: 2, .. }),
        "{error}"
    );
}

#[test]
fn weights_that_are_no_numbers_give_an_error_and_no_answer() {
    let norm = "model.language_model.norm.weight";
    for value in [f32::NAN, f32::INFINITY] {
        let copy = with_weights(|tensors| {
            let weight = tensors.iter_mut().find(|t| t.name == norm).unwrap();
            weight.data = value.to_le_bytes().repeat(weight.data.len() / 4);
        });
        let checkpoint = open_dir(copy.path(), DType::F32).unwrap();
        let (prompt, images) = request(&checkpoint, "base", "text");
        let error = refused(&checkpoint, &prompt, &images, &greedy(4));
        assert!(matches!(error, ModelError::NotFinite), "{error}");
    }
}

#[test]
fn keys_and_values_that_there_is_no_memory_for() {
    let checkpoint = open("base");
    // Other devices take memory as it is written to.
    if checkpoint.device != Device::flex() {
        return;
    }
    for n_tokens in [1 << 45, usize::MAX] {
        let error = KvCache::of(&checkpoint, n_tokens).unwrap_err();
        assert!(
            matches!(error, ModelError::NoMemory { n_tokens: n, .. } if n == n_tokens),
            "{error}"
        );
    }
}
