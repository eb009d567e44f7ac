//! The committed glyph-mini: it writes the tokens that transformers writes, it is small, its files are there, and its card
//! says what was measured.
//! How well it reads is measured by `glyph-train evaluate`; `evaluation.json` beside the weights holds the figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use futures_lite::future::block_on;
use glyph_model::Checkpoint;
use glyph_model::generate::{Generation, generate};
use glyph_model::preprocess::{PatchGrid, RgbImage};
use glyph_model::prompt::Message;
use glyph_model::text::KvPrecision;
use glyph_model::weights::WeightFiles;
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
    let mut checkpoint = Checkpoint::open(&model, &Device::flex(), DType::F32, |_| {}).unwrap();
    // As the reference, and as the command line keeps them unless it is told otherwise.
    let precisions = [KvPrecision::Full, KvPrecision::F16];
    for (row, precision) in rows.iter().flat_map(|row| precisions.map(|kv| (row, kv))) {
        checkpoint.kv_precision = precision;
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
            "answer to {:?} with {precision:?} keys and values",
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
    assert!(weights <= 12_000_000, "{weights} bytes");
    let files = WeightFiles::open(&model).unwrap();
    for (name, tensor) in files.tensors() {
        assert_eq!(tensor.dtype, DType::F16, "{name}");
    }
    let checkpoint = Checkpoint::open(&model, &Device::flex(), DType::F32, |_| {}).unwrap();
    assert!(
        checkpoint.report.unexpected.is_empty(),
        "{:?}",
        checkpoint.report.unexpected
    );
    for file in [
        "render.json",
        "generation_config.json",
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

#[derive(Deserialize)]
struct Measured {
    task: String,
    n_pages: usize,
    n_samples: usize,
    character_error_rate: Option<f64>,
    exact: f64,
    bar: Option<f64>,
    held: Option<bool>,
    #[serde(default)]
    kinds: BTreeMap<String, Share>,
}

#[derive(Deserialize)]
struct Share {
    n_samples: usize,
    n_exact: usize,
}

#[test]
fn the_card_tells_every_figure_that_was_measured() {
    let model = root().join("models/glyph-mini");
    let read = |name: &str| std::fs::read_to_string(model.join(name)).unwrap();
    let measured: Vec<Measured> = serde_json::from_str(&read("evaluation.json")).unwrap();
    let card = read("README.md");
    for row in &measured {
        let error_rate = row.character_error_rate;
        let bar = row.bar.map(|bar| match error_rate {
            Some(_) => format!("CER ≤ {:.0} %", 100.0 * bar),
            None => format!("exact ≥ {:.0} %", 100.0 * bar),
        });
        let cells = [
            row.task.clone(),
            row.n_pages.to_string(),
            row.n_samples.to_string(),
            error_rate.map_or_else(String::new, |rate| format!("{:.2} %", 100.0 * rate)),
            format!("{:.1} %", 100.0 * row.exact),
            bar.unwrap_or_default(),
            row.held
                .map_or("", |held| if held { "yes" } else { "no" })
                .to_owned(),
        ];
        let line = format!("| {} |", cells.join(" | "));
        assert!(card.contains(&line), "the card has no line {line:?}");
        if !row.kinds.is_empty() && error_rate.is_none() {
            let kinds = row.kinds.iter().map(|(kind, share)| {
                let Share { n_exact, n_samples } = share;
                format!("{kind} {n_exact} of {n_samples}")
            });
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            let line = format!("| {} | {} | {kinds} |", row.task, row.n_pages);
            assert!(card.contains(&line), "the card has no line {line:?}");
        }
    }
    // What the model is made for; two values, tables, white space, columns, and documents of four pages are measured beside it.
    let must = [
        "read prose",
        "read random strings",
        "needle",
        "look-up",
        "not there",
    ];
    for row in measured {
        let is_asked = must.contains(&row.task.as_str());
        if is_asked && (row.task == "needle" || row.n_pages == 1) {
            assert_eq!(
                row.held,
                Some(true),
                "{} on {} pages",
                row.task,
                row.n_pages
            );
        }
    }
}
