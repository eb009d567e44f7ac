//! Choosing the next tokens where their scores are, so that a device gives back ids alone. The same rules as
//! [`Sampler`](super::Sampler), without a sort: what top-k and top-p keep is found by halving the range of the scores.
//!
//! The vocabulary lies in blocks, `[rows, blocks, block]`, and whatever is summed or compared over all of it is so over
//! each block and then over the blocks: without autotune burn takes one thread for a row that is reduced, and a running
//! sum takes the square of its length.

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

/// Times each token stands in the prompt and in the answer, `[1, blocks, block]` each.
#[derive(Debug)]
struct TokenCounts {
    in_prompt: Tensor<3>,
    in_answer: Tensor<3>,
}

impl DeviceSampler {
    /// For parameters that were checked, and the times that each token stands in the prompt.
    pub(super) fn new(params: SamplingParams, prompt_counts: &[u32], device: &Device) -> Self {
        let counts = params.has_penalties().then(|| {
            let shape = [1, prompt_counts.len()];
            let values: Vec<f32> = prompt_counts.iter().map(|count| *count as f32).collect();
            let in_prompt = Tensor::from_data(TensorData::new(values, shape), device);
            let in_prompt = in_blocks(in_prompt, 0.0);
            TokenCounts {
                in_answer: in_prompt.zeros_like(),
                in_prompt,
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
/// [`ModelError::Read`](crate::ModelError::Read); nothing is drawn or counted then.
pub async fn choose(
    scores: Tensor<2>,
    samplers: &mut [&mut DeviceSampler],
) -> Result<Vec<Option<u32>>> {
    let [_, vocab] = scores.dims();
    let scores = scores.cast(DType::F32);
    let not_numbers = scores.clone().is_nan();
    let scores = in_blocks(scores.mask_fill(not_numbers, -BOUND), -BOUND).clamp(-BOUND, BOUND);
    let is_empty = greatest(scores.clone()).lower_equal_elem(-BOUND);
    // A penalty far from 1 leads out of the range again.
    let scores = penalised(scores, samplers).clamp(-BOUND, BOUND);
    let mut rngs: Vec<ChaCha8Rng> = samplers.iter().map(|sampler| sampler.rng.clone()).collect();
    let mut ids = most_likely(scores.clone());
    if samplers.iter().any(|sampler| !sampler.params.is_greedy()) {
        let is_greedy = column(
            samplers,
            |params| f32::from(u8::from(params.is_greedy())),
            &scores,
        );
        ids = drawn(scores, samplers, &mut rngs).mask_where(is_greedy.greater_elem(0.5), ids);
    }
    let chosen = ids.clone().mask_fill(is_empty, -1).into_data_async().await;
    let chosen: Vec<i64> = chosen
        .map_err(|error| read_error(error.to_string()))?
        .convert_dtype(DType::I64)
        .try_into_vec()
        .map_err(|error| read_error(error.to_string()))?;
    // Behind the read: a step that fails is tried again, draws the same and counts it once.
    for (sampler, rng) in samplers.iter_mut().zip(rngs) {
        sampler.rng = rng;
    }
    count(&ids, samplers);
    let is_token = |id: &u32| (*id as usize) < vocab;
    Ok(chosen
        .into_iter()
        .map(|id| u32::try_from(id).ok().filter(is_token))
        .collect())
}

/// Rows `[rows, n]` as `[rows, blocks, block]`, filled up with `padding`.
fn in_blocks(values: Tensor<2>, padding: f32) -> Tensor<3> {
    let [rows, n] = values.dims();
    let block = n.isqrt() + 1;
    let blocks = n.div_ceil(block);
    let rest = Tensor::full([rows, blocks * block - n], padding, &values.device());
    Tensor::cat(vec![values, rest], 1).reshape([rows, blocks, block])
}

/// Sum of each row, `[rows, 1, 1]`.
fn sum(values: Tensor<3>) -> Tensor<3> {
    values.sum_dim(2).sum_dim(1)
}

/// Greatest value of each row, `[rows, 1, 1]`.
fn greatest(values: Tensor<3>) -> Tensor<3> {
    values.max_dim(2).max_dim(1)
}

/// One value a row, `[rows, 1, 1]`.
fn column(
    samplers: &[&mut DeviceSampler],
    value: impl Fn(&SamplingParams) -> f32,
    like: &Tensor<3>,
) -> Tensor<3> {
    let values = samplers.iter().map(|sampler| value(&sampler.params));
    of_rows(values.collect(), like)
}

fn of_rows(values: Vec<f32>, like: &Tensor<3>) -> Tensor<3> {
    let shape = [values.len(), 1, 1];
    Tensor::from_data(TensorData::new(values, shape), &like.device())
}

/// Places in a row, `[1, blocks, block]`: exact in f32 up to 16 million.
fn places(like: &Tensor<3>) -> Tensor<3> {
    let [_, blocks, block] = like.dims();
    let places = Tensor::<1, Int>::arange(0..(blocks * block) as i64, &like.device());
    places.float().reshape([1, blocks, block])
}

/// The first of the highest scores of each row, `[rows, 1, 1]`.
fn most_likely(scores: Tensor<3>) -> Tensor<3, Int> {
    let [_, blocks, block] = scores.dims();
    let n = (blocks * block) as f32;
    // The nearer to the beginning the higher; 0 where the score is not the highest.
    let from_end = places(&scores).neg() + n;
    let is_best = scores.clone().greater_equal(greatest(scores));
    (greatest(is_best.float() * from_end).neg() + n).int()
}

/// Scores after the penalties of each row.
fn penalised(scores: Tensor<3>, samplers: &[&mut DeviceSampler]) -> Tensor<3> {
    if samplers.iter().all(|sampler| sampler.counts.is_none()) {
        return scores;
    }
    let [_, blocks, block] = scores.dims();
    let counts_of_each = |counts: fn(&TokenCounts) -> &Tensor<3>| {
        let rows = samplers.iter().map(|sampler| match &sampler.counts {
            Some(of_row) => counts(of_row).clone(),
            None => Tensor::zeros([1, blocks, block], &scores.device()),
        });
        Tensor::cat(rows.collect(), 0)
    };
    let in_answer = counts_of_each(|counts| &counts.in_answer);
    let seen = (counts_of_each(|counts| &counts.in_prompt) + in_answer.clone()).greater_elem(0.0);
    let repetition = column(samplers, |params| params.repetition_penalty, &scores);
    let presence = column(samplers, |params| params.presence_penalty, &scores);
    let frequency = column(samplers, |params| params.frequency_penalty, &scores);
    let raised = scores.clone() / repetition.clone();
    let lowered = scores.clone() * repetition;
    let repeated = raised.mask_where(scores.clone().lower_elem(0.0), lowered);
    let scores = scores.mask_where(seen, repeated);
    let answered = in_answer.clone().greater_elem(0.0).float();
    scores - answered * presence - in_answer * frequency
}

/// A token drawn from each row, `[rows, 1, 1]`; rows that are not drawn hold any token.
fn drawn(
    scores: Tensor<3>,
    samplers: &[&mut DeviceSampler],
    rngs: &mut [ChaCha8Rng],
) -> Tensor<3, Int> {
    let of_each = |value: fn(&SamplingParams) -> f32| column(samplers, value, &scores);
    let temperature = of_each(|params| match params.is_greedy() {
        true => 1.0,
        false => params.temperature,
    });
    let limits = Limits {
        n_kept: some_row(samplers, |params| params.top_k > 0).then(|| {
            of_each(|params| match params.top_k {
                ..=0 => OUT_OF_REACH,
                top_k => top_k as f32,
            })
        }),
        held: some_row(samplers, |params| params.top_p < 1.0).then(|| {
            of_each(|params| match params.top_p {
                top_p if top_p < 1.0 => top_p,
                _ => OUT_OF_REACH,
            })
        }),
    };
    let shares = samplers.iter().zip(rngs);
    let shares = shares.map(|(sampler, rng)| match sampler.params.is_greedy() {
        true => 0.0,
        false => rng.random(),
    });
    let shares = of_rows(shares.collect(), &scores);
    at_share(kept_weights(scores, temperature, limits), shares)
}

fn some_row(samplers: &[&mut DeviceSampler], has_it: fn(&SamplingParams) -> bool) -> bool {
    samplers.iter().any(|sampler| has_it(&sampler.params))
}

/// What each row keeps, `[rows, 1, 1]`; nothing where no row has such a limit.
struct Limits {
    /// Top-k.
    n_kept: Option<Tensor<3>>,
    /// Top-p.
    held: Option<Tensor<3>>,
}

/// Weights of the tokens that temperature `[rows, 1, 1]`, top-k and top-p leave, 0 for the others. Tokens as likely as
/// the least one that is kept stay, as far as f32 tells them apart.
fn kept_weights(scores: Tensor<3>, temperature: Tensor<3>, limits: Limits) -> Tensor<3> {
    let best = greatest(scores.clone());
    let mut least = best.zeros_like() + LEAST_SCALED;
    let scaled = (scores - best) / temperature;
    if let Some(n_kept) = limits.n_kept {
        least = highest_floor(&scaled, scaled.ones_like(), least, n_kept);
    }
    let weights = scaled.clone().exp();
    let weights = weights.mask_fill(scaled.clone().lower(least.clone()), 0.0);
    let Some(held) = limits.held else {
        return weights;
    };
    let goal = held * sum(weights.clone());
    let least = highest_floor(&scaled, weights.clone(), least, goal);
    weights.mask_fill(scaled.lower(least), 0.0)
}

/// For each row the highest floor whose tokens, those that are not below it, still hold `goal` `[rows, 1, 1]` of
/// `amounts` together; `least` `[rows, 1, 1]` where none does.
fn highest_floor(
    scaled: &Tensor<3>,
    amounts: Tensor<3>,
    least: Tensor<3>,
    goal: Tensor<3>,
) -> Tensor<3> {
    let mut low = least;
    let mut high = low.zeros_like();
    for _ in 0..HALVINGS {
        let middle = (low.clone() + high.clone()) / 2.0;
        let is_below = scaled.clone().lower(middle.clone());
        let held = sum(amounts.clone().mask_fill(is_below, 0.0));
        let is_reached = held.greater_equal(goal.clone());
        low = low.mask_where(is_reached.clone(), middle.clone());
        high = middle.mask_where(is_reached, high);
    }
    low
}

/// The token at which the sum of `weights` passes a share `[rows, 1, 1]` of the whole, `[rows, 1, 1]`.
fn at_share(weights: Tensor<3>, share: Tensor<3>) -> Tensor<3, Int> {
    let [rows, blocks, block] = weights.dims();
    let sums = weights.clone().sum_dim(2).reshape([rows, blocks]);
    let running = sums.clone().cumsum(1);
    let goal = running.clone().slice([0..rows, blocks - 1..blocks]);
    let goal = goal * share.reshape([rows, 1]);
    let found = first_beyond(running.clone(), sums.clone(), goal.clone());
    // One block of each row: a product with 0 and 1, which needs no gathering.
    let is_found = Tensor::<1, Int>::arange(0..blocks as i64, &weights.device())
        .reshape([1, blocks])
        .equal(found.clone())
        .float();
    let before = ((running - sums) * is_found.clone()).sum_dim(1);
    let within = (weights * is_found.reshape([rows, blocks, 1])).sum_dim(1);
    let within: Tensor<2> = within.reshape([rows, block]);
    let token = first_beyond(within.clone().cumsum(1), within, goal - before);
    (found * block as i64 + token).reshape([rows, 1, 1])
}

/// Index of the first of `weights` `[rows, n]` above 0 whose running sum is above `goal` `[rows, 1]`, the last above
/// 0 where rounding left none; `[rows, 1]`.
fn first_beyond(running: Tensor<2>, weights: Tensor<2>, goal: Tensor<2>) -> Tensor<2, Int> {
    let [rows, n] = running.dims();
    let index = Tensor::<1, Int>::arange(0..n as i64, &running.device()).float();
    let index = index.reshape([1, n]).repeat_dim(0, rows);
    let rank_of_first = index.clone().neg() + 2.0 * n as f32;
    let rank = index.mask_where(running.greater(goal), rank_of_first);
    rank.mask_fill(weights.lower_equal_elem(0.0), -1.0)
        .argmax(1)
}

/// Counts `ids` `[rows, 1, 1]` towards the penalties of their rows.
fn count(ids: &Tensor<3, Int>, samplers: &mut [&mut DeviceSampler]) {
    for (row, sampler) in samplers.iter_mut().enumerate() {
        if let Some(counts) = &mut sampler.counts {
            let id = ids.clone().narrow(0, row, 1).float();
            let is_id = places(&counts.in_answer).equal(id).float();
            counts.in_answer = counts.in_answer.clone() + is_id;
        }
    }
}
