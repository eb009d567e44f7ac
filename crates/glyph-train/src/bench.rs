//! This runtime beside transformers on the same pages, weights and cores, in one run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use burn::tensor::{DType, Device};
use futures_lite::future::block_on;
use glyph_model::Checkpoint;
use glyph_model::generate::{Generation, GenerationTimes, generate};
use glyph_model::preprocess::{PatchGrid, RgbImage};
use glyph_model::prompt::Message;
use serde::{Deserialize, Serialize};

use crate::samples::SavedSample;

/// Times of one engine on one sample.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Times {
    /// Seconds to load the checkpoint.
    pub load_s: f64,
    /// Vision tower and decoder over the prompt, to the first token.
    pub prefill_s: f64,
    /// Tokens after the first, per second.
    pub decode_tokens_per_s: f64,
}

/// Both engines on one sample.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What was asked.
    pub question: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub new_tokens: usize,
    /// Whether both wrote the same ids.
    pub same_ids: bool,
    /// This runtime.
    pub glyph: Times,
    /// transformers.
    pub transformers: Times,
}

/// What to compare.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Checkpoint directory.
    pub model: PathBuf,
    /// Directory of `samples.json`.
    pub samples: PathBuf,
    /// Python with the packages of `tests/reference/requirements-model.txt`.
    pub python: PathBuf,
    /// The reference script.
    pub script: PathBuf,
    /// Threads for both.
    pub threads: usize,
    /// Runs of each; the last one counts.
    pub repeat: usize,
}

#[derive(Deserialize)]
struct Reference {
    greedy_ids: Vec<u32>,
    seconds: ReferenceSeconds,
    decode_tokens_per_second: Option<f64>,
}

#[derive(Deserialize)]
struct ReferenceSeconds {
    load: f64,
    vision_and_prefill: f64,
}

/// Runs both engines on every sample, one after the other.
pub fn compare(options: &BenchOptions, device: &Device) -> Result<Vec<Comparison>> {
    let list = options.samples.join("samples.json");
    let json = std::fs::read_to_string(&list)
        .with_context(|| format!("cannot read {}", list.display()))?;
    let samples: Vec<SavedSample> = serde_json::from_str(&json)?;
    samples
        .iter()
        .map(|sample| compare_one(options, sample, device))
        .collect()
}

fn compare_one(
    options: &BenchOptions,
    sample: &SavedSample,
    device: &Device,
) -> Result<Comparison> {
    let paths: Vec<PathBuf> = sample
        .pages
        .iter()
        .map(|page| options.samples.join(page))
        .collect();
    let started = Instant::now();
    let checkpoint = Checkpoint::open(&options.model, device, DType::F32, |_| {})?;
    let load_s = started.elapsed().as_secs_f64();
    let (prompt_tokens, ids, times) = ours(&checkpoint, &paths, &sample.question, options.repeat)?;
    let decode = ids.len().saturating_sub(1) as f64 / times.decode_s.max(1e-9);
    let reference = theirs(options, &paths, &sample.question, ids.len())?;
    Ok(Comparison {
        question: sample.question.clone(),
        prompt_tokens,
        new_tokens: ids.len(),
        same_ids: ids == reference.greedy_ids,
        glyph: Times {
            load_s,
            prefill_s: times.encode_s + times.prefill_s,
            decode_tokens_per_s: decode,
        },
        transformers: Times {
            load_s: reference.seconds.load,
            prefill_s: reference.seconds.vision_and_prefill,
            decode_tokens_per_s: reference.decode_tokens_per_second.unwrap_or(f64::NAN),
        },
    })
}

fn ours(
    checkpoint: &Checkpoint,
    pages: &[PathBuf],
    question: &str,
    repeat: usize,
) -> Result<(usize, Vec<u32>, GenerationTimes)> {
    let mut last = None;
    for _ in 0..repeat.max(1) {
        let images = pages
            .iter()
            .map(|path| Ok(RgbImage::decode(&std::fs::read(path)?)?))
            .collect::<Result<Vec<_>>>()?;
        let images = checkpoint.settings.preprocess(&images)?;
        let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
        let messages = [Message::pages_and_question(images.len(), question)];
        let prompt = checkpoint.settings.encoder.encode(&messages, &grids)?;
        let options = Generation::from_checkpoint(checkpoint);
        let generated = block_on(generate(checkpoint, &prompt, &images, &options, |_| true))?;
        last = Some((prompt.ids.len(), generated.ids, generated.times));
    }
    last.context("nothing was run")
}

fn theirs(
    options: &BenchOptions,
    pages: &[PathBuf],
    question: &str,
    n_tokens: usize,
) -> Result<Reference> {
    let mut command = Command::new(&options.python);
    command
        .arg(&options.script)
        .arg(&options.model)
        .args(["--question", question]);
    for page in pages {
        command.arg("--image").arg(page);
    }
    let output = command
        .args(["--max-new-tokens", &n_tokens.to_string()])
        .args(["--threads", &options.threads.to_string()])
        .args(["--repeat", &options.repeat.to_string()])
        .output()
        .with_context(|| format!("cannot run {}", options.python.display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        options.script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout)
        .context("the reference script's output is not the expected JSON")
}

/// A table with ratios, ours over theirs in speed.
pub fn comparison_table(rows: &[Comparison]) -> String {
    let head = format!(
        "{:>7}{:>5}{:>6}  {:>18}  {:>20}  {:>22}",
        "prompt", "new", "same", "load s (ratio)", "prefill s (ratio)", "decode tok/s (ratio)"
    );
    let rows = rows.iter().map(|row| {
        let (a, b) = (&row.glyph, &row.transformers);
        format!(
            "{:>7}{:>5}{:>6}  {:>5.2} / {:>5.2} {:>4.1}×  {:>6.3} / {:>6.3} {:>4.1}×  {:>6.0} / {:>6.0} {:>4.1}×",
            row.prompt_tokens,
            row.new_tokens,
            if row.same_ids { "yes" } else { "NO" },
            a.load_s,
            b.load_s,
            b.load_s / a.load_s,
            a.prefill_s,
            b.prefill_s,
            b.prefill_s / a.prefill_s,
            a.decode_tokens_per_s,
            b.decode_tokens_per_s,
            a.decode_tokens_per_s / b.decode_tokens_per_s,
        )
    });
    std::iter::once(head)
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Where the reference script lies in the repository.
pub fn default_script() -> PathBuf {
    Path::new("tests")
        .join("reference")
        .join("model_generate.py")
}
