//! The committed glyph-mini: it writes the tokens that transformers writes, it is small, and its files are there.
//! How well it reads is measured by `glyph-train evaluate`; `evaluation.json` beside the weights holds the figures.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use futures_lite::future::block_on;
use glyph_model::Checkpoint;
use glyph_model::generate::{Generation, generate};
use glyph_model::preprocess::{PatchGrid, RgbImage};
use glyph_model::prompt::Message;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    pages: Vec<String>,
    question: String,
    prompt_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_trained_model_writes_the_tokens_that_transformers_writes() {
    let fixtures = root().join("tests/fixtures/mini");
    let json = std::fs::read_to_string(fixtures.join("expected.json")).unwrap();
    let rows: Vec<Expected> = serde_json::from_str(&json).unwrap();
    assert!(rows.len() >= 8, "only {} rows", rows.len());
    let model = root().join("models/glyph-mini");
    let checkpoint = Checkpoint::open(&model, &Device::flex(), DType::F32, |_| {}).unwrap();
    for row in rows {
        let images: Vec<RgbImage> = row
            .pages
            .iter()
            .map(|page| RgbImage::decode(&std::fs::read(fixtures.join(page)).unwrap()).unwrap())
            .collect();
        let images = checkpoint.settings.preprocess(&images).unwrap();
        let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
        let messages = [Message::pages_and_question(images.len(), &row.question)];
        let prompt = checkpoint
            .settings
            .encoder
            .encode(&messages, &grids)
            .unwrap();
        assert_eq!(prompt.ids, row.prompt_ids, "prompt of {:?}", row.question);
        let options = Generation {
            max_new_tokens: 400,
            ..Generation::from_checkpoint(&checkpoint)
        };
        let generated =
            block_on(generate(&checkpoint, &prompt, &images, &options, |_| true)).unwrap();
        assert_eq!(
            generated.ids, row.greedy_ids,
            "answer to {:?}",
            row.question
        );
    }
}

#[test]
fn the_checkpoint_is_small_and_complete() {
    let model = root().join("models/glyph-mini");
    let weights = std::fs::metadata(model.join("model.safetensors"))
        .unwrap()
        .len();
    assert!(weights <= 12 << 20, "{weights} bytes");
    let checkpoint = Checkpoint::open(&model, &Device::flex(), DType::F32, |_| {}).unwrap();
    assert!(
        checkpoint.report.unexpected.is_empty(),
        "{:?}",
        checkpoint.report.unexpected
    );
    for file in [
        "render.json",
        "README.md",
        "training.svg",
        "log.jsonl",
        "evaluation.json",
    ] {
        assert!(
            model.join(file).exists(),
            "{file} is not in models/glyph-mini"
        );
    }
}
