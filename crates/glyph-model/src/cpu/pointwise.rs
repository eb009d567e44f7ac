//! Steps that look at each value once or twice.

use super::vectorised;

/// Sums that are kept side by side, so that vectors of any width can add them up.
const LANES: usize = 16;

/// `eˣ` to the last bit or two, in operations that exist for vectors.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it leaves the nearest whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Beyond these the result would be no normal number.
    let x = x.clamp(-87.3, 88.3);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    let series = 1.987_569_1e-4;
    let series = series * rest + 1.398_199_9e-3;
    let series = series * rest + 8.333_452e-3;
    let series = series * rest + 4.166_579_6e-2;
    let series = series * rest + 1.666_666_5e-1;
    let series = series * rest + 0.5;
    let fraction = series * rest * rest + rest + 1.0;
    let power = (rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits());
    fraction * f32::from_bits(power)
}

/// Replaces scores by `e` to the power of their distance from the greatest, and returns the sum.
pub(super) fn exponentials(scores: &mut [f32]) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let mut most = [f32::NEG_INFINITY; LANES];
            let (chunks, rest) = scores.as_chunks::<LANES>();
            for chunk in chunks {
                for (most, score) in most.iter_mut().zip(chunk) {
                    *most = if *score > *most { *score } else { *most };
                }
            }
            let greatest = most
                .into_iter()
                .chain(rest.iter().copied())
                .fold(f32::NEG_INFINITY, f32::max);
            let mut sums = [0.0; LANES];
            let (chunks, rest) = scores.as_chunks_mut::<LANES>();
            for chunk in chunks {
                for (sum, score) in sums.iter_mut().zip(chunk) {
                    *score = exp(*score - greatest);
                    *sum += *score;
                }
            }
            for (sum, score) in sums.iter_mut().zip(rest) {
                *score = exp(*score - greatest);
                *sum += *score;
            }
            sums.into_iter().sum()
        },
    )
}

/// Each row `[weight.len()]` over the root of its mean square, times `weight`.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    let n = weight.len().max(1);
    vectorised(
        #[inline(always)]
        || {
            for (out, row) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                let mean_square = sum_of(row, |value| value * value) / n as f32;
                let scale = (mean_square + eps).sqrt().recip();
                for ((out, value), weight) in out.iter_mut().zip(row).zip(weight) {
                    *out = value * scale * weight;
                }
            }
        },
    );
    out
}

/// Each row `[weight.len()]` less its mean over the root of its variance, times `weight`, plus `bias`.
pub(crate) fn layer_norm(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    vectorised(
        #[inline(always)]
        || {
            let n = weight.len().max(1);
            for row in x.chunks_exact_mut(n) {
                let mean = sum_of(row, |value| value) / n as f32;
                let variance = sum_of(row, |value| (value - mean) * (value - mean)) / n as f32;
                let scale = (variance + eps).sqrt().recip();
                for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                    *value = (*value - mean) * scale * weight + bias;
                }
            }
        },
    );
}

#[inline(always)]
fn sum_of(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += of(*value);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += of(*value);
    }
    sums.into_iter().sum()
}

/// `x · (1 + erf(x / √2)) / 2`, the error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
pub(crate) fn gelu(x: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            for value in x.iter_mut() {
                let root = value.abs() * std::f32::consts::FRAC_1_SQRT_2;
                let t = 1.0 / (1.0 + 0.327_591_1 * root);
                let series = 1.061_405_4 * t - 1.453_152;
                let series = series * t + 1.421_413_7;
                let series = series * t - 0.284_496_74;
                let series = series * t + 0.254_829_6;
                let beyond = series * t * exp(-root * root);
                let erf = (1.0 - beyond).copysign(*value);
                *value *= 0.5 * (1.0 + erf);
            }
        },
    );
}

/// `silu(gate) · up`, value by value, in place of the gates.
pub(crate) fn silu_product(gates: &mut [f32], ups: &[f32]) {
    vectorised(
        #[inline(always)]
        || {
            for (gate, up) in gates.iter_mut().zip(ups) {
                *gate = silu(*gate) * up;
            }
        },
    );
}

/// The same for rows of `width` gates and as many ups behind them.
pub(crate) fn silu_product_of_rows(gates_ups: &[f32], width: usize) -> Vec<f32> {
    let width = width.max(1);
    let mut out = vec![0.0; gates_ups.len() / 2];
    vectorised(
        #[inline(always)]
        || {
            let rows = out
                .chunks_exact_mut(width)
                .zip(gates_ups.chunks_exact(2 * width));
            for (out, row) in rows {
                let (gates, ups) = row.split_at(width);
                for ((out, gate), up) in out.iter_mut().zip(gates).zip(ups) {
                    *out = silu(*gate) * up;
                }
            }
        },
    );
    out
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::{
        exp, exponentials, gelu, layer_norm, rms_norm, silu_product, silu_product_of_rows,
    };

    #[test]
    fn exponentials_are_right_over_their_whole_range() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) / want - 1.0).abs();
            assert!(error < 3e-7, "{x}: {error}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn rows_of_any_length_are_added_up_whole() {
        for n in [1, 15, 16, 17, 100] {
            let mut scores: Vec<f32> = (0..n).map(|i| (i * 37 % 11) as f32 - 5.0).collect();
            let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let want: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
            let sum = exponentials(&mut scores);
            assert!((sum - want.iter().sum::<f32>()).abs() < 1e-4 * sum);
            let errors = scores
                .iter()
                .zip(&want)
                .map(|(got, want)| (got - want).abs());
            assert!(errors.fold(0.0, f32::max) < 1e-6);

            let row: Vec<f32> = (0..n).map(|i| i as f32 - 7.0).collect();
            let mean = row.iter().map(|x| x * x).sum::<f32>() / n as f32;
            let want: Vec<f32> = row.iter().map(|x| 3.0 * x / (mean + 0.5).sqrt()).collect();
            let row = rms_norm(&row, &vec![3.0; n], 0.5);
            let errors = row.iter().zip(&want).map(|(got, want)| (got - want).abs());
            assert!(errors.fold(0.0, f32::max) < 1e-5);

            let mut row: Vec<f32> = (0..n).map(|i| (i * 7 % 13) as f32).collect();
            let mean = row.iter().sum::<f32>() / n as f32;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n as f32;
            let scale = (variance + 0.5).sqrt().recip();
            let want: Vec<f32> = row.iter().map(|x| (x - mean) * scale * 3.0 - 1.0).collect();
            layer_norm(&mut row, &vec![3.0; n], &vec![-1.0; n], 0.5);
            let errors = row.iter().zip(&want).map(|(got, want)| (got - want).abs());
            assert!(errors.fold(0.0, f32::max) < 1e-5);
        }
    }

    #[test]
    fn gates_stand_beside_their_ups_or_before_them() {
        let gates = [-100.0, -1.0, 0.0, 2.0, 100.0, 0.5];
        let ups = [3.0, 3.0, 3.0, -2.0, 1.0, 4.0];
        let silu = |x: f32| x / (1.0 + (-x).exp());
        let mut got = gates;
        silu_product(&mut got, &ups);
        for ((got, gate), up) in got.iter().zip(gates).zip(ups) {
            assert!((got - silu(gate) * up).abs() < 1e-5);
        }
        let rows = [&gates[..3], &ups[..3], &gates[3..], &ups[3..]].concat();
        assert_eq!(silu_product_of_rows(&rows, 3), got);
    }

    #[test]
    fn gelu_is_that_of_the_error_function() {
        // From a table of the normal distribution.
        let known = [
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (1.0, 0.841_344_8),
            (-1.0, -0.158_655_25),
            (3.0, 2.995_950_3),
            (-3.0, -0.004_049_693),
            (40.0, 40.0),
            (-40.0, 0.0),
        ];
        let mut x = known.map(|(x, _)| x);
        gelu(&mut x);
        for (got, (x, want)) in x.iter().zip(known) {
            assert!(
                (got - want).abs() < 1e-6 * (1.0_f32 + x.abs()),
                "{x}: {got}"
            );
        }
    }
}
