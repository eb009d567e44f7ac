//! Attention of queries over keys and values: for inference by the CPU's own kernel or, elsewhere, some queries at a
//! time; for training in causal blocks.

use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

/// Queries of a training block on a CPU: few enough that a causal block sees little of the future, enough for a fast
/// product. A GPU would rather have all of them in one product.
const BLOCK_QUERIES: usize = 64;

/// Scores that are alive together where no kernel of the backend computes attention, unless one query alone has more:
/// 128 MiB in f32.
pub const SCORES_AT_ONCE: usize = 32 << 20;

/// What a score of the future is lowered by: far below every score, and still finite.
const FUTURE: f32 = -1e9;

/// `softmax(q · kᵀ / √head_dim) · v`; causal queries are aligned at the end of the keys.
///
/// Kernels have no gradient. What burn puts in their place for training computes all scores, of the past and of the
/// future, and walks over them some twenty times; here a causal block computes those of its past alone, and what
/// can be done with the queries or the result is not done with the scores.
///
/// # Shapes
/// q `[batch, heads, queries, head_dim]`, k and v `[batch, heads, keys, head_dim]` → as q.
pub(crate) fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, is_causal: bool) -> Tensor<4> {
    let device = q.device();
    if !device.is_autodiff() {
        if device != Device::flex() {
            return attend_in_parts(q, k, v, is_causal, SCORES_AT_ONCE);
        }
        let options = AttentionModuleOptions {
            is_causal,
            ..Default::default()
        };
        return attention(q, k, v, None, None, options);
    }
    let [_, _, queries, head_dim] = q.dims();
    let keys = k.dims()[2];
    let q = q * (head_dim as f64).sqrt().recip();
    let k = k.swap_dims(2, 3);
    if !is_causal {
        return attend_block(q, k, v, None);
    }
    let block = if device.clone().inner() == Device::flex() {
        BLOCK_QUERIES
    } else {
        queries
    };
    let blocks = (0..queries).step_by(block).map(|start| {
        let n = block.min(queries - start);
        let seen = keys + start + n - queries;
        attend_block(
            q.clone().narrow(2, start, n),
            k.clone().narrow(3, 0, seen),
            v.clone().narrow(2, 0, seen),
            Some(future(n, seen, &device)),
        )
    });
    Tensor::cat(blocks.collect(), 2)
}

/// [`attend`] for so many queries at a time that their scores are no more than `most_scores`. Scores are weighed in
/// f32, as the reference weighs them; the backends' fused kernels round them to f16, take masks of one alignment, or
/// fall back to holding all scores at once, each for other shapes.
fn attend_in_parts(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    is_causal: bool,
    most_scores: usize,
) -> Tensor<4> {
    let (device, dtype) = (q.device(), q.dtype());
    let [batch, heads, queries, head_dim] = q.dims();
    let keys = k.dims()[2];
    let q = q * (head_dim as f64).sqrt().recip();
    let k = k.swap_dims(2, 3);
    let part = (most_scores / (batch * heads * keys).max(1)).clamp(1, queries.max(1));
    let parts = (0..queries).step_by(part).map(|start| {
        let n = part.min(queries - start);
        let seen = if is_causal {
            keys + start + n - queries
        } else {
            keys
        };
        let q = q.clone().narrow(2, start, n);
        let scores = q.matmul(k.clone().narrow(3, 0, seen)).cast(FloatDType::F32);
        let scores = if is_causal && n > 1 {
            scores + future_on_device(n, seen, &device)
        } else {
            scores
        };
        let weights = softmax(scores, 3).cast(dtype);
        weights.matmul(v.clone().narrow(2, 0, seen))
    });
    Tensor::cat(parts.collect(), 2)
}

/// [`future`] without sending as many values to the device.
fn future_on_device(queries: usize, keys: usize, device: &Device) -> Tensor<4> {
    let positions = |from: usize| Tensor::<1, Int>::arange(from as i64..keys as i64, device);
    let queries = positions(keys - queries).reshape([1, 1, queries, 1]);
    let keys = positions(0).reshape([1, 1, 1, keys]);
    keys.greater(queries).float() * FUTURE
}

/// q scaled, k transposed.
fn attend_block(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Option<Tensor<4>>) -> Tensor<4> {
    let scores = q.matmul(k);
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    // The greatest score only keeps the exponential in range: no gradient goes through it.
    let greatest = scores.clone().detach().max_dim(3);
    let weights = (scores - greatest).exp();
    let sum = weights.clone().sum_dim(3);
    weights.matmul(v) / sum
}

/// `[1, 1, queries, keys]`, what is added to the scores of the last `queries` of `keys` positions.
fn future(queries: usize, keys: usize, device: &Device) -> Tensor<4> {
    let bias: Vec<f32> = (0..queries)
        .flat_map(|query| (0..keys).map(move |key| (query, key)))
        .map(|(query, key)| {
            if key > keys - queries + query {
                FUTURE
            } else {
                0.0
            }
        })
        .collect();
    Tensor::from_data(TensorData::new(bias, [1, 1, queries, keys]), device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::attention;
    use burn::tensor::ops::AttentionModuleOptions;
    use burn::tensor::{Device, Distribution, Tensor};

    use super::{attend, attend_in_parts};

    /// The greatest difference beside the greatest value: what is drawn differs from run to run.
    fn relative_error(ours: Tensor<4>, theirs: Tensor<4>) -> f32 {
        let greatest = |x: Tensor<4>| x.abs().max().into_scalar::<f32>();
        greatest(ours - theirs.clone()) / greatest(theirs)
    }

    #[test]
    fn blocks_have_the_gradient_of_the_whole() {
        let device = Device::flex().autodiff();
        let leaf = || {
            let random =
                Tensor::<4>::random([2, 3, 100, 8], Distribution::Normal(0.0, 1.0), &device);
            random.require_grad()
        };
        let [q, k, v] = [leaf(), leaf(), leaf()];
        let gradients = |y: Tensor<4>| {
            let grads = (y.square() * 0.5).sum().backward();
            [&q, &k, &v].map(|x| x.grad(&grads).unwrap())
        };
        let options = AttentionModuleOptions {
            is_causal: true,
            ..Default::default()
        };
        let whole = attention(q.clone(), k.clone(), v.clone(), None, None, options);
        let whole = gradients(whole);
        let blocks = gradients(attend(q.clone(), k.clone(), v.clone(), true));
        for (whole, blocks) in whole.into_iter().zip(blocks) {
            let error = relative_error(blocks, whole);
            assert!(error < 1e-5, "{error}");
        }
    }

    #[test]
    fn parts_give_what_the_kernel_gives() {
        let device = Device::flex();
        let random =
            |n: usize| Tensor::<4>::random([2, 3, n, 8], Distribution::Normal(0.0, 2.0), &device);
        for (queries, keys, is_causal) in [
            (1, 1, true),
            (1, 90, true),
            (64, 64, true),
            (70, 200, true),
            (90, 90, false),
            (3, 50, false),
        ] {
            let (q, k, v) = (random(queries), random(keys), random(keys));
            let kernel = attend(q.clone(), k.clone(), v.clone(), is_causal);
            for at_once in [1, 7, queries] {
                let most_scores = 2 * 3 * keys * at_once;
                let parts =
                    attend_in_parts(q.clone(), k.clone(), v.clone(), is_causal, most_scores);
                let error = relative_error(parts, kernel.clone());
                assert!(error < 1e-5, "{queries} × {keys} by {at_once}: {error}");
            }
        }
    }

    #[test]
    fn blocks_give_what_the_kernel_gives() {
        let plain = Device::flex();
        let random =
            |n: usize| Tensor::<4>::random([2, 3, n, 8], Distribution::Normal(0.0, 2.0), &plain);
        for (queries, keys, is_causal) in [
            (1, 1, true),
            (64, 64, true),
            (150, 150, true),
            (70, 200, true),
            (90, 90, false),
        ] {
            let (q, k, v) = (random(queries), random(keys), random(keys));
            let tracked = |x: &Tensor<4>| Tensor::<4>::from_inner(x.clone());
            let blocks = attend(tracked(&q), tracked(&k), tracked(&v), is_causal).inner();
            let kernel = attend(q, k, v, is_causal);
            let error = relative_error(blocks, kernel);
            assert!(error < 1e-5, "{queries} × {keys}: {error}");
        }
    }
}
