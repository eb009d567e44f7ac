//! Products of a few rows with a packed matrix, on the CPU. Each packed row is read once and made f32 in registers, so
//! that a token costs the bytes of the packed matrix and no others.

use half::f16;

use super::block::{decode_scale, halves};
use super::{BLOCK, Bits, PackedMatrix};

/// Output rows that a thread takes at a time.
const ROWS_PER_TASK: usize = 64;

/// Fewer values than this are not worth a second thread.
const VALUES_PER_THREAD: usize = 64 * 1024;

/// Rows of x that share the unpacking of a row of the matrix.
const SHARED: usize = 4;

/// `x · Wᵀ`, turned.
///
/// # Shapes
/// x `[n, d_in]` → `[d_out, n]`, both flat.
pub(super) fn product(matrix: &PackedMatrix, x: &[f32], n: usize) -> Vec<f32> {
    let [d_out, d_in] = matrix.shape();
    let mut y = vec![0.0; d_out * n];
    if n == 0 || d_out == 0 {
        return y;
    }
    let prepared;
    let x = match matrix.bits() {
        Bits::Eight => x,
        Bits::Four => {
            prepared = halves_apart(x);
            &prepared
        }
    };
    let rows: Vec<&[[f32; BLOCK]]> = x.chunks_exact(d_in).map(|row| row.as_chunks().0).collect();
    let task = |(task, y): (usize, &mut [f32])| {
        let first = task * ROWS_PER_TASK;
        vectorised_rows(matrix, first, &rows, y);
    };
    #[cfg(not(target_family = "wasm"))]
    if d_out * d_in * n.min(SHARED) >= 2 * VALUES_PER_THREAD {
        use rayon::prelude::*;
        y.par_chunks_mut(ROWS_PER_TASK * n).enumerate().for_each(task);
        return y;
    }
    y.chunks_mut(ROWS_PER_TASK * n).enumerate().for_each(task);
    y
}

/// In every block first the values at even places, then those at odd ones: as the halves of the bytes hold them.
fn halves_apart(x: &[f32]) -> Vec<f32> {
    let mut apart = vec![0.0; x.len()];
    let (from, _) = x.as_chunks::<BLOCK>();
    let (to, _) = apart.as_chunks_mut::<BLOCK>();
    for (from, to) in from.iter().zip(to) {
        for i in 0..BLOCK / 2 {
            to[i] = from[2 * i];
            to[BLOCK / 2 + i] = from[2 * i + 1];
        }
    }
    apart
}

/// Output rows from `first` on, as many as `y` has room for, with the widest vectors that the processor has.
fn vectorised_rows(matrix: &PackedMatrix, first: usize, x: &[&[[f32; BLOCK]]], y: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return simd.vectorize(
                #[inline(always)]
                || rows::<true>(matrix, first, x, y),
            );
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return simd.vectorize(
                #[inline(always)]
                || rows::<true>(matrix, first, x, y),
            );
        }
    }
    // Every 64-bit ARM processor multiplies and adds in one.
    rows::<{ cfg!(target_arch = "aarch64") }>(matrix, first, x, y);
}

#[inline(always)]
fn rows<const FUSED: bool>(
    matrix: &PackedMatrix,
    first: usize,
    x: &[&[[f32; BLOCK]]],
    y: &mut [f32],
) {
    for (offset, y) in y.chunks_exact_mut(x.len()).enumerate() {
        let row = matrix.row(first + offset);
        let bits = matrix.bits();
        let (groups, rest) = x.as_chunks::<SHARED>();
        let (y_groups, y_rest) = y.as_chunks_mut::<SHARED>();
        for (x, y) in groups.iter().zip(y_groups) {
            *y = dots::<FUSED, SHARED, 8>(row, bits, x);
        }
        for (x, y) in rest.iter().zip(y_rest) {
            [*y] = dots::<FUSED, 1, BLOCK>(row, bits, &[x]);
        }
    }
}

/// A packed row times `N` rows of x, each summed in `LANES` parts.
#[inline(always)]
fn dots<const FUSED: bool, const N: usize, const LANES: usize>(
    (values, scales): (&[u8], &[f16]),
    bits: Bits,
    x: &[&[[f32; BLOCK]]; N],
) -> [f32; N] {
    match bits {
        Bits::Eight => {
            let (blocks, _) = values.as_chunks::<BLOCK>();
            sum::<FUSED, N, LANES, BLOCK>(blocks, scales, x, |packed| {
                let mut whole = [0.0; BLOCK];
                for (whole, byte) in whole.iter_mut().zip(packed) {
                    *whole = f32::from(*byte as i8);
                }
                whole
            })
        }
        Bits::Four => {
            let (blocks, _) = values.as_chunks::<{ BLOCK / 2 }>();
            sum::<FUSED, N, LANES, { BLOCK / 2 }>(blocks, scales, x, |packed| {
                let mut whole = [0.0; BLOCK];
                for (i, byte) in packed.iter().enumerate() {
                    (whole[i], whole[BLOCK / 2 + i]) = halves(*byte);
                }
                whole
            })
        }
    }
}

#[inline(always)]
fn sum<const FUSED: bool, const N: usize, const LANES: usize, const BYTES: usize>(
    blocks: &[[u8; BYTES]],
    scales: &[f16],
    x: &[&[[f32; BLOCK]]; N],
    unpack: impl Fn(&[u8; BYTES]) -> [f32; BLOCK],
) -> [f32; N] {
    let mut sums = [[0.0_f32; LANES]; N];
    for (i, (packed, scale)) in blocks.iter().zip(scales).enumerate() {
        let scale = decode_scale(*scale);
        let weights = unpack(packed).map(|q| q * scale);
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = &x[i];
            let (weights, _) = weights.as_chunks::<LANES>();
            let (x, _) = x.as_chunks::<LANES>();
            for (weights, x) in weights.iter().zip(x) {
                for ((sum, w), x) in sums.iter_mut().zip(weights).zip(x) {
                    *sum = if FUSED {
                        w.mul_add(*x, *sum)
                    } else {
                        w * x + *sum
                    };
                }
            }
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::{BLOCK, Bits, PackedMatrix, halves_apart, product, rows};

    fn values(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * seed).sin()).collect()
    }

    fn matrix(shape: [usize; 2], bits: Bits) -> PackedMatrix {
        let values = values(shape[0] * shape[1], 0.61);
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        PackedMatrix::quantize(&bytes, DType::F32, shape, bits).unwrap()
    }

    fn expected(matrix: &PackedMatrix, x: &[f32]) -> Vec<f32> {
        let [d_out, d_in] = matrix.shape();
        let dense = matrix.dequantize(0..d_out);
        let dot = |w: &[f32], x: &[f32]| -> f64 {
            let pairs = w.iter().zip(x);
            pairs.map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()
        };
        let rows = dense.chunks(d_in);
        rows.flat_map(|w| x.chunks(d_in).map(|x| dot(w, x) as f32))
            .collect()
    }

    fn assert_near(found: &[f32], expected: &[f32], what: &str) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let off = (found - expected).abs();
            assert!(off <= 2e-4, "{what}: {found} {expected}");
        }
    }

    #[test]
    fn products_are_those_of_the_dequantised_matrix() {
        for bits in [Bits::Four, Bits::Eight] {
            for shape in [[1, 32], [3, 96], [64, 64], [65, 160], [129, 1024], [7, 13_696]] {
                let matrix = matrix(shape, bits);
                for n in [0, 1, 2, 3, 4, 5, 8, 9, 17] {
                    let x = values(n * shape[1], 1.3);
                    let y = product(&matrix, &x, n);
                    assert_near(&y, &expected(&matrix, &x), &format!("{bits:?} {shape:?} {n}"));
                }
            }
        }
    }

    #[test]
    fn plain_and_fused_products_are_the_same() {
        for bits in [Bits::Four, Bits::Eight] {
            let matrix = matrix([9, 64], bits);
            let x = values(5 * 64, 0.9);
            let expected = expected(&matrix, &x);
            let x = match bits {
                Bits::Four => halves_apart(&x),
                Bits::Eight => x,
            };
            let x: Vec<&[[f32; BLOCK]]> = x.chunks(64).map(|row| row.as_chunks().0).collect();
            let mut y = vec![0.0; 9 * 5];
            rows::<false>(&matrix, 0, &x, &mut y);
            assert_near(&y, &expected, "plain");
            rows::<true>(&matrix, 0, &x, &mut y);
            assert_near(&y, &expected, "fused");
        }
    }
}
