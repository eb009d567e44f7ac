//! Choosing the next tokens where their scores are, so that a device gives back ids alone. The same rules as
//! [`Sampler`](super::Sampler), without a sort: what top-k and top-p keep is found by halving the range of the scores.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::run::read_error;
use super::sampling::SamplingParams;
use crate::error::Result;

/// Scores lie between its negative and itself: shaders need not know infinity.
const BOUND: f32 = 1e30;
/// Scaled scores below it weigh nothing beside the best in f32.
const LEAST_SCALED: f32 = -88.0;
/// Leaves a range of 88 · 2⁻³⁰, less than what f32 tells apart in most of it.
const HALVINGS: usize = 30;
/// More than any count or sum of probabilities: a row with it keeps every token.
const OUT_OF_REACH: f32 = 1e30;

/// Draws tokens for one request on the model's device.
#[derive(Debug)]
pub struct DeviceSampler {
    params: SamplingParams,
    rng: ChaCha8Rng,
    /// Kept where a penalty looks at them.
    counts: Option<TokenCounts>,
}

/// Times each token stands in the prompt and in the answer, `[1, vocab]` each.
#[derive(Debug)]
struct TokenCounts {
    in_prompt: Tensor<2>,
    in_answer: Tensor<2>,
}

impl DeviceSampler {
    /// For parameters that were checked, and the times that each token stands in the prompt.
    pub(super) fn new(params: SamplingParams, prompt_counts: &[u32], device: &Device) -> Self {
        let counts = params.has_penalties().then(|| {
            let shape = [1, prompt_counts.len()];
            let values = prompt_counts.iter().map(|count| *count as f32).collect();
            TokenCounts {
                in_prompt: Tensor::from_data(TensorData::new(values, shape), device),
                in_answer: Tensor::zeros(shape, device),
            }
        });
        Self {
            rng: params.rng(),
            params,
            counts,
        }
    }
}

/// Chooses a token for each of `samplers` from its row of `scores` `[rows, vocab]` and counts it; `None` for a row
/// without a number above −∞. What is not a number is never chosen. A seed draws the same tokens again on the same
/// device, and others than on the host.
///
/// # Errors
/// [`ModelError::Read`](crate::ModelError::Read).
pub async fn choose(
    scores: Tensor<2>,
    samplers: &mut [&mut DeviceSampler],
) -> Result<Vec<Option<u32>>> {
    let device = scores.device();
    let scores = scores.cast(DType::F32);
    let not_numbers = scores.clone().is_nan();
    let scores = scores.mask_fill(not_numbers, -BOUND).clamp(-BOUND, BOUND);
    let is_empty = scores.clone().max_dim(1).lower_equal_elem(-BOUND);
    let scores = penalised(scores, samplers);
    let mut ids = scores.clone().argmax(1);
    if samplers.iter().any(|sampler| !sampler.params.is_greedy()) {
        let is_greedy = samplers.iter().map(|sampler| sampler.params.is_greedy());
        let is_greedy = column(is_greedy.map(|is| f32::from(u8::from(is))), &device);
        ids = drawn(scores, samplers).mask_where(is_greedy.greater_elem(0.5), ids);
    }
    let chosen = ids.clone().mask_fill(is_empty, -1).into_data_async().await;
    let chosen: Vec<i64> = chosen
        .map_err(|error| read_error(error.to_string()))?
        .convert_dtype(DType::I64)
        .try_into_vec()
        .map_err(|error| read_error(error.to_string()))?;
    // Behind the read: a step that fails is tried again, and a token counts once.
    count(&ids, samplers);
    Ok(chosen
        .into_iter()
        .map(|id| u32::try_from(id).ok())
        .collect())
}

/// One value a row, `[rows, 1]`.
fn column(values: impl Iterator<Item = f32>, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = values.collect();
    let shape = [values.len(), 1];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Scores `[rows, vocab]` after the penalties of each row.
fn penalised(scores: Tensor<2>, samplers: &[&mut DeviceSampler]) -> Tensor<2> {
    if samplers.iter().all(|sampler| sampler.counts.is_none()) {
        return scores;
    }
    let (device, vocab) = (scores.device(), scores.dims()[1]);
    let of_each = |value: fn(&SamplingParams) -> f32| {
        column(
            samplers.iter().map(|sampler| value(&sampler.params)),
            &device,
        )
    };
    let counts_of_each = |counts: fn(&TokenCounts) -> &Tensor<2>| {
        let rows = samplers.iter().map(|sampler| match &sampler.counts {
            Some(of_row) => counts(of_row).clone(),
            None => Tensor::zeros([1, vocab], &device),
        });
        Tensor::cat(rows.collect(), 0)
    };
    let in_answer = counts_of_each(|counts| &counts.in_answer);
    let seen = (counts_of_each(|counts| &counts.in_prompt) + in_answer.clone()).greater_elem(0.0);
    let repetition = of_each(|params| params.repetition_penalty);
    let raised = scores.clone() / repetition.clone();
    let lowered = scores.clone() * repetition;
    let repeated = raised.mask_where(scores.clone().lower_elem(0.0), lowered);
    let scores = scores.mask_where(seen, repeated);
    let answered = in_answer.clone().greater_elem(0.0).float();
    let presence = answered * of_each(|params| params.presence_penalty);
    let frequency = in_answer * of_each(|params| params.frequency_penalty);
    scores - presence - frequency
}

/// A token drawn from each row of `scores` `[rows, vocab]`, `[rows, 1]`; rows that are not drawn hold any token.
fn drawn(scores: Tensor<2>, samplers: &mut [&mut DeviceSampler]) -> Tensor<2, Int> {
    let device = scores.device();
    let mut of_each = |value: fn(&mut DeviceSampler) -> f32| {
        column(samplers.iter_mut().map(|sampler| value(sampler)), &device)
    };
    let temperature = of_each(|sampler| match sampler.params.is_greedy() {
        true => 1.0,
        false => sampler.params.temperature,
    });
    let n_kept = of_each(|sampler| match sampler.params.top_k {
        ..=0 => OUT_OF_REACH,
        top_k => top_k as f32,
    });
    let held = of_each(|sampler| match sampler.params.top_p {
        top_p if top_p < 1.0 => top_p,
        _ => OUT_OF_REACH,
    });
    let place = of_each(|sampler| match sampler.params.is_greedy() {
        true => 0.0,
        false => sampler.rng.random(),
    });
    let weights = kept_weights(scores, temperature, n_kept, held);
    at_share(weights, place)
}

/// Weights `[rows, vocab]` of the tokens that temperature, top-k and top-p `[rows, 1]` leave, 0 for the others.
/// Tokens as likely as the least one that is kept stay, as far as f32 tells them apart.
fn kept_weights(
    scores: Tensor<2>,
    temperature: Tensor<2>,
    n_kept: Tensor<2>,
    held: Tensor<2>,
) -> Tensor<2> {
    let best = scores.clone().max_dim(1);
    let scaled = (scores - best) / temperature;
    let least = n_kept.zeros_like() + LEAST_SCALED;
    let least = highest_floor(&scaled, scaled.ones_like(), least, n_kept);
    let weights = scaled.clone().exp();
    let weights = weights.mask_fill(scaled.clone().lower(least.clone()), 0.0);
    let total = weights.clone().sum_dim(1);
    let least = highest_floor(&scaled, weights.clone(), least, held * total);
    weights.mask_fill(scaled.lower(least), 0.0)
}

/// For each row the highest floor whose tokens, those that are not below it, still hold `goal` `[rows, 1]` of
/// `amounts` `[rows, vocab]` together; `least` `[rows, 1]` where none does.
fn highest_floor(
    scaled: &Tensor<2>,
    amounts: Tensor<2>,
    least: Tensor<2>,
    goal: Tensor<2>,
) -> Tensor<2> {
    let mut low = least;
    let mut high = low.zeros_like();
    for _ in 0..HALVINGS {
        let middle = (low.clone() + high.clone()) / 2.0;
        let is_below = scaled.clone().lower(middle.clone());
        let held = amounts.clone().mask_fill(is_below, 0.0).sum_dim(1);
        let is_reached = held.greater_equal(goal.clone());
        low = low.mask_where(is_reached.clone(), middle.clone());
        high = middle.mask_where(is_reached, high);
    }
    low
}

/// The token at which the sum of `weights` `[rows, vocab]` passes a share `[rows, 1]` of the whole. In two steps, by
/// blocks and within one: a running sum on a device takes the square of its length.
fn at_share(weights: Tensor<2>, share: Tensor<2>) -> Tensor<2, Int> {
    let [rows, vocab] = weights.dims();
    let device = weights.device();
    let block_len = vocab.isqrt() + 1;
    let n_blocks = vocab.div_ceil(block_len);
    let padding = Tensor::zeros([rows, n_blocks * block_len - vocab], &device);
    let weights = Tensor::cat(vec![weights, padding], 1);
    let blocks: Tensor<3> = weights.reshape([rows, n_blocks, block_len]);
    let sums: Tensor<2> = blocks.clone().sum_dim(2).reshape([rows, n_blocks]);
    let running = sums.clone().cumsum(1);
    let goal = share * running.clone().slice([0..rows, n_blocks - 1..n_blocks]);
    let block = first_beyond(running.clone(), sums.clone(), goal.clone());
    // One row of the blocks for each row: a product with 0 and 1, which needs no gathering.
    let is_block = Tensor::<1, Int>::arange(0..n_blocks as i64, &device)
        .reshape([1, n_blocks])
        .equal(block.clone())
        .float();
    let before = ((running - sums) * is_block.clone()).sum_dim(1);
    let within = (blocks * is_block.reshape([rows, n_blocks, 1])).sum_dim(1);
    let within: Tensor<2> = within.reshape([rows, block_len]);
    let token = first_beyond(within.clone().cumsum(1), within, goal - before);
    block * block_len as i64 + token
}

/// Index of the first of `weights` `[rows, n]` above 0 whose running sum is above `goal` `[rows, 1]`, the last above
/// 0 where rounding left none.
fn first_beyond(running: Tensor<2>, weights: Tensor<2>, goal: Tensor<2>) -> Tensor<2, Int> {
    let [rows, n] = running.dims();
    let index = Tensor::<1, Int>::arange(0..n as i64, &running.device()).float();
    let index = index.reshape([1, n]).repeat_dim(0, rows);
    let rank_of_first = index.clone().neg() + 2.0 * n as f32;
    let rank = index.mask_where(running.greater(goal), rank_of_first);
    rank.mask_fill(weights.lower_equal_elem(0.0), -1.0)
        .argmax(1)
}

/// Counts `ids` `[rows, 1]` towards the penalties of their rows.
fn count(ids: &Tensor<2, Int>, samplers: &mut [&mut DeviceSampler]) {
    for (row, sampler) in samplers.iter_mut().enumerate() {
        if let Some(counts) = &mut sampler.counts {
            let [_, vocab] = counts.in_answer.dims();
            let id = ids.clone().narrow(0, row, 1);
            let tokens = Tensor::<1, Int>::arange(0..vocab as i64, &ids.device());
            let is_id = tokens.reshape([1, vocab]).equal(id).float();
            counts.in_answer = counts.in_answer.clone() + is_id;
        }
    }
}
