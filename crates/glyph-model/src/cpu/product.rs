//! Products of a few rows or many with a matrix that lies in strips.

use std::sync::Arc;

use burn::tensor::Tensor;
use pulp::{Simd, WithSimd};

use super::memory::AlignedValues;
use super::{for_each_chunk, n_threads, tensor, values, vectorised};

/// Columns of a strip: a cache line, one vector of the widest processors and four of the narrowest.
pub(super) const STRIP: usize = 16;

/// Rows that are multiplied together, so that their sums and what they are made of stay in the processor's registers.
const MOST_ROWS: usize = 6;
/// The same where a strip is four vectors, of which such processors have sixteen.
const MOST_ROWS_NARROW: usize = 3;

/// Multiplications from which it is worth waking other threads.
const SHARED_WORK: usize = 1 << 22;

/// Rows of `width` values, `stride` values from one to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    pub width: usize,
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// One behind the other.
    pub fn dense(values: &'a [f32], width: usize) -> Self {
        Self {
            values,
            width,
            stride: width,
        }
    }

    /// The last one may end with its width.
    pub fn len(self) -> usize {
        self.values.len().div_ceil(self.stride.max(1))
    }

    /// Rows from `first` on.
    pub fn from(self, first: usize) -> Self {
        Self {
            values: &self.values[first * self.stride..],
            ..self
        }
    }

    /// Columns from `first` on.
    pub fn columns(self, first: usize, width: usize) -> Self {
        Self {
            values: &self.values[first..],
            width,
            ..self
        }
    }

    pub fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..self.width]
    }

    pub fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        let rows = self.values.chunks(self.stride.max(1));
        rows.map(move |row| &row[..self.width])
    }
}

/// A matrix `[n_inner, n_columns]` cut into strips of columns, each of which lies row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strips<'a> {
    pub memory: StripMemory<'a>,
    /// Rows.
    pub n_inner: usize,
    pub n_columns: usize,
    /// Whether strips are to be fetched ahead of their use.
    pub are_fetched: bool,
}

/// Where strips are.
#[derive(Debug, Clone, Copy)]
pub(super) enum StripMemory<'a> {
    /// One behind the other.
    InARow(&'a [f32]),
    /// Each in memory of its own.
    Each(&'a [AlignedValues]),
}

impl<'a> Strips<'a> {
    fn n_strips(&self) -> usize {
        self.n_columns.div_ceil(STRIP)
    }

    fn strip(&self, strip: usize) -> &'a [f32] {
        let len = self.n_inner * STRIP;
        match self.memory {
            StripMemory::InARow(values) => &values[strip * len..(strip + 1) * len],
            StripMemory::Each(strips) => &strips[strip][..len],
        }
    }
}

/// `rows · strips`, row by row with strides: `[n_rows, n_inner]` → `[n_rows, n_columns]`. Every sum goes over the rows of
/// the strips in their order, so that a row's numbers are the same in whatever company.
#[derive(Debug)]
pub(super) struct Product<'a> {
    pub rows: Rows<'a>,
    pub n_rows: usize,
    pub strips: Strips<'a>,
    /// Begins every sum, where there is one: `[n_columns]`.
    pub bias: Option<&'a [f32]>,
    pub out: &'a mut [f32],
    pub out_stride: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd, MOST_ROWS),
            8 => self.run::<S, 2>(simd, MOST_ROWS),
            4 => self.run::<S, 4>(simd, MOST_ROWS_NARROW),
            _ => self.run::<S, STRIP>(simd, 1),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(mut self, simd: S, most_rows: usize) {
        if self.n_rows == 0 {
            return;
        }
        let n_tiles = self.n_rows.div_ceil(most_rows);
        let tile = self.n_rows.div_ceil(n_tiles);
        // Few rows take several strips at once: each sum waits for the one before it, and with few sums the
        // processor would wait as well.
        let at_once = match tile {
            1 => 4,
            2 => 2,
            _ if VECTORS == 1 => 2,
            _ => 1,
        };
        let n_strips = self.strips.n_strips();
        let mut strip = 0;
        while strip < n_strips {
            let n = match n_strips - strip {
                n if n >= at_once => at_once,
                n if n >= 2 && at_once >= 2 => 2,
                _ => 1,
            };
            for first in (0..self.n_rows).step_by(tile) {
                let rows = tile.min(self.n_rows - first);
                // Weights come from memory, and the next strips are fetched while the last rows are multiplied.
                let is_last = first + rows == self.n_rows && strip + n < n_strips;
                let ahead = match self.strips.are_fetched && is_last {
                    true => n * self.strips.n_inner * STRIP,
                    false => 0,
                };
                match (rows, n) {
                    (1, 4) => self.tile::<S, VECTORS, 1, 4>(simd, first, strip, ahead),
                    (1, 2) => self.tile::<S, VECTORS, 1, 2>(simd, first, strip, ahead),
                    (1, _) => self.tile::<S, VECTORS, 1, 1>(simd, first, strip, ahead),
                    (2, 2) => self.tile::<S, VECTORS, 2, 2>(simd, first, strip, ahead),
                    (2, _) => self.tile::<S, VECTORS, 2, 1>(simd, first, strip, ahead),
                    (3, 2) => self.tile::<S, VECTORS, 3, 2>(simd, first, strip, ahead),
                    (3, _) => self.tile::<S, VECTORS, 3, 1>(simd, first, strip, ahead),
                    (4, 2) => self.tile::<S, VECTORS, 4, 2>(simd, first, strip, ahead),
                    (4, _) => self.tile::<S, VECTORS, 4, 1>(simd, first, strip, ahead),
                    (5, 2) => self.tile::<S, VECTORS, 5, 2>(simd, first, strip, ahead),
                    (5, _) => self.tile::<S, VECTORS, 5, 1>(simd, first, strip, ahead),
                    (_, 2) => self.tile::<S, VECTORS, 6, 2>(simd, first, strip, ahead),
                    (_, _) => self.tile::<S, VECTORS, 6, 1>(simd, first, strip, ahead),
                }
            }
            strip += n;
        }
    }

    /// `ROWS` rows from `first_row` with `N` strips from `first_strip`.
    #[allow(
        clippy::needless_range_loop,
        reason = "several rows and strips are walked at once"
    )]
    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const ROWS: usize, const N: usize>(
        &mut self,
        simd: S,
        first_row: usize,
        first_strip: usize,
        ahead: usize,
    ) {
        let n_inner = self.strips.n_inner;
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &self.rows.row(first_row + row)[..n_inner]);
        let strips: [&[f32]; N] = std::array::from_fn(|n| self.strips.strip(first_strip + n));
        let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; N]; ROWS];
        for inner in 0..n_inner {
            let start = inner * STRIP;
            let strips: [&[S::f32s]; N] = std::array::from_fn(|n| {
                let row = &strips[n][start..start + STRIP];
                if ahead > 0 {
                    fetch(row.as_ptr().wrapping_add(ahead));
                }
                S::as_simd_f32s(row).0
            });
            for row in 0..ROWS {
                let value = simd.splat_f32s(rows[row][inner]);
                for n in 0..N {
                    for vector in 0..VECTORS {
                        let sum = &mut sums[row][n][vector];
                        *sum = simd.mul_add_e_f32s(value, strips[n][vector], *sum);
                    }
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (n, sums) in sums.into_iter().enumerate() {
                let column = (first_strip + n) * STRIP;
                let n_columns = STRIP.min(self.strips.n_columns - column);
                let mut strip = [0.0; STRIP];
                S::as_mut_simd_f32s(&mut strip).0.copy_from_slice(&sums);
                if let Some(bias) = self.bias {
                    let bias = &bias[column..column + n_columns];
                    strip
                        .iter_mut()
                        .zip(bias)
                        .for_each(|(sum, bias)| *sum += bias);
                }
                let start = (first_row + row) * self.out_stride + column;
                self.out[start..start + n_columns].copy_from_slice(&strip[..n_columns]);
            }
        }
    }
}

/// `N` rows, each with strips of its own of the same shape: `rows[n] · strips[n]`, in one walk. Memory gives twice as much
/// from several places at once as from one.
#[derive(Debug)]
pub(super) struct OwnProducts<'a, const N: usize> {
    /// Each `[n_inner]`.
    pub rows: [&'a [f32]; N],
    pub strips: [Strips<'a>; N],
    /// Each `[n_columns]`, with room for whole strips.
    pub out: [&'a mut [f32]; N],
}

impl<const N: usize> WithSimd for OwnProducts<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd),
            8 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, STRIP>(simd),
        }
    }
}

impl<const N: usize> OwnProducts<'_, N> {
    #[allow(
        clippy::needless_range_loop,
        reason = "several rows and strips are walked at once"
    )]
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let n_inner = self.strips[0].n_inner;
        let rows: [&[f32]; N] = std::array::from_fn(|n| &self.rows[n][..n_inner]);
        for strip in 0..self.strips[0].n_strips() {
            let strips: [&[f32]; N] = std::array::from_fn(|n| self.strips[n].strip(strip));
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; N];
            for inner in 0..n_inner {
                let start = inner * STRIP;
                for n in 0..N {
                    let values = S::as_simd_f32s(&strips[n][start..start + STRIP]).0;
                    let value = simd.splat_f32s(rows[n][inner]);
                    for vector in 0..VECTORS {
                        let sum = &mut sums[n][vector];
                        *sum = simd.mul_add_e_f32s(value, values[vector], *sum);
                    }
                }
            }
            for (out, sums) in self.out.iter_mut().zip(sums) {
                let out = &mut out[strip * STRIP..(strip + 1) * STRIP];
                S::as_mut_simd_f32s(out).0.copy_from_slice(&sums);
            }
        }
    }
}

/// Asks for a cache line before it is needed.
#[inline(always)]
fn fetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, for which no address is wrong; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// A weight `[d_out, d_in]` as products read it: strips of its outputs, the last one filled with zeros.
#[derive(Debug, Clone)]
pub(crate) struct PackedWeight {
    values: Arc<AlignedValues>,
    d_in: usize,
    d_out: usize,
}

impl PackedWeight {
    /// From a weight as it is published, flat `[d_out, d_in]`.
    pub fn new(weight: &[f32], [d_out, d_in]: [usize; 2]) -> Self {
        let mut values = AlignedValues::zeros(d_out.next_multiple_of(STRIP) * d_in);
        if d_in > 0 {
            let strips = values.chunks_exact_mut(STRIP * d_in);
            for (strip, rows) in strips.zip(weight.chunks(STRIP * d_in)) {
                for (column, row) in rows.chunks_exact(d_in).enumerate() {
                    for (inner, value) in row.iter().enumerate() {
                        strip[inner * STRIP + column] = *value;
                    }
                }
            }
        }
        Self {
            values: Arc::new(values),
            d_in,
            d_out,
        }
    }

    /// `[d_out, d_in]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.d_out, self.d_in]
    }

    /// The weight as it is published, flat `[d_out, d_in]`.
    pub fn unpacked(&self) -> Vec<f32> {
        let mut rows = Vec::with_capacity(self.d_out * self.d_in);
        (0..self.d_out).for_each(|output| self.extend_with_row(output, &mut rows));
        rows
    }

    /// Writes what one output is made with, `[d_in]`, behind `rows`.
    pub fn extend_with_row(&self, output: usize, rows: &mut Vec<f32>) {
        let strip = &self.values[output / STRIP * STRIP * self.d_in..][..STRIP * self.d_in];
        rows.extend(strip.iter().skip(output % STRIP).step_by(STRIP));
    }

    /// `x · Wᵀ + b` of tensors that have their values here.
    ///
    /// # Shapes
    /// `[..., d_in]` → `[..., d_out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, bias: Option<Tensor<1>>) -> Tensor<D> {
        let mut shape = x.dims();
        shape[D - 1] = self.d_out;
        let bias = bias.map(values);
        tensor(self.apply(&values(x), bias.as_deref()), shape)
    }

    /// `x · Wᵀ + b`.
    ///
    /// # Shapes
    /// x flat `[rows, d_in]`, bias `[d_out]` → flat `[rows, d_out]`.
    pub fn apply(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let (d_in, d_out) = (self.d_in, self.d_out);
        let n_rows = x.len().checked_div(d_in).unwrap_or(0);
        let mut out = vec![0.0; n_rows * d_out];
        let threads = n_threads();
        let is_shared = threads > 1 && n_rows * d_in * d_out >= SHARED_WORK;
        if is_shared && n_rows < threads * MOST_ROWS {
            self.apply_by_outputs(x, bias, n_rows, threads, &mut out);
            return out;
        }
        let part = if is_shared {
            n_rows.div_ceil(threads).next_multiple_of(MOST_ROWS)
        } else {
            n_rows.max(1)
        };
        for_each_chunk(&mut out, part * d_out.max(1), is_shared, |n, out| {
            let x = &x[n * part * d_in..];
            vectorised(Product {
                rows: Rows::dense(x, d_in),
                n_rows: out.len() / d_out.max(1),
                strips: self.strips(0, d_out),
                bias,
                out,
                out_stride: d_out,
            });
        });
        out
    }

    /// Few rows and a large weight: each thread reads a part of the weight.
    fn apply_by_outputs(
        &self,
        x: &[f32],
        bias: Option<&[f32]>,
        n_rows: usize,
        threads: usize,
        out: &mut [f32],
    ) {
        let d_out = self.d_out;
        let part = d_out.div_ceil(threads).next_multiple_of(STRIP);
        // Part by part, in each row by row.
        let mut parts = vec![0.0; d_out * n_rows];
        for_each_chunk(&mut parts, part * n_rows, true, |n, out| {
            let (first, n_columns) = (n * part, out.len() / n_rows);
            vectorised(Product {
                rows: Rows::dense(x, self.d_in),
                n_rows,
                strips: self.strips(first, n_columns),
                bias: bias.map(|bias| &bias[first..]),
                out,
                out_stride: n_columns,
            });
        });
        for (n, part_values) in parts.chunks(part * n_rows).enumerate() {
            let n_columns = part_values.len() / n_rows;
            for (row, values) in part_values.chunks(n_columns).enumerate() {
                let start = row * d_out + n * part;
                out[start..start + n_columns].copy_from_slice(values);
            }
        }
    }

    /// Outputs from `first`, which begins a strip.
    fn strips(&self, first: usize, n_columns: usize) -> Strips<'_> {
        Strips {
            memory: StripMemory::InARow(&self.values[first * self.d_in..]),
            n_inner: self.d_in,
            n_columns,
            are_fetched: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PackedWeight;

    /// Numbers between −1 and 1 that hardly repeat.
    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| {
                (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    #[test]
    fn products_of_any_shape_are_those_of_the_definition() {
        for (d_in, d_out) in [(1, 1), (7, 5), (32, 16), (33, 40), (64, 272), (2100, 2056)] {
            let weight = numbers(d_in * d_out, 1);
            let bias = numbers(d_out, 2);
            let packed = PackedWeight::new(&weight, [d_out, d_in]);
            assert_eq!(packed.unpacked(), weight);
            for n_rows in [0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 40] {
                let x = numbers(n_rows * d_in, 3);
                let got = packed.apply(&x, Some(&bias));
                assert_eq!(got.len(), n_rows * d_out);
                for (i, got) in got.iter().enumerate().step_by(1 + i_step(d_out)) {
                    let (row, output) = (i / d_out, i % d_out);
                    let x = &x[row * d_in..(row + 1) * d_in];
                    let weight = &weight[output * d_in..(output + 1) * d_in];
                    let sum: f64 = x
                        .iter()
                        .zip(weight)
                        .map(|(x, w)| f64::from(*x) * f64::from(*w))
                        .sum();
                    let want = sum + f64::from(bias[output]);
                    let error = (f64::from(*got) - want).abs();
                    let most = 1e-5 * (1.0 + want.abs());
                    assert!(
                        error < most,
                        "{n_rows} × {d_in} × {d_out}: {got} for {want}"
                    );
                }
            }
        }
    }

    /// Of large products a part of the values is looked at.
    fn i_step(d_out: usize) -> usize {
        if d_out > 1000 { 30 } else { 0 }
    }

    #[test]
    fn a_row_is_the_same_in_every_company() {
        for (d_in, d_out) in [(256, 272), (2048, 2064)] {
            let packed = PackedWeight::new(&numbers(d_in * d_out, 4), [d_out, d_in]);
            let x = numbers(40 * d_in, 5);
            let all = packed.apply(&x, None);
            for n_rows in [1, 2, 3, 5, 8, 16] {
                let some = packed.apply(&x[..n_rows * d_in], None);
                assert_eq!(some, all[..n_rows * d_out]);
            }
        }
    }
}
