//! Rotary position embedding for both halves of the model, which pair channels in different ways (interleaved in the
//! decoder, half-split in the vision tower). On this machine's cores the pairs are turned where they lie. Elsewhere the
//! pairing and the pass-through channels live in one signed permutation matrix, so that applying it is the same three
//! operations everywhere: `x·cos + (x·P)·sin`.

use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use crate::cpu;
use crate::layers::linear;

/// cos and sin for a run of positions, and how channels are paired.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// For each batch row (or one for all) and position the angle of each pair.
    cos: Vec<f32>,
    sin: Vec<f32>,
    /// Batch rows (or 1) and positions.
    shape: [usize; 2],
    head_dim: usize,
    pairing: Pairing,
    /// Those of the device; none where the values are worked on here.
    tables: Option<Tables>,
}

/// What a device multiplies with.
#[derive(Debug, Clone)]
struct Tables {
    /// `[batch or 1, positions, 1, head_dim]`.
    cos: Tensor<4>,
    /// `[batch or 1, positions, 1, head_dim]`.
    sin: Tensor<4>,
    /// `[head_dim, head_dim]`, laid out as a weight: one ±1 in the row of each rotated channel.
    pairing: Tensor<2>,
}

/// Which channels rotate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Channels 2i and 2i+1 (GLM decoder).
    Interleaved,
    /// Channels i and i + rotary_dim/2 (vision tower).
    HalfSplit,
}

impl Pairing {
    /// Channel that carries the first and the second component of pair `i` of `n_pairs`.
    fn channels(self, i: usize, n_pairs: usize) -> (usize, usize) {
        match self {
            Self::Interleaved => (2 * i, 2 * i + 1),
            Self::HalfSplit => (i, i + n_pairs),
        }
    }
}

impl Rotary {
    /// `angles`: for each batch row and position, `n_pairs` angles in radians, flat
    /// `[batch, positions, n_pairs]`. Channels from `2 * n_pairs` to `head_dim` pass through.
    pub fn from_angles(
        angles: &[f32],
        [batch, positions, n_pairs]: [usize; 3],
        head_dim: usize,
        pairing: Pairing,
        device: &Device,
    ) -> Self {
        debug_assert_eq!(angles.len(), batch * positions * n_pairs);
        let mut rotary = Self {
            cos: angles.iter().map(|angle| angle.cos()).collect(),
            sin: angles.iter().map(|angle| angle.sin()).collect(),
            shape: [batch, positions],
            head_dim,
            pairing,
            tables: None,
        };
        if !cpu::is_here(device) {
            rotary.tables = Some(rotary.tables(device));
        }
        rotary
    }

    fn n_pairs(&self) -> usize {
        let [batch, positions] = self.shape;
        self.cos.len() / (batch * positions).max(1)
    }

    fn tables(&self, device: &Device) -> Tables {
        let (head_dim, n_pairs) = (self.head_dim, self.n_pairs());
        let [batch, positions] = self.shape;
        let mut cos = vec![1.0_f32; batch * positions * head_dim];
        let mut sin = vec![0.0_f32; batch * positions * head_dim];
        // (x·P)[first] = −x[second] and (x·P)[second] = x[first].
        let mut matrix = vec![0.0_f32; head_dim * head_dim];
        for i in 0..n_pairs {
            let (first, second) = self.pairing.channels(i, n_pairs);
            matrix[first * head_dim + second] = -1.0;
            matrix[second * head_dim + first] = 1.0;
            for row in 0..batch * positions {
                for channel in [row * head_dim + first, row * head_dim + second] {
                    cos[channel] = self.cos[row * n_pairs + i];
                    sin[channel] = self.sin[row * n_pairs + i];
                }
            }
        }
        let shape = [batch, positions, 1, head_dim];
        Tables {
            cos: Tensor::from_data(TensorData::new(cos, shape), device),
            sin: Tensor::from_data(TensorData::new(sin, shape), device),
            pairing: Tensor::from_data(TensorData::new(matrix, [head_dim, head_dim]), device),
        }
    }

    /// # Shapes
    /// `[batch, positions, heads, head_dim]` → the same.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.tables {
            Some(tables) => tables.apply(x),
            None if cpu::is_here(&x.device()) => {
                let (dtype, dims) = (x.dtype(), x.dims());
                let mut values = cpu::values(x.cast(FloatDType::F32)).into_vec();
                self.turn(&mut values, dims[2], dims[2] * dims[3]);
                cpu::tensor(values, dims).cast(dtype)
            }
            None => self.tables(&x.device()).apply(x),
        }
    }

    /// The same for values in this machine's memory, in place. `stride` values lie between two positions.
    ///
    /// # Shapes
    /// x flat `[batch, positions, stride]`, of which each row begins with `[heads, head_dim]`.
    pub(crate) fn turn(&self, x: &mut [f32], n_heads: usize, stride: usize) {
        let (head_dim, n_pairs) = (self.head_dim, self.n_pairs());
        if n_pairs == 0 {
            return;
        }
        cpu::vectorised(
            #[inline(always)]
            || {
                let angles = self
                    .cos
                    .chunks_exact(n_pairs)
                    .zip(self.sin.chunks_exact(n_pairs));
                let positions = x.chunks_exact_mut(stride);
                for (position, (cos, sin)) in positions.zip(angles.cycle()) {
                    for head in position.chunks_exact_mut(head_dim).take(n_heads) {
                        turn_head(&mut head[..2 * n_pairs], cos, sin, self.pairing);
                    }
                }
            },
        );
    }
}

impl Tables {
    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let x = x.cast(self.cos.dtype());
        let paired = linear(x.clone(), self.pairing.clone(), None);
        (x * self.cos.clone() + paired * self.sin.clone()).cast(dtype)
    }
}

/// `head`: the channels that rotate.
#[inline(always)]
fn turn_head(head: &mut [f32], cos: &[f32], sin: &[f32], pairing: Pairing) {
    let turn = |first: &mut f32, second: &mut f32, cos: f32, sin: f32| {
        (*first, *second) = (*first * cos - *second * sin, *second * cos + *first * sin);
    };
    let angles = cos.iter().zip(sin);
    match pairing {
        Pairing::Interleaved => {
            let (pairs, _) = head.as_chunks_mut::<2>();
            for ([first, second], (cos, sin)) in pairs.iter_mut().zip(angles) {
                turn(first, second, *cos, *sin);
            }
        }
        Pairing::HalfSplit => {
            let (firsts, seconds) = head.split_at_mut(cos.len());
            for ((first, second), (cos, sin)) in firsts.iter_mut().zip(seconds).zip(angles) {
                turn(first, second, *cos, *sin);
            }
        }
    }
}

/// Inverse frequencies `theta^(-2i/dim)` for `i` in `0..dim/2`, in f32 as the reference computes them.
pub fn inverse_frequencies(dim: usize, theta: f64) -> Vec<f32> {
    (0..dim / 2)
        .map(|i| 1.0 / (theta as f32).powf(2.0 * i as f32 / dim as f32))
        .collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::{Pairing, Rotary};
    use crate::cpu;

    #[test]
    fn pairs_turn_in_place_as_the_permutation_turns_them() {
        let device = Device::flex();
        let angles: Vec<f32> = (0..3 * 5 * 6).map(|i| i as f32 * 0.37).collect();
        for pairing in [Pairing::Interleaved, Pairing::HalfSplit] {
            for (batch, rows) in [(3, 3), (1, 3)] {
                let angles = &angles[..batch * 5 * 6];
                let rotary = Rotary::from_angles(angles, [batch, 5, 6], 16, pairing, &device);
                let mut x: Vec<f32> = (0..rows * 5 * 2 * 16).map(|i| (i % 23) as f32).collect();
                let tables = rotary.tables(&device);
                let want = tables.apply(cpu::tensor(x.clone(), [rows, 5, 2, 16]));
                let want = cpu::values(want);
                rotary.turn(&mut x, 2, 32);
                let errors = x
                    .iter()
                    .zip(want.iter())
                    .map(|(got, want)| (got - want).abs());
                assert!(errors.fold(0.0, f32::max) < 1e-5);
            }
        }
    }
}
