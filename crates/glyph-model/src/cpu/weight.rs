//! Weights in strips, and products with them.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::memory::AlignedValues;
use super::product::{MOST_ROWS, Product, Rows};
use super::strips::{STRIP, StripMemory, Strips};
use super::{
    SharedProduct, for_each_chunk, n_threads, share_in_lockstep, tensor, values, with_vectors,
};

/// Multiplications from which it is worth waking other threads.
pub(super) const SHARED_WORK: usize = 1 << 22;

/// A weight `[d_out, d_in]` as products read it: strips of its outputs, the last one filled with zeros.
#[derive(Debug, Clone)]
pub(crate) struct PackedWeight {
    values: Arc<AlignedValues<f32>>,
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
        let [out] = Self::apply_each(&[(self, bias)], x);
        out
    }

    /// The same rows with several weights of as many inputs, each with its bias; with the cores that are in lockstep with
    /// this one, if there are any.
    pub fn apply_each<const N: usize>(
        weights: &[(&Self, Option<&[f32]>); N],
        x: &[f32],
    ) -> [Vec<f32>; N] {
        let of_outputs = weights.map(|(weight, bias)| {
            move |rows: &[f32], outputs: Range<usize>, out: &mut [f32]| {
                weight.apply_some(rows, bias, outputs, out);
            }
        });
        let products = std::array::from_fn(|n| SharedProduct {
            weight: weights[n].0.values.as_ptr().addr(),
            d_out: weights[n].0.d_out,
            of_outputs: &of_outputs[n],
        });
        let d_in = weights.first().map_or(0, |(weight, _)| weight.d_in);
        share_in_lockstep(x, d_in, &products)
            .unwrap_or_else(|| weights.map(|(weight, bias)| weight.apply_alone(x, bias)))
    }

    /// With threads that are free.
    fn apply_alone(&self, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
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
            with_vectors(Product {
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

    /// Some outputs, the first of which begins a strip: `out` gets `[rows, outputs]`.
    fn apply_some(&self, x: &[f32], bias: Option<&[f32]>, outputs: Range<usize>, out: &mut [f32]) {
        with_vectors(Product {
            rows: Rows::dense(x, self.d_in),
            n_rows: x.len() / self.d_in,
            strips: self.strips(outputs.start, outputs.len()),
            bias: bias.map(|bias| &bias[outputs.start..]),
            out,
            out_stride: outputs.len(),
        });
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
            let (first, n_outputs) = (n * part, out.len() / n_rows);
            self.apply_some(x, bias, first..first + n_outputs, out);
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
    fn strips(&self, first: usize, n_columns: usize) -> Strips<'_, f32> {
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
