//! Products of a few rows with a packed matrix, on the CPU. Each packed row is read once and made f32 in registers, so
//! that a token costs the bytes of the packed matrix and no others.

use std::ops::Range;

use half::f16;

use super::block::{decode_scale, halves};
use super::{BLOCK, Bits, PackedMatrix};
use crate::cpu::{for_each_chunk, vectorised};

/// Output rows that a thread takes at a time.
const ROWS_PER_TASK: usize = 64;

/// Fewer values than this are not worth a second thread.
const VALUES_PER_THREAD: usize = 64 * 1024;

/// Rows of x that share the unpacking of a row of the matrix.
const SHARED: usize = 4;

/// Parts that each sum is added up in, whatever the number of rows: a row's numbers are the same in any company.
const LANES: usize = 16;

/// Some outputs of `x · Wᵀ`, turned.
///
/// # Shapes
/// x `[n, d_in]` → `[outputs, n]`, both flat.
pub(super) fn product(
    matrix: &PackedMatrix,
    outputs: Range<usize>,
    x: &[f32],
    n: usize,
) -> Vec<f32> {
    let [_, d_in] = matrix.shape();
    let mut y = vec![0.0; outputs.len() * n];
    if y.is_empty() {
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
    let is_shared = outputs.len() * d_in * n.min(SHARED) >= 2 * VALUES_PER_THREAD;
    for_each_chunk(&mut y, ROWS_PER_TASK * n, is_shared, |task, y| {
        vectorised_rows(matrix, outputs.start + task * ROWS_PER_TASK, &rows, y);
    });
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
    // Where there is an instruction for it, multiplying and adding is one; elsewhere that would be a call.
    if cfg!(target_arch = "aarch64") || has_fused_vectors() {
        return vectorised(
            #[inline(always)]
            || rows::<true>(matrix, first, x, y),
        );
    }
    rows::<false>(matrix, first, x, y);
}

fn has_fused_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return pulp::x86::V3::try_new().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

// From here on everything is inlined into the functions above, so that it is compiled for their instructions; loops
// over arrays of a known length become vectors.

#[inline(always)]
fn rows<const FUSED: bool>(
    matrix: &PackedMatrix,
    first: usize,
    x: &[&[[f32; BLOCK]]],
    y: &mut [f32],
) {
    for (offset, y) in y.chunks_exact_mut(x.len()).enumerate() {
        let (values, scales) = matrix.row(first + offset);
        match matrix.bits() {
            Bits::Eight => {
                let (blocks, _) = values.as_chunks::<BLOCK>();
                row::<FUSED, Eighths>(blocks, scales, x, y);
            }
            Bits::Four => {
                let (blocks, _) = values.as_chunks::<{ BLOCK / 2 }>();
                row::<FUSED, Quarters>(blocks, scales, x, y);
            }
        }
    }
}

/// How a block's values are packed.
trait Packed {
    type Block;

    /// The whole numbers, in the order that rows of x are prepared in.
    fn unpack(block: &Self::Block) -> [f32; BLOCK];
}

struct Eighths;

impl Packed for Eighths {
    type Block = [u8; BLOCK];

    #[inline(always)]
    fn unpack(block: &Self::Block) -> [f32; BLOCK] {
        let mut whole = [0.0; BLOCK];
        for i in 0..BLOCK {
            whole[i] = f32::from(block[i] as i8);
        }
        whole
    }
}

struct Quarters;

impl Packed for Quarters {
    type Block = [u8; BLOCK / 2];

    #[inline(always)]
    fn unpack(block: &Self::Block) -> [f32; BLOCK] {
        let mut whole = [0.0; BLOCK];
        for i in 0..BLOCK / 2 {
            (whole[i], whole[BLOCK / 2 + i]) = halves(block[i]);
        }
        whole
    }
}

/// One packed row times all rows of x.
#[inline(always)]
fn row<const FUSED: bool, P: Packed>(
    blocks: &[P::Block],
    scales: &[f16],
    x: &[&[[f32; BLOCK]]],
    y: &mut [f32],
) {
    let (groups, rest) = x.as_chunks::<SHARED>();
    let (y_groups, y_rest) = y.as_chunks_mut::<SHARED>();
    for (x, y) in groups.iter().zip(y_groups) {
        *y = dots::<FUSED, P, SHARED>(blocks, scales, x);
    }
    for (x, y) in rest.iter().zip(y_rest) {
        [*y] = dots::<FUSED, P, 1>(blocks, scales, &[x]);
    }
}

/// The same for `N` rows of x, each summed in `LANES` parts.
#[inline(always)]
fn dots<const FUSED: bool, P: Packed, const N: usize>(
    blocks: &[P::Block],
    scales: &[f16],
    x: &[&[[f32; BLOCK]]; N],
) -> [f32; N] {
    let n_blocks = x
        .iter()
        .fold(blocks.len().min(scales.len()), |n, x| n.min(x.len()));
    let mut sums = [[0.0_f32; LANES]; N];
    for block in 0..n_blocks {
        let scale = decode_scale(scales[block]);
        let mut weights = P::unpack(&blocks[block]);
        for weight in &mut weights {
            *weight *= scale;
        }
        for n in 0..N {
            let x = &x[n][block];
            for i in 0..BLOCK {
                let sum = &mut sums[n][i % LANES];
                *sum = if FUSED {
                    weights[i].mul_add(x[i], *sum)
                } else {
                    weights[i] * x[i] + *sum
                };
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
            for shape in [
                [1, 32],
                [3, 96],
                [64, 64],
                [65, 160],
                [129, 1024],
                [7, 13_696],
            ] {
                let matrix = matrix(shape, bits);
                for n in [0, 1, 2, 3, 4, 5, 8, 9, 17] {
                    let x = values(n * shape[1], 1.3);
                    let y = product(&matrix, 0..shape[0], &x, n);
                    assert_near(
                        &y,
                        &expected(&matrix, &x),
                        &format!("{bits:?} {shape:?} {n}"),
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_in_every_company() {
        for bits in [Bits::Four, Bits::Eight] {
            let matrix = matrix([65, 160], bits);
            let x = values(9 * 160, 1.1);
            let all = product(&matrix, 0..65, &x, 9);
            for n in 1..9 {
                for outputs in [0..65, 0..1, 7..64] {
                    let some = product(&matrix, outputs.clone(), &x[..n * 160], n);
                    assert_eq!(some.len(), outputs.len() * n);
                    for (some, all) in some.chunks(n).zip(all.chunks(9).skip(outputs.start)) {
                        assert_eq!(some, &all[..n], "{bits:?} {n} {outputs:?}");
                    }
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
