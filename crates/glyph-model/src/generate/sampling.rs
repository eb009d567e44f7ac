//! Choosing the next token. Order of operations as in `transformers`: penalties, temperature, top-k, top-p.

use burn::tensor::Device;
use rand::distr::weighted::WeightedIndex;
use rand::prelude::Distribution;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::device_sampling::DeviceSampler;
use crate::config::GenerationConfig;
use crate::error::{ModelError, Result};

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// Divides the logits; 0, and what is so close to it that the quotients would overflow, takes the most likely
    /// token.
    pub temperature: f32,
    /// Keeps the fewest tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keeps this many tokens; 0 or −1 keeps all.
    pub top_k: i64,
    /// Divides positive and multiplies negative logits of tokens in prompt or answer; 1 does nothing.
    pub repetition_penalty: f32,
    /// Subtracted once from the logit of every token in the answer.
    pub presence_penalty: f32,
    /// Subtracted from a token's logit for each time it stands in the answer.
    pub frequency_penalty: f32,
    /// Seed of the draw; `None` draws one.
    pub seed: Option<u64>,
}

/// What the reference samples from where the file samples and does not say (`_get_default_generation_params` of
/// transformers).
const DEFAULT_TOP_K: i64 = 50;

/// Below it a softmax over f32 logits leaves one token in any case.
const LEAST_TEMPERATURE: f32 = 1e-5;

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
        }
    }
}

impl SamplingParams {
    /// What the checkpoint's `generation_config.json` asks for; it samples only where the file says so, as in the
    /// reference.
    pub fn from_config(config: &GenerationConfig) -> Self {
        let sample = config.do_sample == Some(true);
        Self {
            temperature: if sample {
                config.temperature.unwrap_or(1.0)
            } else {
                0.0
            },
            top_p: config.top_p.unwrap_or(1.0),
            top_k: config
                .top_k
                .unwrap_or(if sample { DEFAULT_TOP_K } else { 0 }),
            repetition_penalty: config.repetition_penalty.unwrap_or(1.0),
            ..Self::default()
        }
    }

    pub(super) fn is_greedy(&self) -> bool {
        self.temperature < LEAST_TEMPERATURE
    }

    pub(super) fn has_penalties(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.presence_penalty != 0.0
            || self.frequency_penalty != 0.0
    }

    /// A generator of its own for each request.
    pub(super) fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed.unwrap_or_else(|| rand::rng().random()))
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] naming the first value out of range.
    pub fn check(&self) -> Result<()> {
        let wrong = |name, value: &dyn ToString, reason| {
            Err(ModelError::Parameter {
                name,
                value: value.to_string(),
                reason,
            })
        };
        if !(0.0..=100.0).contains(&self.temperature) {
            return wrong(
                "temperature",
                &self.temperature,
                "must be between 0 and 100",
            );
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", &self.top_p, "must be above 0 and at most 1");
        }
        if self.top_k < -1 {
            return wrong("top_k", &self.top_k, "must be −1 or 0 (off) or a count");
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty <= 100.0) {
            return wrong(
                "repetition_penalty",
                &self.repetition_penalty,
                "must be above 0 and at most 100",
            );
        }
        for (name, value) in [
            ("presence_penalty", self.presence_penalty),
            ("frequency_penalty", self.frequency_penalty),
        ] {
            if !(-100.0..=100.0).contains(&value) {
                return wrong(name, &value, "must be between −100 and 100");
            }
        }
        Ok(())
    }
}

/// Draws tokens for one request.
#[derive(Debug)]
pub struct Sampler {
    params: SamplingParams,
    rng: ChaCha8Rng,
    /// Times each token stands in the prompt and in the answer.
    prompt_counts: Vec<u32>,
    answer_counts: Vec<u32>,
}

impl Sampler {
    /// For a prompt whose ids count towards the repetition penalty.
    ///
    /// # Errors
    /// [`ModelError::Parameter`].
    pub fn new(params: SamplingParams, prompt_ids: &[u32], vocab_size: usize) -> Result<Self> {
        params.check()?;
        let mut prompt_counts = vec![0; vocab_size];
        for id in prompt_ids {
            if let Some(count) = prompt_counts.get_mut(*id as usize) {
                *count += 1;
            }
        }
        Ok(Self {
            rng: params.rng(),
            params,
            prompt_counts,
            answer_counts: vec![0; vocab_size],
        })
    }

    /// The same draws where the scores are; none are taken yet.
    pub fn on_device(&self, device: &Device) -> DeviceSampler {
        DeviceSampler::new(self.params.clone(), &self.prompt_counts, device)
    }

    /// Chooses from `logits` `[vocab]` and counts the choice; `None` when none of them is a number above −∞. What
    /// is not a number is never chosen.
    pub fn sample(&mut self, logits: &mut [f32]) -> Option<u32> {
        for logit in logits.iter_mut().filter(|logit| logit.is_nan()) {
            *logit = f32::NEG_INFINITY;
        }
        if logits.iter().all(|logit| *logit == f32::NEG_INFINITY) {
            return None;
        }
        self.process(logits);
        let id = if self.params.is_greedy() {
            argmax(logits)
        } else {
            self.draw(logits)
        };
        if let Some(count) = self.answer_counts.get_mut(id as usize) {
            *count += 1;
        }
        Some(id)
    }

    /// Applies penalties, temperature, top-k and top-p; excluded tokens become −∞.
    pub fn process(&self, logits: &mut [f32]) {
        let SamplingParams {
            temperature,
            top_p,
            top_k,
            ..
        } = self.params;
        self.penalise(logits);
        if self.params.is_greedy() {
            return;
        }
        for logit in logits.iter_mut() {
            *logit /= temperature;
        }
        if top_k > 0 {
            keep_top_k(logits, usize::try_from(top_k).unwrap_or(usize::MAX));
        }
        if top_p < 1.0 {
            keep_top_p(logits, top_p);
        }
    }

    fn penalise(&self, logits: &mut [f32]) {
        let SamplingParams {
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            ..
        } = self.params;
        if !self.params.has_penalties() {
            return;
        }
        for ((logit, in_prompt), in_answer) in logits
            .iter_mut()
            .zip(&self.prompt_counts)
            .zip(&self.answer_counts)
        {
            if in_prompt + in_answer > 0 && repetition_penalty != 1.0 {
                *logit = if *logit < 0.0 {
                    *logit * repetition_penalty
                } else {
                    *logit / repetition_penalty
                };
            }
            if *in_answer > 0 {
                *logit -= presence_penalty + frequency_penalty * *in_answer as f32;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> u32 {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights = logits.iter().map(|logit| f64::from(logit - max).exp());
        match WeightedIndex::new(weights) {
            Ok(distribution) => distribution.sample(&mut self.rng) as u32,
            // Infinite logits leave nothing to weigh.
            Err(_) => argmax(logits),
        }
    }
}

/// Index of the highest logit, the first of equals.
fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    best as u32
}

fn keep_top_k(logits: &mut [f32], k: usize) {
    if k >= logits.len() {
        return;
    }
    let mut sorted = logits.to_vec();
    let (_, kth, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    let kth = *kth;
    // Tokens tied with the k-th stay, as in the reference.
    logits
        .iter_mut()
        .filter(|logit| **logit < kth)
        .for_each(|logit| *logit = f32::NEG_INFINITY);
}

fn keep_top_p(logits: &mut [f32], top_p: f32) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = logits.iter().map(|logit| (logit - max).exp()).sum();
    let mut ascending: Vec<usize> = (0..logits.len()).collect();
    ascending.sort_by(|a, b| logits[*a].total_cmp(&logits[*b]));
    // The least likely tokens go as long as they hold no more than 1 − top_p together; the best one stays.
    let mut held = 0.0;
    ascending.pop();
    for i in ascending {
        held += (logits[i] - max).exp() / total;
        if held > 1.0 - top_p {
            break;
        }
        logits[i] = f32::NEG_INFINITY;
    }
}
