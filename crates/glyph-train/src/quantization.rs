//! What quantised weights cost: the same held-out pages and answers through a model and through its quantised copies.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{DType, Device, Tensor, TensorData};
use glyph_model::Checkpoint;
use glyph_model::quantize::{Quantization, TensorLayout};
use glyph_model::text::Positions;
use glyph_model::weights::{LoadAs, tensor_specs};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::batch::{Batch, BatchMakers};
use crate::data::{Family, Generator, PageGrid, Split};
use crate::style::page_shape;

/// Families of tasks whose answers are scored, in turn.
const FAMILIES: [Family; 4] = [
    Family::Read,
    Family::Needle,
    Family::Lookup,
    Family::NotThere,
];

/// Tokens of a run through a model that has no pages of its own.
const RANDOM_TOKENS: usize = 48;

/// Bytes of a value that is not quantised.
const F32_BYTES: u64 = 4;

/// One row of the table.
#[derive(Debug, Clone, Serialize)]
pub struct QuantizedScore {
    /// `f32`, or how it is quantised.
    pub weights: String,
    /// Bytes of all weights, the others f32 but for a token table that is apart from the output head, which is as it is
    /// stored.
    pub weight_bytes: u64,
    /// Tokens that were scored.
    pub n_tokens: usize,
    /// Mean over the tokens of the cosine between its scores of the vocabulary and the f32 model's.
    pub mean_cosine: f64,
    /// The least of them.
    pub least_cosine: f64,
    /// Share of tokens where its best score is the f32 model's.
    pub agreement: f64,
    /// Cross-entropy of the right tokens, in nats; `None` where nothing says what is right.
    pub loss: Option<f64>,
    /// Share of tokens where its best score is the right token's.
    pub right: Option<f64>,
}

/// Measures a checkpoint as f32, and quantised in every way, on `n_samples` held-out samples of each family; one that
/// reads no pages of glyph-mini's style on as many runs of random tokens, where nothing is right or wrong.
pub fn compare(
    dir: &Path,
    seed: u64,
    n_samples: usize,
    device: &Device,
) -> Result<Vec<QuantizedScore>> {
    let load = |quantization| {
        let load_as = LoadAs {
            dtype: DType::F32,
            quantization,
        };
        Checkpoint::open(dir, device, load_as, |_| {})
    };
    let original = load(None)?;
    let specs = tensor_specs(&original.model);
    let runs = runs(dir, &original, seed, n_samples)?;
    let ways = [None, Some(Quantization::Q8), Some(Quantization::Q4)];
    let bar = ProgressBar::new((ways.len() * runs.len()) as u64);
    let mut expected: Vec<Vec<f32>> = Vec::new();
    let mut scores = Vec::with_capacity(ways.len());
    for quantization in ways {
        let checkpoint = match quantization {
            None => None,
            some => Some(load(some)?),
        };
        let checkpoint = checkpoint.as_ref().unwrap_or(&original);
        let mut tally = Tally::default();
        for (n, run) in runs.iter().enumerate() {
            let (logits, vocab_size) = run.logits(checkpoint, device)?;
            if quantization.is_none() {
                expected.push(logits.clone());
            }
            let expected = expected.get(n).context("the f32 model comes first")?;
            tally.add(&logits, expected, &run.labels(), vocab_size);
            bar.inc(1);
        }
        let layout = TensorLayout::HOST.with_table(checkpoint.table_dtype.size() as u64);
        let weight_bytes = layout.model_bytes(&specs, quantization, F32_BYTES);
        let weights = quantization.map_or("f32", Quantization::name);
        scores.push(tally.score(weights, weight_bytes));
    }
    bar.finish_and_clear();
    Ok(scores)
}

/// What passes the model at once.
enum Run {
    /// Pages, questions and answers.
    Pages(Box<Batch>),
    /// Tokens of nothing.
    Tokens(Vec<u32>),
}

fn runs(dir: &Path, checkpoint: &Checkpoint, seed: u64, n_samples: usize) -> Result<Vec<Run>> {
    let vocab_size = checkpoint.settings.config.text_config.vocab_size;
    let style = dir.join("render.json");
    if !style.exists() {
        let token = |i: usize| ((i as u64 * 2_654_435_761 + seed) >> 4) as u32 % vocab_size as u32;
        let tokens: Vec<u32> = (0..n_samples * RANDOM_TOKENS).map(token).collect();
        let runs = tokens.chunks(RANDOM_TOKENS);
        return Ok(runs.map(|run| Run::Tokens(run.to_vec())).collect());
    }
    let shape = page_shape(&style)?;
    let grid = PageGrid::new(shape.columns, shape.lines);
    let mut makers = BatchMakers::default();
    let mut generator = Generator::new(seed, Split::HeldOut);
    let mut runs = Vec::new();
    for family in FAMILIES {
        let tasks = family.tasks();
        for i in 0..n_samples {
            let sample = generator.sample(tasks[i % tasks.len()], grid, 1)?;
            let batch = makers.batch(shape, std::slice::from_ref(&sample))?;
            runs.push(Run::Pages(Box::new(batch)));
        }
    }
    Ok(runs)
}

impl Run {
    /// The right token at every place that is scored; none where nothing is right.
    fn labels(&self) -> Vec<Option<u32>> {
        match self {
            Self::Pages(batch) => {
                let answers = batch.targets.iter().filter(|target| target.is_answer);
                answers.map(|target| Some(target.id)).collect()
            }
            Self::Tokens(ids) => vec![None; ids.len()],
        }
    }

    /// Scores of the vocabulary at every such place, one after the other, and the size of the vocabulary.
    fn logits(&self, checkpoint: &Checkpoint, device: &Device) -> Result<(Vec<f32>, usize)> {
        let glm = &checkpoint.model;
        let decoder = &glm.model.language_model;
        let logits: Tensor<2> = match self {
            Self::Tokens(ids) => {
                let positions: Vec<[u32; 3]> = (0..ids.len() as u32).map(|i| [i; 3]).collect();
                let x = glm.embed(ids, [1, ids.len()], None, &[]);
                let logits = glm.logits(decoder.forward(x, Positions(&positions)));
                logits.squeeze_dim(0)
            }
            Self::Pages(batch) => {
                let features = glm.model.visual.forward(batch.pixels(device), batch.grid);
                let [images, tokens, d] = features.dims();
                let features = features.reshape([images * tokens, d]);
                let shape = [batch.n_rows, batch.seq];
                let x = glm.embed(&batch.ids, shape, Some(features), &batch.feature_index);
                let hidden = decoder.forward(x, Positions(&batch.positions));
                let answers = batch.targets.iter().filter(|target| target.is_answer);
                let asking: Vec<i32> = answers.map(|target| target.asking as i32).collect();
                let n = asking.len();
                let asking = Tensor::from_data(TensorData::new(asking, [n]), device);
                let hidden = hidden.reshape([batch.n_rows * batch.seq, d]);
                glm.logits(hidden.select(0, asking))
            }
        };
        let vocab_size = logits.dims()[1];
        let data = logits.into_data().convert_dtype(DType::F32);
        Ok((data.iter().collect(), vocab_size))
    }
}

#[derive(Default)]
struct Tally {
    n: usize,
    n_labelled: usize,
    cosines: f64,
    least_cosine: Option<f64>,
    n_agreeing: usize,
    n_right: usize,
    loss: f64,
}

impl Tally {
    fn add(&mut self, logits: &[f32], expected: &[f32], labels: &[Option<u32>], vocab_size: usize) {
        let rows = logits.chunks(vocab_size).zip(expected.chunks(vocab_size));
        for ((row, expected), label) in rows.zip(labels) {
            let cosine = cosine(row, expected);
            self.n += 1;
            self.cosines += cosine;
            self.least_cosine = Some(self.least_cosine.map_or(cosine, |least| least.min(cosine)));
            let best = best(row);
            self.n_agreeing += usize::from(best == self::best(expected));
            if let Some(label) = label {
                self.n_labelled += 1;
                self.n_right += usize::from(best == *label as usize);
                self.loss += cross_entropy(row, *label as usize);
            }
        }
    }

    fn score(&self, weights: &str, weight_bytes: u64) -> QuantizedScore {
        let n = self.n.max(1) as f64;
        let of_labelled = |sum: f64| (self.n_labelled > 0).then(|| sum / self.n_labelled as f64);
        QuantizedScore {
            weights: weights.to_owned(),
            weight_bytes,
            n_tokens: self.n,
            mean_cosine: self.cosines / n,
            least_cosine: self.least_cosine.unwrap_or(1.0),
            agreement: self.n_agreeing as f64 / n,
            loss: of_labelled(self.loss),
            right: of_labelled(self.n_right as f64),
        }
    }
}

fn best(row: &[f32]) -> usize {
    let places = row.iter().enumerate();
    places
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(0, |(place, _)| place)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn cross_entropy(row: &[f32], label: usize) -> f64 {
    let most = row.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
    sum.ln() + f64::from(most) - row.get(label).map_or(f64::INFINITY, |x| f64::from(*x))
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn figures_are_those_of_the_rows() {
        let mut tally = Tally::default();
        let expected = [1.0, 3.0, 0.0, 5.0, 1.0, 1.0];
        let found = [1.0, 3.0, 0.0, 1.0, 1.0, 5.0];
        tally.add(&found, &expected, &[Some(1), None], 3);
        let score = tally.score("q4", 7);
        assert_eq!((score.n_tokens, score.agreement), (2, 0.5));
        assert_eq!(score.right, Some(1.0));
        let sum = (-2.0_f64).exp() + 1.0 + (-3.0_f64).exp();
        assert!((score.loss.unwrap() - sum.ln()).abs() < 1e-6);
        assert!((score.least_cosine - 11.0 / 27.0).abs() < 1e-6);
        assert!((score.mean_cosine - (1.0 + 11.0 / 27.0) / 2.0).abs() < 1e-6);
    }
}
