//! Rotary angles over three position axes (time, row, column).

use burn::tensor::Device;

use crate::config::TextConfig;
use crate::rotary::{Pairing, Rotary, inverse_frequencies};

/// Frequencies of the decoder's rotary embedding and the axis that each follows.
#[derive(Debug, Clone)]
pub struct MultimodalRotary {
    frequencies: Vec<f32>,
    /// For each frequency: 0 time, 1 row, 2 column.
    axes: Vec<usize>,
    head_dim: usize,
}

impl MultimodalRotary {
    /// From the decoder's configuration.
    pub fn new(config: &TextConfig) -> Self {
        let axes = config
            .mrope_section()
            .into_iter()
            .enumerate()
            .flat_map(|(axis, count)| std::iter::repeat_n(axis, count))
            .collect();
        Self {
            frequencies: inverse_frequencies(config.rotary_dim(), config.rope_theta()),
            axes,
            head_dim: config.head_dim(),
        }
    }

    /// Tables for `positions`, flat `[batch, seq]`, each (time, row, column).
    pub fn tables(
        &self,
        positions: &[[u32; 3]],
        [batch, seq]: [usize; 2],
        device: &Device,
    ) -> Rotary {
        let n_pairs = self.frequencies.len();
        let mut angles = Vec::with_capacity(positions.len() * n_pairs);
        for position in positions {
            angles.extend(
                self.frequencies
                    .iter()
                    .zip(&self.axes)
                    .map(|(frequency, axis)| position[*axis] as f32 * frequency),
            );
        }
        let shape = [batch, seq, n_pairs];
        Rotary::from_angles(&angles, shape, self.head_dim, Pairing::Interleaved, device)
    }
}
